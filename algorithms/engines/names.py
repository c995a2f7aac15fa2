"""The names of the engines and of the precisions. Importing them does not import PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

EngineName = Literal["loop", "fused", "vmap", "stacked"]
"""The ways in which tasks are mapped; see ``algorithms.engines.task_network``."""

ENGINES: tuple[EngineName, ...] = get_args(EngineName)

NUMERICS: Mapping[EngineName, int] = {**dict.fromkeys(ENGINES, 1), "stacked": 2}
"""The version of each engine's numerics, raised by hand where a change moves the bits of what it computes."""

PrecisionName = Literal["bf16"]
"""The precisions other than float32, which is the default; see ``algorithms.engines.precision``."""

PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)

PRECISION_NUMERICS: Mapping[PrecisionName, int] = {"bf16": 1}
"""The version of each precision's numerics, as ``NUMERICS``."""
