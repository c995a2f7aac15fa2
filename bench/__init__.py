"""A benchmark of gradient-based meta-learning: one episode protocol, paired comparisons, honest time and memory.

>>> import bench
>>> results = bench.run("smoke", out="results/smoke")  # doctest: +SKIP
>>> bench.load("results/smoke")  # a data frame  # doctest: +SKIP
>>> bench.compare("results/smoke", "maml", "fomaml").frame  # another one  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent.parent


def _import_from_here(name: str) -> None:
    """Import the package ``name`` that lies beside this one, whatever else is called so on ``sys.path``.

    ``python -m`` puts the current folder before all others, and the names are common: a folder ``datasets`` there, or
    the library of that name, would be imported instead.

    Raises:
        ImportError: another package of that name was imported before.
    """
    if name not in sys.modules:
        spec = PathFinder.find_spec(name, [str(HERE)])
        if spec is None or spec.loader is None:
            raise ImportError(f"there is no package `{name}` in {HERE}; install meta-learning-bench again")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    folders = [Path(place).resolve() for place in getattr(sys.modules[name], "__path__", [])]
    if folders != [HERE / name]:
        other = folders[0] if folders else getattr(sys.modules[name], "__file__", None)
        raise ImportError(
            f"`{name}` is {other} in this process, not {HERE / name}: import bench before it, "
            "or rename it if it is yours"
        )


for _name in ("datasets", "algorithms"):
    _import_from_here(_name)

if TYPE_CHECKING:
    from bench.analysis.compare import compare
    from bench.api import Results, Tuning, load, measure_cost, run, tune
    from bench.external.api import export_episodes
    from bench.external.score import score
    from bench.learner.load import load_learner
    from bench.reproducibility.rerun import repro
    from bench.spec.grid import Grid, load_grid

__all__ = [
    "Grid",
    "Results",
    "Tuning",
    "compare",
    "export_episodes",
    "load",
    "load_grid",
    "load_learner",
    "measure_cost",
    "repro",
    "run",
    "score",
    "tune",
]

_MODULES = {
    "Grid": "bench.spec.grid",
    "Results": "bench.api",
    "Tuning": "bench.api",
    "compare": "bench.analysis.compare",
    "export_episodes": "bench.external.api",
    "load": "bench.api",
    "load_grid": "bench.spec.grid",
    "load_learner": "bench.learner.load",
    "measure_cost": "bench.api",
    "repro": "bench.reproducibility.rerun",
    "run": "bench.api",
    "score": "bench.external.score",
    "tune": "bench.api",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a function's module when it is asked for (PEP 562): PyTorch alone takes seconds."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_MODULES[name]), name)

    def __dir__() -> list[str]:
        return [*globals(), *_MODULES]
