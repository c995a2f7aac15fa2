"""The gradient of the query loss after gradient descent, by the weights that it starts from, in closed form.

With w_0 the weights, g_k the gradient of the support loss at w_{k-1} and H_k its Hessian there, a the rates and * the
product of each element, the inner steps and the gradient v_k of the query loss by w_k are

    w_k = w_{k-1} - a * g_k,        v_{k-1} = v_k - H_k (a * v_k)        (first order: v_{k-1} = v_k),

from v_K, the query loss's own gradient, to v_0; the gradient by a is the sum over k of - g_k * v_k (Finn et al. 2017,
arXiv 1703.03400, equation 1; Li et al. 2017, arXiv 1707.09835, equation 3).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.engines.descent import Descent
from algorithms.engines.mean_gradient import parts_of
from algorithms.engines.stacked.layers import Change, Matrices, Pass
from algorithms.engines.stacked.outputs import loss_of
from algorithms.engines.threads import on_one_thread, side_by_side
from algorithms.networks.mlp import MLP
from datasets.core.episodes import Episodes, Kind

VALUES_AT_ONCE = 2**20  # 4 MiB in float32: what is worked on together stays in the cache of one processor
PART_SIZES = 2  # of a meta-batch in nearly equal parts


@dataclass(frozen=True)
class Sizes:
    """The sizes of a meta-gradient, on which its buffers depend."""

    n_tasks: int
    n_support: int
    n_query: int
    n_steps: int
    learns_rates: bool
    kind: Kind


class MetaGradient:
    """A meta-gradient's operations, in buffers that every call writes anew."""

    def __init__(self, network: MLP, sizes: Sizes, like: Tensor) -> None:
        def matrices(n_tasks: int) -> Matrices:
            return Matrices(network, n_tasks, like)

        n_tasks, steps = sizes.n_tasks, range(sizes.n_steps)
        self.weights = [matrices(1), *(matrices(n_tasks) for _ in steps)]
        self.rates, self.by_weights, self.by_rates = matrices(1), matrices(1), matrices(1)
        for layer in self.rates.layers:
            layer.zero_()  # those of the constant rows
        self.gradients = [matrices(n_tasks) for _ in (steps if sizes.learns_rates else range(1))]
        self.by_adapted = matrices(n_tasks) if sizes.learns_rates else self.gradients[0]
        self.along = matrices(n_tasks)
        self.query = Pass(self.weights[0], n_tasks, sizes.n_query)
        first = Pass(self.weights[0], n_tasks, sizes.n_support)
        self.support = [first, *(Pass(self.weights[0], n_tasks, sizes.n_support, first.inputs[0]) for _ in steps[1:])]
        self.losses = [loss_of(sizes.kind) for _ in (*self.support, self.query)]
        self.change = Change(first)
        learned = {"weights": self.by_weights} | ({"rates": self.by_rates} if sizes.learns_rates else {})
        self._found = {f"{group}/{name}": v[0] for group, by in learned.items() for name, v in by.named.items()}
        self._numbers: list[Tensor | float] = []

    def sums(self, descent: Descent, tasks: Episodes) -> tuple[Mapping[str, Tensor], float]:
        """Return the sums over tasks of the gradients, as views of the buffers, and of the losses."""
        self._fill(descent, tasks)
        self._adapt(descent, tasks)
        goes_back = descent.second_order or descent.learns_rates
        loss = self._query(tasks, self.by_adapted if goes_back else self.by_weights)
        if goes_back:
            self._go_back(descent)
        return self._found, loss

    def _fill(self, descent: Descent, tasks: Episodes) -> None:
        """Copy the weights, the rates and the examples into the buffers."""
        start = self.weights[0].named
        torch._foreach_copy_(list(start.values()), [descent.weights[name] for name in start])
        numbers = [descent.rates[name] for name in start]
        if descent.learns_rates or numbers != self._numbers:
            for name, rate in zip(start, numbers, strict=True):
                self.rates.named[name].copy_(rate) if isinstance(rate, Tensor) else self.rates.named[name].fill_(rate)
            self._numbers = [] if descent.learns_rates else numbers
        self.support[0].x.copy_(tasks.support.x)
        self.query.x.copy_(tasks.query_x)

    def _adapt(self, descent: Descent, tasks: Episodes) -> None:
        """Take the inner steps."""
        for k, (own, factor) in enumerate(zip(self.support, descent.factors, strict=True)):
            weights, gradient = self.weights[k], self.gradients[k % len(self.gradients)]
            own.forward(weights)
            self.losses[k].slope(own.outputs.tasks, tasks.support.y, factor, own.slopes[-1].tasks)
            own.backward(weights)
            own.gradient(gradient)
            for w, a, g, after in zip(
                weights.layers, self.rates.layers, gradient.layers, self.weights[k + 1].layers, strict=True
            ):
                torch.addcmul(w, a, g, value=-1, out=after)

    def _query(self, tasks: Episodes, into: Matrices) -> float:
        """Return the sum of the query losses; compute their gradient by the adapted weights, or its sum over tasks."""
        own, loss = self.query, self.losses[-1]
        own.forward(self.weights[-1])
        loss.slope(own.outputs.tasks, tasks.query_y, 1.0, own.slopes[-1].tasks)
        own.backward(self.weights[-1])
        own.gradient(into)
        return loss.total(own.outputs.tasks, tasks.query_y)

    def _go_back(self, descent: Descent) -> None:
        """Compute the gradients by the weights and the rates from that by the adapted weights."""
        v = self.by_adapted
        for k in range(len(self.support) - 1, -1, -1):
            if descent.learns_rates:
                self._add_by_rates(self.gradients[k], v, first=k == len(self.support) - 1)
            if descent.second_order:
                for of_v, a, u in zip(v.layers, self.rates.layers, self.along.layers, strict=True):
                    torch.mul(of_v, a, out=u)
            if k == 0:
                for of_v, total in zip(v.layers, self.by_weights.layers, strict=True):
                    torch.sum(of_v, 0, keepdim=True, out=total)
            if descent.second_order:
                own, weights = self.support[k], self.weights[k]
                self.change.forward(own, weights, self.along)
                self.losses[k].change(self.change.outputs.tasks, descent.factors[k], self.change.slopes[-1].tasks)
                self.change.backward(own, weights, self.along)
                self.change.subtract_from(v if k else self.by_weights, own)

    def _add_by_rates(self, gradient: Matrices, v: Matrices, first: bool) -> None:
        for g, of_v, total in zip(gradient.layers, v.layers, self.by_rates.layers, strict=True):
            product = torch.mul(g, of_v).sum(0, keepdim=True)
            torch.neg(product, out=total) if first else total.sub_(product)


class ClosedForm:
    """The meta-gradient of an MLP, by parts of a meta-batch that fit the cache, on the threads that PyTorch has.

    It keeps the buffers of its last calls, one set for each thread and size of a part.
    """

    def __init__(self, network: MLP) -> None:
        self.network = network
        self._kept = threading.local()

    def mean_gradient(self, descent: Descent, episodes: Episodes) -> tuple[dict[str, Tensor], float]:
        """Return the gradient of the mean query loss, and that loss.

        Args:
            descent: the adaptation.
            episodes: T episodes.

        Returns:
            The gradient by ``weights/<name>``, and by ``rates/<name>`` where the rates are learned.
        """

        def of_part(part: Episodes) -> tuple[list[str], list[Tensor], float]:
            with torch.no_grad(), on_one_thread():
                sums, loss = self._buffers(descent, part).sums(descent, part)
                return list(sums), list(torch._foreach_mul(list(sums.values()), 1 / len(episodes))), loss

        (names, mean, loss), *others = side_by_side(of_part, parts_of(episodes, self._tasks_at_once(descent, episodes)))
        for _, more, of_more in others:
            torch._foreach_add_(mean, more)
            loss += of_more
        return dict(zip(names, mean, strict=True)), loss / len(episodes)

    def _tasks_at_once(self, descent: Descent, episodes: Episodes) -> int:
        n_steps = len(descent.factors)
        widths = [self.network.n_inputs, *self.network.hidden, self.network.n_outputs]
        n_weights = sum((n_in + 1) * (n_out + 1) for n_in, n_out in itertools.pairwise(widths))
        n_examples = (n_steps + 1) * episodes.support.x.shape[1] + episodes.query_x.shape[1]
        copies = n_steps * (1 + descent.learns_rates) + 2
        return max(1, VALUES_AT_ONCE // (copies * n_weights + 2 * n_examples * (sum(widths) + len(widths))))

    def _buffers(self, descent: Descent, tasks: Episodes) -> MetaGradient:
        kept: dict[Any, MetaGradient] = self._kept.__dict__
        x, n_query = tasks.support.x, tasks.query_x.shape[1]
        sizes = Sizes(len(tasks), x.shape[1], n_query, len(descent.factors), descent.learns_rates, descent.kind)
        if (key := f"{sizes} {x.dtype}") not in kept:
            while len(kept) >= PART_SIZES:
                kept.pop(next(iter(kept)))
            kept[key] = MetaGradient(self.network, sizes, x)
        return kept[key]
