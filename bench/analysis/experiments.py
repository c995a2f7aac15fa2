"""What a report is made of: the rows, episodes and curves of one experiment, or of several read as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.bounds import contenders
from bench.analysis.leaderboard import board_of
from bench.analysis.scores import check_comparable
from bench.spec.grid import parse_grid
from bench.store.settings import plain, renamed, together
from bench.store.store import SETTING, Store
from datasets import UserError
from datasets.core.text import printable

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
        rows: a row per cell that counts; algorithms with several settings carry what differs behind their names.
        episodes: a row per finished cell, test episode and inner step.
        curves: a row per finished cell and measurement during training.
        board: the leaderboard.
        folders: of the finished cells, by cell id.
        grids: what was asked for, by experiment, as stored; none where it is not known.
        never_run: cells that were asked for and have neither result nor failure, as (dataset, algorithms, how many).
        notes: what a reader should know of how experiments were put together.
    """

    names: tuple[str, ...]
    rows: pd.DataFrame
    episodes: pd.DataFrame
    curves: pd.DataFrame
    board: pd.DataFrame
    folders: Mapping[str, Path]
    grids: tuple[tuple[dict[str, Any], ...], ...]
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

    Cells are put together by ``bench.store.settings.together``: a cell that several experiments hold counts once, a
    result before a failure, and an algorithm under several settings stands side by side with itself.

    Raises:
        UserError: there are no results, or they cannot be compared; see ``bench.analysis.scores.check_comparable``.
    """
    stores = [Store(path) for path in paths]
    names = _names([store.root for store in stores])
    rows = [store.rows().assign(experiment=name) for store, name in zip(stores, names, strict=True)]
    for store, found in zip(stores, rows, strict=True):
        if found.empty:
            raise UserError(
                f"{store.given} holds no finished cells yet; `python -m bench run` continues where it stopped"
            )
    whole = pd.concat(rows, ignore_index=True)
    counted = together(whole)
    notes = list(_notes(whole, counted))
    episodes, curves = (
        _kept([getattr(store, what)() for store in stores], names, counted) for what in ("episodes", "curves")
    )
    asked = [store.experiment().get("grids", []) for store in stores]
    try:
        never_run = tuple(_never_run(dict(zip(names, asked, strict=True)), whole))
    except UserError as error:  # such as an algorithm of a plugin that is not imported here
        never_run = ()
        notes.append(f"whether all cells were run is not known: {error}")
    check_comparable(counted)
    folders: dict[str, Path] = {}
    for store, name in zip(stores, names, strict=True):
        mine = set(counted.loc[(counted["experiment"] == name) & (counted["status"] == "ok"), "cell"])
        folders |= {cell: store.cells / cell for cell in sorted(mine)}
    return Evidence(
        tuple(names),
        counted,
        episodes,
        curves,
        board_of(counted, episodes),
        folders,
        tuple(tuple(grids) for grids in asked),
        never_run,
        tuple(notes),
    )


def _names(roots: Sequence[Path]) -> list[str]:
    """The folders' names; whole paths where two are the same."""
    short = [printable(root.resolve().name) for root in roots]
    return short if len(set(short)) == len(short) else [printable(str(root)) for root in roots]


def _notes(whole: pd.DataFrame, counted: pd.DataFrame) -> Iterator[str]:
    """How the cells were put together, where that is not plain."""
    if twice := int(whole["cell"].duplicated().sum()):
        yield f"{twice} cells are in more than one experiment and count once"
    if mended := whole["cell"].nunique() - len(counted):
        yield f"{mended} cells ended without a result and count no more: others of their seed have one"
    plain_names = [plain(row) for row in counted[["algorithm", SETTING]].to_dict("records")]
    labelled = counted[counted["algorithm"] != plain_names]
    if len(labelled):
        several = counted["experiment"].nunique() > 1
        names = labelled.groupby("algorithm", sort=False)["experiment"].unique().items()
        said = (f"{name} of {' and '.join(whose)}" if several else str(name) for name, whose in names)
        yield f"under different settings, side by side: {'; '.join(said)}"


def _kept(tables: Sequence[pd.DataFrame], names: Sequence[str], rows: pd.DataFrame) -> pd.DataFrame:
    """The tables of all experiments as one, without the cells that count elsewhere or not at all."""
    parts = []
    for table, name in zip(tables, names, strict=True):
        if len(table):
            parts.append(renamed(table, rows[rows["experiment"] == name]).assign(experiment=name))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _never_run(asked: Mapping[str, Sequence[dict[str, Any]]], rows: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    """What was asked for and is not there, whatever the device that it was asked for on."""
    there = set(rows[["experiment", *KEY]].itertuples(index=False, name=None))
    elsewhere = set(rows["cell"])
    cells = {
        (name, cell.dataset, cell.shape, cell.algorithm, cell.seed): cell
        for name, grids in asked.items()
        for grid in grids
        for cell in parse_grid(grid, "experiment.json").cells()
    }
    missing = {cell.id: cell for key, cell in cells.items() if key not in there and cell.id not in elsewhere}
    for dataset, count in Counter(cell.dataset for cell in missing.values()).items():
        whose = dict.fromkeys(cell.algorithm for cell in missing.values() if cell.dataset == dataset)
        yield dataset, ", ".join(whose), count
