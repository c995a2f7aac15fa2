"""The names of the engines, apart from the engines themselves, which need PyTorch."""

from __future__ import annotations

from typing import Literal, get_args

EngineName = Literal["loop", "fused", "vmap", "stacked"]
"""How tasks are mapped; see ``algorithms.engines.task_network``."""

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
