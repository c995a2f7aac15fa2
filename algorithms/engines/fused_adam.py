"""A step of Adam on several tensors as one operation of PyTorch, which changes them in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class AdamSettings(Protocol):
    """Adam's numbers; see ``algorithms.core.optimizers.Adam``."""

    @property
    def lr(self) -> float: ...
    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...
    @property
    def epsilon(self) -> float: ...


def fused_adam_(
    adam: AdamSettings,
    values: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    step: Tensor,
) -> None:
    """Take step number ``step`` [] float32: change values and moments, which are contiguous, in place."""
    torch._fused_adam_(
        list(values),
        list(gradients),
        list(means),
        list(squares),
        [],
        [step] * len(values),
        lr=adam.lr,
        beta1=adam.beta1,
        beta2=adam.beta2,
        weight_decay=0.0,
        eps=adam.epsilon,
        amsgrad=False,
        maximize=False,
    )
