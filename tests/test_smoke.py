"""A minute of tests for every Python: import everything, and run, report and compare a little grid of all kinds."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from tests.bench.helpers import GLYPHS, SINUSOID, bench, statuses, write_grid

FOR_OTHERS = {"bench.speed.jax_maml"}  # needs what only comparisons of speed install


def modules() -> list[str]:
    """Every module of the three packages."""
    names = []
    for package in ("bench", "algorithms", "datasets"):
        path = importlib.import_module(package).__path__
        names += [package, *(one.name for one in pkgutil.walk_packages(path, f"{package}."))]
    return [name for name in names if name not in FOR_OTHERS and not name.endswith("__main__")]


def test_every_module_can_be_imported() -> None:
    names = modules()
    assert len(names) > 100
    for name in names:
        importlib.import_module(name)


def test_a_grid_of_every_kind_runs_and_is_reported(tmp_path: Path) -> None:
    grid = write_grid(
        tmp_path / "small.yaml",
        algorithms=["maml", "reptile", "finetune", "protonet"],
        datasets=[SINUSOID | {"algorithms": ["maml", "reptile", "finetune"]}, dict(GLYPHS)],
        settings=[{"algorithms": ["maml", "reptile"], "set": {"meta_batch": 4, "test_steps": 2}}],
    )
    done = bench("run", grid, "--out", "out", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(statuses(tmp_path / "out").values()) == {"ok"}
    assert (tmp_path / "out/report/index.html").stat().st_size > 10_000
    for arguments in (("leaderboard", "out"), ("compare", "maml", "reptile", "--results", "out")):
        shown = bench(*arguments, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "maml" in shown.stdout
