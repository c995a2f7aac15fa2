"""What a report is made of: the rows, episodes and curves of one experiment, or of several read as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.bounds import contenders
from bench.printable import printable
from bench.report.leaderboard import board_of
from bench.scores import check_comparable
from bench.spec import parse_grid
from bench.store import Store
from datasets import UserError

KEY = ["dataset", "shape", "algorithm", "seed"]


@dataclass(frozen=True)
class Section:
    """One dataset and shape that has a result.

    Attributes:
        dataset: its name.
        shape: ``5-way 1-shot``, or ``10-shot`` for regression.
        board: the leaderboard's rows, best first.
        rows: a row per cell.
        episodes: a row per finished cell, test episode and inner step.
        curves: a row per finished cell and measurement during training.
    """

    dataset: str
    shape: str
    board: pd.DataFrame
    rows: pd.DataFrame
    episodes: pd.DataFrame
    curves: pd.DataFrame

    @property
    def title(self) -> str:
        return f"{self.dataset} {self.shape}"

    @property
    def name(self) -> str:
        """The title as part of a file's name or a link."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title).strip("-")

    @property
    def regression(self) -> bool:
        return "mse" in self.board and bool(self.board["mse"].notna().any())

    @property
    def finished(self) -> pd.DataFrame:
        """The leaderboard's rows that have a result."""
        return self.board[self.board["seeds"] > 0]

    @property
    def algorithms(self) -> list[str]:
        """Those that have a result, best first, bounds last."""
        return [str(name) for name in self.finished["algorithm"]]

    @property
    def contenders(self) -> list[str]:
        """The same without bounds."""
        return contenders(self.algorithms)


@dataclass(frozen=True)
class Evidence:
    """Everything that a report reads, read once.

    Attributes:
        names: of the experiments.
        rows: a row per cell; algorithms of which two experiments hold different results carry the experiment's name.
        episodes: a row per finished cell, test episode and inner step.
        curves: a row per finished cell and measurement during training.
        board: the leaderboard.
        folders: of the finished cells, by cell id.
        grids: what was asked for, as stored; None where it is not known.
        never_run: cells that were asked for and have neither result nor failure, as (dataset, algorithms, how many).
        notes: what a reader should know of how experiments were put together.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    episodes: pd.DataFrame
    curves: pd.DataFrame
    board: pd.DataFrame
    folders: Mapping[str, Path]
    grids: tuple[dict[str, Any] | None, ...]
    never_run: tuple[tuple[str, str, int], ...]
    notes: tuple[str, ...]

    def sections(self) -> Iterator[Section]:
        """The datasets and shapes that have a result, in the leaderboard's order."""
        for (dataset, shape), part in self.board.groupby(["dataset", "shape"], sort=False):
            if part["seeds"].sum():
                yield Section(str(dataset), str(shape), part, *(self._of(t, dataset, shape) for t in self._tables))

    @property
    def _tables(self) -> tuple[pd.DataFrame, ...]:
        return self.rows, self.episodes, self.curves

    def _of(self, table: pd.DataFrame, dataset: object, shape: object) -> pd.DataFrame:
        return table[(table["dataset"] == dataset) & (table["shape"] == shape)] if len(table) else table


def gather(paths: Sequence[Path | str]) -> Evidence:
    """Read experiments: one, or several as one.

    Cells of several experiments are put together. A cell that two of them hold counts once, from the first. Where two
    hold results of one algorithm, dataset, shape and seed under different specifications, the algorithm's rows carry
    their experiment's name, so that they stand side by side.

    Raises:
        UserError: there are no results, or they cannot be compared; see ``bench.scores.check_comparable``.
    """
    stores = [Store(path) for path in paths]
    names = _names([store.root for store in stores])
    rows = [store.rows().assign(experiment=name) for store, name in zip(stores, names, strict=True)]
    for store, found in zip(stores, rows, strict=True):
        if found.empty:
            raise UserError(
                f"{store.root} holds no finished cells yet; `python -m bench run` continues where it stopped"
            )
    both = pd.concat(rows, ignore_index=True)
    repeated = both["cell"].duplicated()
    notes = [f"{int(repeated.sum())} cells are in more than one experiment and count once"] if repeated.any() else []
    both = both[~repeated].reset_index(drop=True)
    double = _told_apart(both) if len(stores) > 1 else []
    if double:
        notes.append(f"under different settings, side by side: {', '.join(double)}")
    new_name = {
        (row["experiment"], row["cell"]): f"{row['algorithm']} ({row['experiment']})"
        for row in both[both["algorithm"].isin(double)].to_dict("records")
    }
    episodes, curves = (
        _kept([getattr(store, what)() for store in stores], names, both, new_name) for what in ("episodes", "curves")
    )
    grids = tuple(store.experiment().get("grid") for store in stores)
    try:
        never_run = tuple(_never_run(grids, both))
    except UserError as error:  # such as an algorithm of a plugin that is not imported here
        never_run = ()
        notes.append(f"whether all cells were run is not known: {error}")
    both["algorithm"] = _renamed(both, new_name)
    check_comparable(both)
    folders: dict[str, Path] = {}
    for store, name in zip(stores, names, strict=True):
        mine = set(both.loc[(both["experiment"] == name) & (both["status"] == "ok"), "cell"])
        folders |= {cell: store.cells / cell for cell in sorted(mine)}
    return Evidence(
        tuple(names),
        both,
        episodes,
        curves,
        board_of(both, episodes),
        folders,
        grids,
        never_run,
        tuple(notes),
    )


def _names(roots: Sequence[Path]) -> list[str]:
    """The folders' names; whole paths where two are the same."""
    short = [printable(root.resolve().name) for root in roots]
    return short if len(set(short)) == len(short) else [printable(str(root)) for root in roots]


def _told_apart(rows: pd.DataFrame) -> list[str]:
    """The algorithms of which two experiments hold a result of the same seed on the same dataset and shape."""
    finished = rows[rows["status"] == "ok"]
    experiments = finished.groupby(KEY)["experiment"].nunique()
    return sorted({str(name) for name in experiments[experiments > 1].index.get_level_values("algorithm")})


def _renamed(table: pd.DataFrame, new_name: Mapping[tuple[str, str], str]) -> list[str]:
    if not new_name:
        return list(table["algorithm"])
    keys = zip(table["experiment"], table["cell"], table["algorithm"], strict=True)
    return [new_name.get((experiment, cell), algorithm) for experiment, cell, algorithm in keys]


def _kept(
    tables: Sequence[pd.DataFrame], names: Sequence[str], rows: pd.DataFrame, new_name: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    """The tables of all experiments as one, without the cells that count elsewhere, algorithms renamed."""
    parts = []
    for table, name in zip(tables, names, strict=True):
        if len(table):
            mine = rows.loc[rows["experiment"] == name, "cell"]
            parts.append(table[table["cell"].isin(mine)].assign(experiment=name))
    if not parts:
        return pd.DataFrame()
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(algorithm=_renamed(whole, new_name))


def _never_run(grids: Sequence[dict[str, Any] | None], rows: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    """What was asked for and is not there, whatever the device that it was asked for on."""
    there = set(rows[KEY].itertuples(index=False, name=None))
    cells = [cell for grid in grids if grid is not None for cell in parse_grid(grid, "experiment.json").cells()]
    missing = [cell for cell in cells if (cell.dataset, cell.shape, cell.algorithm, cell.seed) not in there]
    for dataset, count in Counter(cell.dataset for cell in missing).items():
        whose = dict.fromkeys(cell.algorithm for cell in missing if cell.dataset == dataset)
        yield dataset, ", ".join(whose), count
