"""The closed sets of names that a grid chooses from, apart from what they stand for, which needs PyTorch."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal["loop", "fused", "vmap", "stacked"]
"""How tasks are mapped; see ``algorithms.task_map``."""

ENGINES: tuple[EngineName, ...] = get_args(EngineName)

HeadInit = Literal["small", "normal", "glorot"]
"""How the weights of a head are drawn; see ``algorithms.networks.Conv4``."""
