"""Logistic regression on frozen features (Tian, Wang, Krishnan, Tenenbaum and Isola 2020, arXiv 2003.11539, section 3).

A network is pre-trained on all training classes; for a new task its features are brought to length one and
scikit-learn's LogisticRegression is fitted to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.core.entry import register
from algorithms.core.hyperparameters import Range, hyper
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.core.pretraining import Pretrained, PretrainingHyperParameters
from algorithms.networks.network import Weights, apply_head
from datasets.core.episodes import Support


class LogRegHyperParameters(PretrainingHyperParameters):
    """Settings of the classifier."""

    inverse_penalty: float = hyper(
        1.0,
        "LogisticRegression's C, the inverse of the squared penalty",
        "Tian et al. 2020: the authors' code (WangYueFt/rfs)",
        Range(0.01, 100.0, log=True),
        gt=0,
    )
    max_iterations: int = hyper(
        1000, "steps of its solver at most", "Tian et al. 2020: the authors' code (WangYueFt/rfs)", ge=1
    )


LOGREG_PRESETS = (Preset({"train_lr": 0.0085, "batch_size": 21, "inverse_penalty": 46.0}, TUNED_ON_TEXTS, "text"),)


@register(
    "logreg",
    hparams=LogRegHyperParameters,
    paper="Tian et al. 2020, arXiv 2003.11539",
    summary="pre-train on all training classes, then logistic regression on normalized features",
    kinds=("classification",),
    presets=LOGREG_PRESETS,
)
class LogReg(Pretrained[LogRegHyperParameters]):
    """Pre-train, then fit logistic regression to normalized features of the support set."""

    label_equivariant: ClassVar[bool] = True

    @property
    def test_steps(self) -> int:
        """None: the head is the solution of a convex problem, and what is measured is at step 0."""
        return 0

    def task_logits(self, head: Weights, features: Tensor) -> Tensor:
        """[T, B, n_way] of features brought to length one."""
        return apply_head(head, F.normalize(features, dim=-1))

    def heads(self, features: Tensor, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """Each task's solution, after step 0."""
        inputs, labels = F.normalize(features, dim=-1).cpu().double().numpy(), support.y.cpu().numpy()
        fitted = [self._fit(x, y) for x, y in zip(inputs, labels, strict=True)]
        weight, bias = (torch.from_numpy(np.stack(part)).to(features) for part in zip(*fitted, strict=True))
        yield 0, {"head.weight": weight, "head.bias": bias}

    def _fit(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.linear_model import LogisticRegression  # takes longer to import than PyTorch

        model = LogisticRegression(C=self.hparams.inverse_penalty, max_iter=self.hparams.max_iterations).fit(x, y)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # of two classes scikit-learn gives the second's score against the first's
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias
