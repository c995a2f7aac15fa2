"""Adam and SGD with momentum as pure functions: (parameters, gradients, moments) -> (parameters, moments).

The arithmetic is that of PyTorch's Adam to the last bit, without its copies and what it looks up at each call; the
arguments are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.engines.fused_adam import fused_adam_
from algorithms.engines.threads import on_one_thread

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1).

    Attributes:
        lr: step size.
        beta1: decay of the first moment; 0 leaves it out, as Reptile's inner loop does.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
        fused: whether a step is one operation for all parameters, which is quicker for few small ones on a CPU. Where
            an element stands in its tensor then moves its last bit, so that it is not for stacks of tasks.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    fused: bool = False

    def init(self, parameters: Parameters) -> dict[str, Tensor]:
        """Return zero moments ``mean.<name>`` and ``square.<name>`` like each parameter, and ``step`` [] float32."""
        moments = {f"mean.{name}": torch.zeros_like(value) for name, value in parameters.items()}
        moments |= {f"square.{name}": torch.zeros_like(value) for name, value in parameters.items()}
        return moments | {"step": torch.zeros(())}

    def update(
        self, parameters: Parameters, gradients: Parameters, moments: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Take one step; return new parameters and new moments."""
        if self.fused:
            return self._fused_update(parameters, gradients, moments)
        names, step = list(parameters), float(moments["step"]) + 1
        with torch.no_grad():
            slopes = [gradients[name] for name in names]
            means = torch._foreach_lerp([moments[f"mean.{name}"] for name in names], slopes, 1 - self.beta1)
            squares = torch._foreach_mul([moments[f"square.{name}"] for name in names], self.beta2)
            torch._foreach_addcmul_(squares, slopes, slopes, 1 - self.beta2)
            roots = _not_zero(squares)
            torch._foreach_sqrt_(roots)
            torch._foreach_div_(roots, (1 - self.beta2**step) ** 0.5)
            torch._foreach_add_(roots, self.epsilon)
            size = -self.lr / (1 - self.beta1**step)
            values = torch._foreach_addcdiv([parameters[name] for name in names], means, roots, size)
        after = {f"mean.{name}": mean for name, mean in zip(names, means, strict=True)}
        after |= {f"square.{name}": square for name, square in zip(names, squares, strict=True)}
        return dict(zip(names, values, strict=True)), after | {"step": moments["step"] + 1}

    def _fused_update(
        self, parameters: Parameters, gradients: Parameters, moments: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Take one step by the operation of PyTorch's fused Adam, which reads all tensors in the order of memory."""
        names, step = list(parameters), moments["step"].float() + 1
        with torch.no_grad(), on_one_thread():
            values = [parameters[name].clone(memory_format=torch.contiguous_format) for name in names]
            means, squares = (
                [moments[f"{kind}.{name}"].clone(memory_format=torch.contiguous_format) for name in names]
                for kind in ("mean", "square")
            )
            fused_adam_(self, values, [gradients[name].contiguous() for name in names], means, squares, step)
        after = {f"mean.{name}": mean for name, mean in zip(names, means, strict=True)}
        after |= {f"square.{name}": square for name, square in zip(names, squares, strict=True)}
        return dict(zip(names, values, strict=True)), after | {"step": step.to(moments["step"])}


def _not_zero(squares: tuple[Tensor, ...] | list[Tensor]) -> tuple[Tensor, ...]:
    """Return non-negative tensors with the least normal number in the place of smaller ones.

    MKL's square root takes twenty times as long on zeros, which units that no example activates leave in the moments.
    The root of what takes their place is nothing beside Adam's epsilon, to the last bit.
    """
    return torch._foreach_clamp_min(squares, torch.finfo(squares[0].dtype).tiny)


def clip_elements(gradients: Parameters, bound: float | None) -> dict[str, Tensor]:
    """Return the gradients with every element brought into [-bound, bound]; unchanged where ``bound`` is None.

    >>> clip_elements({"bias": torch.tensor([-30.0, 2.0])}, 10.0)
    {'bias': tensor([-10.,   2.])}
    """
    if bound is None:
        return dict(gradients)
    return {name: gradient.clamp(-bound, bound) for name, gradient in gradients.items()}
