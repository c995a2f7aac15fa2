"""Algorithms: a registry of the methods that are compared, each in a file that reads like its paper's box.

>>> from algorithms import ALGORITHMS
>>> ALGORITHMS["maml"].paper
'Finn et al. 2017, arXiv 1703.03400'
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from algorithms.core.entry import ALGORITHMS, AlgorithmEntry, Bound, register
except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("datasets."):
        raise
    raise ImportError(
        f"`datasets` is {list(sys.modules['datasets'].__path__)}, not the package in {Path(__file__).parent.parent}; "
        "import bench first, which finds its own"
    ) from None

if TYPE_CHECKING:
    from algorithms.core.algorithm import Algorithm, BatchAlgorithm, EpisodicAlgorithm, Problem
    from algorithms.core.hyperparameters import HyperParameters

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "AlgorithmEntry",
    "BatchAlgorithm",
    "Bound",
    "EpisodicAlgorithm",
    "HyperParameters",
    "Problem",
    "register",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what needs PyTorch or pydantic when it is asked for (PEP 562)."""
        if name in ("Algorithm", "BatchAlgorithm", "EpisodicAlgorithm", "HyperParameters", "Problem"):
            from algorithms.core import algorithm as base

            return getattr(base, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
