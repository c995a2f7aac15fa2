"""Adam and SGD with momentum as pure functions: (parameters, gradients, moments) -> (parameters, moments).

The arithmetic is PyTorch's own functional form; the arguments are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1).

    Attributes:
        lr: step size.
        beta1: decay of the first moment; 0 leaves it out, as Reptile's inner loop does.
        beta2: decay of the second moment.
        epsilon: added to the root of the second moment.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, parameters: Parameters) -> dict[str, Tensor]:
        """Zero moments ``mean.<name>`` and ``square.<name>`` like each parameter, and ``step`` [] float32."""
        moments = {f"mean.{name}": torch.zeros_like(value) for name, value in parameters.items()}
        moments |= {f"square.{name}": torch.zeros_like(value) for name, value in parameters.items()}
        return moments | {"step": torch.zeros(())}

    def update(
        self, parameters: Parameters, gradients: Parameters, moments: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One step; returns new parameters and new moments."""
        names = list(parameters)
        with torch.no_grad():
            values = [parameters[name].detach().clone() for name in names]
            means = [moments[f"mean.{name}"].clone() for name in names]
            squares = [moments[f"square.{name}"].clone() for name in names]
            steps = [moments["step"].clone() for _ in names]
            adam(
                values,
                [gradients[name].detach() for name in names],
                means,
                squares,
                [],
                steps,
                foreach=True,
                amsgrad=False,
                beta1=self.beta1,
                beta2=self.beta2,
                lr=self.lr,
                weight_decay=0.0,
                eps=self.epsilon,
                maximize=False,
            )
        after = {f"mean.{name}": mean for name, mean in zip(names, means, strict=True)}
        after |= {f"square.{name}": square for name, square in zip(names, squares, strict=True)}
        return dict(zip(names, values, strict=True)), after | {"step": moments["step"] + 1}


def clip_elements(gradients: Parameters, bound: float | None) -> dict[str, Tensor]:
    """Every element of every gradient brought into [-bound, bound]; unchanged where ``bound`` is None."""
    if bound is None:
        return dict(gradients)
    return {name: gradient.clamp(-bound, bound) for name, gradient in gradients.items()}
