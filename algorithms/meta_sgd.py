"""Meta-SGD (Li et al. 2017, arXiv 1707.09835, algorithm 1): learn the initial weights and a rate for each."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from algorithms.core.entry import register
from algorithms.core.hyperparameters import Choice, Needs, Range, hyper
from algorithms.core.meta_state import State, grouped
from algorithms.core.optimizers import Adam
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.maml import GradientHyperParameters, GradientThroughAdaptation
from algorithms.networks.network import Weights


class MetaSGDHyperParameters(GradientHyperParameters):
    """Meta-SGD's settings."""

    test_steps: int = hyper(1, "inner steps at test time", "section 4: one step", ge=1)
    adapt_norm: bool = hyper(
        True,
        "whether the inner loop adapts the parameters of normalization layers",
        "equation 2: all parameters",
        Choice((False, True)),
        Needs(norm_layers=True),
    )
    rate_low: float = hyper(0.005, "least initial rate", "section 4.1", Range(0.001, 0.5, log=True), gt=0)
    rate_high: float = hyper(0.1, "largest initial rate", "section 4.1", Range(0.01, 2.0, log=True), gt=0)


META_SGD_PRESETS = (
    Preset({"meta_batch": 4}, "section 4.1", family="sinusoid"),
    Preset({"meta_batch": 32}, "section 4.2", family="omniglot"),
    Preset({"meta_batch": 16}, "section 4.2", family="omniglot", n_way=20),
    Preset({"meta_batch": 4}, "section 4.2", family="mini-imagenet"),
    Preset({"meta_batch": 2}, "section 4.2", family="mini-imagenet", n_shot=5),
    Preset(
        {"meta_batch": 4, "outer_lr": 0.0039, "train_steps": 3, "rate_low": 0.2, "rate_high": 0.27},
        TUNED_ON_TEXTS,
        family="text",
    ),
)


@register(
    "meta-sgd",
    hparams=MetaSGDHyperParameters,
    paper="Li et al. 2017, arXiv 1707.09835",
    summary="learn initial weights and an inner rate for each of them",
    presets=META_SGD_PRESETS,
)
class MetaSGD(GradientThroughAdaptation[MetaSGDHyperParameters]):
    """theta' = theta - alpha * gradient, element by element (equation 2); the outer loop learns theta and alpha."""

    learned = ("weights", "rates")

    def init(self, weights: Weights, generator: Generator) -> State:
        """Return the first state; its ``rates`` are drawn uniformly, one for each element of each adapted weight."""
        low, high = self.hparams.rate_low, self.hparams.rate_high
        rates = {
            name: (low + (high - low) * torch.rand(value.shape, generator=generator)).to(value)
            for name, value in weights.items()
            if self.is_adapted(name)
        }
        meta = grouped(weights=weights, rates=rates)
        return meta | grouped(adam=Adam(self.hparams.outer_lr).init(meta))

    def rate(self, meta: State, name: str) -> Tensor:
        return meta[f"rates/{name}"]
