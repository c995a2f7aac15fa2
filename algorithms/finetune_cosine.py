"""Baseline++ (Chen, Liu, Kira, Wang and Huang 2019, arXiv 1904.04232, section 3.2): fine-tuning with a cosine head.

A class's score is the cosine between the features and the class's weight vector, times a fixed scale and (in the
authors' code) a learned length of each class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from algorithms.core.entry import register
from algorithms.core.hyperparameters import Needs, Range, hyper
from algorithms.core.pretraining import CODE
from algorithms.finetune import Finetune, FinetuneHyperParameters
from algorithms.networks.network import Weights

MANY_CLASSES = 200  # above this many, the authors' code uses the larger scale


class FinetuneCosineHyperParameters(FinetuneHyperParameters):
    """Baseline++'s settings."""

    scale: float = hyper(
        2.0, f"factor of the cosines of up to {MANY_CLASSES} classes", f"{CODE}: backbone.py", Range(1.0, 30.0), gt=0
    )
    scale_many: float = hyper(
        10.0,
        f"factor of the cosines of more than {MANY_CLASSES} classes",
        f"{CODE}: backbone.py",
        needs=Needs(n_train_classes=MANY_CLASSES + 1),
        gt=0,
    )


@register(
    "finetune-cosine",
    hparams=FinetuneCosineHyperParameters,
    paper="Chen et al. 2019, arXiv 1904.04232 (Baseline++)",
    summary="pre-train on all training classes, then fit a new cosine head",
    kinds=("classification",),
)
class FinetuneCosine(Finetune):
    """Pre-train, then fit a new head on frozen features, with cosines for scores both times."""

    hparams: FinetuneCosineHyperParameters

    def fresh_head(self, n_outputs: int, generator: Generator) -> dict[str, Tensor]:
        """Directions as a linear head draws its weights, and their lengths; there is no bias."""
        directions = super().fresh_head(n_outputs, generator)["head.weight"]
        return {"head.direction": directions, "head.length": torch.linalg.vector_norm(directions, dim=1, keepdim=True)}

    def logits(self, head: Weights, features: Tensor) -> Tensor:
        """[T, B, n_classes]: scale * length * cosine of (features, direction)."""
        classes = head["head.length"] * F.normalize(head["head.direction"], dim=-1)
        scale = self.hparams.scale if classes.shape[-2] <= MANY_CLASSES else self.hparams.scale_many
        return scale * F.normalize(features, dim=-1) @ classes.mT
