"""Running and loading experiments as functions for scripts and notebooks. They print nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from bench.analysis.leaderboard import board_of, leaderboard
from bench.analysis.scores import comparable
from bench.execution.events import OnEvent, ignore
from bench.execution.run import RunOptions, run_grid
from bench.process.plugins import import_plugins
from bench.spec.grid import Grid, load_grid, parse_grid
from bench.spec.variations import changed, narrowed
from bench.store.store import Store


@dataclass(frozen=True)
class Results:
    """An experiment on disk.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary numbers, digests."""
        return Store(self.path).rows()

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of the cells that ended without a result."""
        cells = self.cells
        return cells[cells["status"] != "ok"]

    @property
    def episodes(self) -> pd.DataFrame:
        """A row per finished cell, test episode and inner step."""
        return Store(self.path).episodes()

    @property
    def curves(self) -> pd.DataFrame:
        """A row per finished cell and measurement during training: outer step, training loss, validation."""
        return Store(self.path).curves()

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row per dataset, shape and algorithm, best first; see ``bench.analysis.leaderboard``."""
        return leaderboard(Store(self.path))

    def _repr_html_(self) -> str:
        """Return the leaderboard for a notebook, with the cells without a result."""
        from bench.report.leaderboard import failure_table, leaderboard_tables
        from bench.report.renderers import to_html

        rows, episodes = comparable(Store(self.path))
        failed = failure_table(rows)
        return to_html([*leaderboard_tables(board_of(rows, episodes)), *([failed] if failed.rows else [])])


def run(
    grid: Grid | Mapping[str, Any] | str | Path = "grid",
    out: Path | str | None = None,
    *,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    hparams: Mapping[str, Any] | None = None,
    on_event: OnEvent = ignore,
    **options: Unpack[RunOptions],
) -> Results:
    """Run the cells of a grid that a folder does not hold yet, and return all that it holds then.

    Other runs on the same folder, of this machine or others, take their share of the cells; this returns when all have
    ended.

    Args:
        grid: a grid, the name of one in ``bench/spec/grids``, a file, or a dictionary with what a file would hold.
        out: the experiment's folder; ``results/<grid name>`` by default.
        algorithms: these instead of the grid's.
        datasets: only these of the grid's.
        shots: only these of the grid's.
        seeds: these instead of the grid's.
        hparams: values on top of the grid's, as ``{"inner_lr": 0.1, "maml.test_steps": 5, "train.episodes": 4000}``;
            see ``bench.spec.variations.changed``.
        on_event: called with everything that happens; see ``bench.execution.events``.
        options: how the cells are run, such as ``jobs=2``; see ``bench.execution.run.RunOptions``.

    Raises:
        UserError: a mistake in the grid or the options, or other settings in ``out``, before anything runs; or
            ``CannotWrite``, where the folder cannot be written any more.
        FirstFailure: with ``fail_fast``.
        TypeError: there is no such option.

    >>> results = run("smoke", algorithms=["finetune"], datasets=["sinusoid"], hparams={"train.episodes": 8}, jobs=1)
    >>> results.cells[["algorithm", "dataset", "shape", "status"]]
      algorithm   dataset    shape status
    0  finetune  sinusoid  10-shot     ok
    """
    import_plugins(options.get("plugins", ()))
    chosen = narrowed(_grid_of(grid), algorithms, datasets, shots, seeds)
    return Results(run_grid(changed(chosen, hparams or {}), out, on_event, **options).root)


def load(path: Path | str) -> pd.DataFrame:
    """Return the cells of the experiment in a folder, a row each.

    ``Results(path)`` has its episodes, curves and leaderboard too.

    Raises:
        UserError: the folder holds no results.
    """
    return Store(path).rows()


def _grid_of(grid: Grid | Mapping[str, Any] | str | Path) -> Grid:
    if isinstance(grid, Mapping):
        return parse_grid(dict(grid))
    return grid if isinstance(grid, Grid) else load_grid(grid)
