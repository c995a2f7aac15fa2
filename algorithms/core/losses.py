"""The loss that is adapted to and the metrics that are recorded, by the dataset's kind."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from datasets.core.episodes import Kind


def task_losses(outputs: Tensor, targets: Tensor, kind: Kind) -> Tensor:
    """Return each task's mean loss [T]: cross-entropy in nats (classification) or squared error (regression).

    Args:
        outputs: [T, B, n_outputs] logits or predictions.
        targets: [T, B] int64 labels, or [T, B, n_outputs] values.
        kind: the dataset's kind.

    >>> import torch
    >>> task_losses(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [3.0]]]), "regression")
    tensor([5.])
    """
    if kind == "regression":
        return (outputs - targets).square().mean(dim=(1, 2))
    n_tasks, n_examples, n_classes = outputs.shape
    losses = F.cross_entropy(outputs.reshape(-1, n_classes), targets.reshape(-1), reduction="none")
    return losses.reshape(n_tasks, n_examples).mean(dim=1)


def metrics(outputs: Tensor, targets: Tensor, kind: Kind) -> dict[str, Tensor]:
    """Return each task's query metrics: ``n_correct`` [T] int64 and ``nll`` [T] (mean, nats), or ``mse`` [T].

    >>> import torch
    >>> logits = torch.tensor([[[9.0, 0.0], [9.0, 0.0]]])
    >>> metrics(logits, torch.tensor([[0, 1]]), "classification")["n_correct"]
    tensor([1])
    """
    losses = task_losses(outputs, targets, kind)
    if kind == "regression":
        return {"mse": losses}
    return {"n_correct": (outputs.argmax(dim=-1) == targets).sum(dim=1), "nll": losses}
