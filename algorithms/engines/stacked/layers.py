"""The passes of an MLP over the examples of T tasks: outputs, gradients, and how these change along a direction.

With h_0 = x and the layers i = 1..L (rows are examples, ' transposes)

    z_i = h_{i-1} W_i',      h_i = relu(z_i),      outputs = z_L,

and e_i the gradient of the loss by z_i, the gradient by W_i is G_i = e_i' h_{i-1} with

    e_{i-1} = (e_i W_i) [h_{i-1} > 0].

Let the weights change along U (a dot marks the change of each quantity). Then (Pearlmutter 1994, Fast exact
multiplication by the Hessian, section 3)

    dot z_i     = h_{i-1} U_i' + dot h_{i-1} W_i',     dot h_i = dot z_i [h_i > 0],     dot h_0 = 0,
    dot e_{i-1} = (e_i U_i + dot e_i W_i) [h_{i-1} > 0],
    dot G_i     = dot e_i' h_{i-1} + e_i' dot h_{i-1},

and dot G is the product of the Hessian of the loss with U. The loss gives e_L and dot e_L (``outputs.py``).

A bias is the weight of one more input, which is one: W_i has a last column, and h_{i-1} a last value of one. Below the
head, a last row (0, ..., 0, 1) of W_i carries the one on. These rows are constants: what the formulas give for them
is never used, and U is zero there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.networks.mlp import MLP

_pass_positive = torch.ops.aten.threshold_backward.grad_input


class Matrices:
    """Matrices like the weights of every layer: weights, gradients by them, directions.

    Attributes:
        layers: [T, rows, columns] of each layer; T is one where the tasks share them.
        transposed: views of them.
        are_shared: whether there is one of each for all tasks.
        named: views by the names of the network's weights, without the constant rows; [T, ...].
    """

    def __init__(self, network: MLP, n_tasks: int, like: Tensor) -> None:
        """Make matrices of zeros, with the constant rows of weights."""
        self.layers: list[Tensor] = []
        self.named: dict[str, Tensor] = {}
        widths = [network.n_inputs, *network.hidden, network.n_outputs]
        for i, (n_in, n_out) in enumerate(itertools.pairwise(widths), start=1):
            is_head = i == len(widths) - 1
            layer = like.new_zeros(n_tasks, n_out + (not is_head), n_in + 1)
            if not is_head:
                layer[:, -1, -1] = 1.0
            name = "head" if is_head else f"layer{i}"
            self.named[f"{name}.weight"] = layer[:, :n_out, :n_in]
            self.named[f"{name}.bias"] = layer[:, :n_out, n_in]
            self.layers.append(layer)
        self.transposed = [layer.mT for layer in self.layers]
        self.are_shared = n_tasks == 1


class Values:
    """Values [T, B, n] of T tasks' B examples, and views of them.

    Attributes:
        tasks: for products with each task's own matrices.
        rows: [1, T * B, n], for products with matrices that the tasks share, and for sums over tasks.
    """

    def __init__(self, values: Tensor) -> None:
        self.tasks = values
        self.rows = values.view(1, -1, values.shape[2])
        self.tasks_transposed = self.tasks.mT
        self.rows_transposed = self.rows.mT

    def beside(self, matrices: Matrices) -> Tensor:
        """Return the view of examples in rows that goes with such matrices."""
        return self.rows if matrices.are_shared else self.tasks

    def transposed_beside(self, matrices: Matrices) -> Tensor:
        """Return the view of examples in columns that goes with such matrices."""
        return self.rows_transposed if matrices.are_shared else self.tasks_transposed


class Pass:
    """A pass over the examples of T tasks.

    Attributes:
        inputs: h_0 ... h_{L-1}, [T, B, n + 1] with a last value of one.
        x: h_0 without it.
        outputs: z_L.
        slopes: e_1 ... e_L.
    """

    def __init__(self, like: Matrices, n_tasks: int, n_examples: int, x: Values | None = None) -> None:
        """Make one for weights such as ``like``; with ``x`` on those inputs, and otherwise on inputs of its own."""

        def values(width: int) -> Values:
            return Values(like.layers[0].new_ones(n_tasks, n_examples, width))

        self.inputs = [x or values(like.layers[0].shape[2]), *(values(layer.shape[2]) for layer in like.layers[1:])]
        self.x = self.inputs[0].tasks[:, :, :-1]
        self.outputs = values(like.layers[-1].shape[1])
        self.slopes = [values(layer.shape[1]) for layer in like.layers]

    def forward(self, weights: Matrices) -> None:
        """Compute the inputs of every layer, and the outputs."""
        *hidden, outputs = [*self.inputs[1:], self.outputs]
        for x, w, h in zip(self.inputs, weights.transposed, hidden, strict=False):
            torch.bmm(x.beside(weights), w, out=h.beside(weights)).relu_()
        torch.bmm(self.inputs[-1].beside(weights), weights.transposed[-1], out=outputs.beside(weights))

    def backward(self, weights: Matrices) -> None:
        """Compute the slopes of every layer from those of the outputs."""
        for i in range(len(self.slopes) - 1, 0, -1):
            e = self.slopes[i - 1]
            torch.bmm(self.slopes[i].beside(weights), weights.layers[i], out=e.beside(weights))
            _pass_positive(e.tasks, self.inputs[i].tasks, 0, grad_input=e.tasks)

    def gradient(self, into: Matrices) -> None:
        """Compute the gradients of the losses: each task's own, or their sum where ``into`` is shared."""
        for h, e, g in zip(self.inputs, self.slopes, into.layers, strict=True):
            torch.bmm(e.transposed_beside(into), h.beside(into), out=g)


class Change:
    """The change of a pass along a direction of the weights.

    Attributes:
        inputs: dot h_1 ... dot h_{L-1}.
        outputs: dot z_L.
        slopes: dot e_1 ... dot e_L.
    """

    def __init__(self, like: Pass) -> None:
        self.inputs = [Values(torch.empty_like(h.tasks)) for h in like.inputs[1:]]
        self.outputs = Values(torch.empty_like(like.outputs.tasks))
        self.slopes = [Values(torch.empty_like(e.tasks)) for e in like.slopes]

    def forward(self, of: Pass, weights: Matrices, along: Matrices) -> None:
        """Compute the changes of the inputs and the outputs of ``of`` at ``weights``."""
        changed: Sequence[Values] = [*self.inputs, self.outputs]
        for i, z in enumerate(changed):
            torch.bmm(of.inputs[i].tasks, along.transposed[i], out=z.tasks)
            if i:
                z.beside(weights).baddbmm_(self.inputs[i - 1].beside(weights), weights.transposed[i])
            if i < len(self.inputs):
                _pass_positive(z.tasks, of.inputs[i + 1].tasks, 0, grad_input=z.tasks)

    def backward(self, of: Pass, weights: Matrices, along: Matrices) -> None:
        """Compute the changes of the slopes of ``of`` from that of the outputs' slope."""
        for i in range(len(self.slopes) - 1, 0, -1):
            e = self.slopes[i - 1]
            torch.bmm(of.slopes[i].tasks, along.layers[i], out=e.tasks)
            e.beside(weights).baddbmm_(self.slopes[i].beside(weights), weights.layers[i])
            _pass_positive(e.tasks, of.inputs[i].tasks, 0, grad_input=e.tasks)

    def subtract_from(self, total: Matrices, of: Pass) -> None:
        """Subtract the changes of the gradients: each task's own, or their sum where ``total`` is shared."""
        for i, matrix in enumerate(total.layers):
            matrix.baddbmm_(self.slopes[i].transposed_beside(total), of.inputs[i].beside(total), alpha=-1)
            if i:
                change = self.inputs[i - 1].beside(total)
                matrix.baddbmm_(of.slopes[i].transposed_beside(total), change, alpha=-1)
