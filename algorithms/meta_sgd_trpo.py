"""Meta-SGD for control (Li et al. 2017, arXiv 1707.09835, section 4.3): learn an initial policy and its rates.

Adaptation and outer step are those of ``algorithms.maml_trpo``.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from algorithms.core.entry import register
from algorithms.core.hyperparameters import Needs, Range, hyper
from algorithms.core.meta_state import State, grouped
from algorithms.maml_trpo import MAMLTRPOHyperParameters, PolicyThroughAdaptation
from algorithms.networks.network import Weights


class MetaSGDTRPOHyperParameters(MAMLTRPOHyperParameters):
    """Meta-SGD's settings for control."""

    inner_lr: float = hyper(
        0.1, "without effect: the rates are learned", "section 3.2", needs=Needs(never="the rates are learned"), gt=0
    )
    rate_low: float = hyper(0.005, "least initial rate", "section 4.1", Range(0.001, 0.5, log=True), gt=0)
    rate_high: float = hyper(0.1, "largest initial rate", "section 4.1", gt=0)


@register(
    "meta-sgd-trpo",
    hparams=MetaSGDTRPOHyperParameters,
    paper="Li et al. 2017, arXiv 1707.09835, section 4.3",
    summary="control: learn an initial policy and an inner rate for each of its weights",
    kinds=("control",),
)
class MetaSGDTRPO(PolicyThroughAdaptation[MetaSGDTRPOHyperParameters]):
    """theta' = theta + alpha * policy gradient, element by element; the outer step learns theta and alpha."""

    learned = ("weights", "rates")

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the first state; its ``rates`` are drawn uniformly, one for each element of each weight."""
        low, high = self.hparams.rate_low, self.hparams.rate_high
        rates = {
            name: (low + (high - low) * torch.rand(value.shape, generator=generator)).to(value)
            for name, value in weights.items()
        }
        return grouped(weights=weights, rates=rates)

    def rate(self, meta: State, name: str) -> Tensor:
        return meta[f"rates/{name}"]
