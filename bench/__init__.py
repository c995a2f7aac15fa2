"""A benchmark of gradient-based meta-learning: one episode protocol, paired comparisons, honest time and memory.

>>> import bench
>>> results = bench.run("smoke", out="results/smoke")  # doctest: +SKIP
>>> bench.load("results/smoke")  # a data frame  # doctest: +SKIP
>>> bench.compare("results/smoke", "maml", "fomaml").frame  # another one  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from pathlib import Path

import datasets

if not hasattr(datasets, "DATASETS"):
    raise ImportError(
        f"`datasets` resolves to {getattr(datasets, '__file__', 'another package')}, not to this project's package; "
        f"run from {Path(__file__).resolve().parent.parent}, which must come first in sys.path (now: {sys.path[:3]})"
    )

from bench.api import Results, load, run  # only after the check above can this import succeed
from bench.comparing import compare
from bench.repeating import repro
from bench.spec import Grid, load_grid

__all__ = ["Grid", "Results", "compare", "load", "load_grid", "repro", "run"]
