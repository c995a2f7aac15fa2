"""Meta-state: a flat mapping from ``group/name`` to a tensor, so that it can be saved, compared and mapped over.

Groups in use: ``weights`` (the network's), ``rates`` (Meta-SGD's), ``adam`` (an optimizer's moments), ``progress``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

State = Mapping[str, Tensor]


def group(state: State, name: str) -> dict[str, Tensor]:
    """Return the tensors of one group, by the name that follows the slash.

    >>> import torch
    >>> list(group({"weights/bias": torch.zeros(2), "adam/step": torch.zeros(())}, "weights"))
    ['bias']
    """
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def only(state: State, groups: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors of these groups, under their whole names."""
    return {key: value for key, value in state.items() if key.split("/")[0] in groups}


def grouped(**groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state of these groups.

    >>> import torch
    >>> list(grouped(weights={"bias": torch.zeros(2)}, adam={"step": torch.zeros(())}))
    ['weights/bias', 'adam/step']
    """
    return {f"{name}/{key}": value for name, members in groups.items() for key, value in members.items()}
