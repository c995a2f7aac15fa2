"""The tables of one experiment, or of several read as one: rows, episodes, curves and the leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from algorithms import ALGORITHMS
from bench.analysis.bounds import contenders
from bench.analysis.budgets import ResultsByBudget
from bench.analysis.costs import with_costs
from bench.analysis.leaderboard import board_of
from bench.analysis.numerics import numerics_notes
from bench.analysis.scores import check_comparable, nothing_finished
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from bench.store.records import EXTERNAL
from bench.store.settings import plain, renamed, together
from bench.store.store import SETTING, Store, has_weights, read_cell
from datasets import UserError
from datasets.core.printable import printable

KEY = ["dataset", "shape", "algorithm", "seed"]


def link_name(title: str) -> str:
    """Return a title as part of a file's name or a link."""
    return "".join(letter if letter.isalnum() else "-" for letter in title).strip("-")


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
        budgets: the leaderboard's rows at each training budget, with a column ``budget``; empty where there is one.
        crossings: where one algorithm overtakes another as the budget grows, a sentence each.
    """

    dataset: str
    shape: str
    board: pd.DataFrame
    rows: pd.DataFrame
    episodes: pd.DataFrame
    curves: pd.DataFrame
    budgets: pd.DataFrame = field(default_factory=pd.DataFrame)
    crossings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.dataset} {self.shape}"

    @property
    def name(self) -> str:
        """The title as part of a file's name or a link."""
        return link_name(self.title)

    @property
    def regression(self) -> bool:
        """Return whether squared errors are measured."""
        return "mse" in self.board and bool(self.board["mse"].notna().any())

    @property
    def control(self) -> bool:
        """Return whether returns are measured."""
        return "return" in self.board and bool(self.board["return"].notna().any())

    @property
    def has_classes(self) -> bool:
        """Return whether accuracies are measured."""
        return not (self.regression or self.control)

    @property
    def finished(self) -> pd.DataFrame:
        """The leaderboard's rows that have a result."""
        return self.board[self.board["seeds"] > 0]

    @property
    def algorithms(self) -> list[str]:
        """The algorithms that have a result, best first, bounds last."""
        return [str(name) for name in self.finished["algorithm"]]

    @property
    def external(self) -> list[str]:
        """The algorithms whose predictions were made elsewhere."""
        finished = self.finished
        return [] if EXTERNAL not in finished else [str(n) for n in finished.loc[finished[EXTERNAL] != "", "algorithm"]]

    @property
    def contenders(self) -> list[str]:
        """The algorithms that have a result, without bounds."""
        return contenders(self.algorithms)


@dataclass(frozen=True)
class Experiments:
    """One experiment, or several read as one: everything that a report needs, read once.

    Attributes:
        names: names of the experiments.
        rows: a row per cell that counts; algorithms with several settings have the difference behind their names.
        episodes: a row per finished cell, test episode and inner step.
        curves: a row per finished cell and measurement during training.
        board: the leaderboard.
        folders: folders of the finished cells, by cell id.
        grids: the stored grids of each experiment; none where they are not known.
        never_run: cells of the grids that have neither result nor failure, as (dataset, algorithms, count).
        notes: sentences on how the experiments were put together.
        budgets: the leaderboard at each training budget; see ``bench.analysis.budgets``. Empty where cells were tested
            at the end of training alone.
        crossings: where one algorithm overtakes another as the budget grows, a sentence each.
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
    budgets: pd.DataFrame = field(default_factory=pd.DataFrame)
    crossings: tuple[str, ...] = ()

    def sections(self) -> Iterator[Section]:
        """Yield the datasets and shapes that have a result, in the leaderboard's order."""
        for (dataset, shape), part in self.board.groupby(["dataset", "shape"], sort=False):
            if part["seeds"].sum():
                rows, episodes, curves = (self._of(table, dataset, shape) for table in self._tables)
                budgets = self._of(self.budgets, dataset, shape)
                yield Section(
                    str(dataset),
                    str(shape),
                    part,
                    rows,
                    episodes,
                    curves,
                    budgets=budgets if len(budgets) and budgets["budget"].nunique() > 1 else pd.DataFrame(),
                    crossings=tuple(line for line in self.crossings if line.startswith(f"{dataset} {shape}: ")),
                )

    def first_folder(self, section: Section, algorithm: str) -> Path:
        """Return the folder of the algorithm's finished cell of the first seed."""
        cells = section.rows[(section.rows["algorithm"] == algorithm) & (section.rows["status"] == "ok")]
        return self.folders[str(cells.sort_values("seed")["cell"].iloc[0])]

    def adaptable(self, section: Section) -> Iterator[tuple[str, Cell, Path]]:
        """Yield the algorithms whose first seed can be adapted here, with its cell and folder.

        External results, cells published without weights, and algorithms that are not registered here are left out.
        """
        for name in section.algorithms:
            folder = self.first_folder(section, name)
            cell = read_cell(folder)
            if cell.external is None and cell.algorithm in ALGORITHMS and has_weights(folder):
                yield name, cell, folder

    def without_weights(self, section: Section) -> list[str]:
        """Return the section's algorithms whose first seed was published without weights."""
        return [name for name in section.algorithms if not has_weights(self.first_folder(section, name))]

    @property
    def _tables(self) -> tuple[pd.DataFrame, ...]:
        return self.rows, self.episodes, self.curves

    def _of(self, table: pd.DataFrame, dataset: object, shape: object) -> pd.DataFrame:
        return table[(table["dataset"] == dataset) & (table["shape"] == shape)] if len(table) else table


def gather(paths: Sequence[Path | str]) -> Experiments:
    """Read experiments: one, or several as one.

    Cells are put together by ``bench.store.settings.together``: a cell that several experiments hold counts once, a
    result before a failure, and an algorithm under several settings stands side by side with itself.

    Raises:
        UserError: there are no results, or they cannot be compared; see ``bench.analysis.scores.check_comparable``.
    """
    stores = [Store(path) for path in paths]
    names = _names([store.root for store in stores])
    rows = [with_costs(store.rows(), store).assign(experiment=name) for store, name in zip(stores, names, strict=True)]
    for store, table in zip(stores, rows, strict=True):
        if table.empty:
            raise nothing_finished(store)
    everything = pd.concat(rows, ignore_index=True)
    counted = together(everything)
    notes = [*_notes(everything, counted), *numerics_notes(counted)]
    episodes, curves = (
        _kept([getattr(store, what)() for store in stores], names, counted) for what in ("episodes", "curves")
    )
    grids = [store.experiment().get("grids", []) for store in stores]
    try:
        never_run = tuple(_never_run(dict(zip(names, grids, strict=True)), everything))
    except UserError as error:  # such as an algorithm of a plugin that is not imported here
        never_run = ()
        notes.append(f"cells that were not run cannot be counted: {error}")
    check_comparable(counted)
    folders: dict[str, Path] = {}
    for store, name in zip(stores, names, strict=True):
        own = set(counted.loc[(counted["experiment"] == name) & (counted["status"] == "ok"), "cell"])
        folders |= {cell: store.cells / cell for cell in sorted(own)}
    points, earlier = (
        _kept([getattr(store, what)() for store in stores], names, counted) for what in ("budgets", "budget_episodes")
    )
    tests = ResultsByBudget(" and ".join(names), counted, episodes, points, earlier)
    return Experiments(
        tuple(names),
        counted,
        episodes,
        curves,
        board_of(counted, episodes),
        folders,
        tuple(tuple(stored) for stored in grids),
        never_run,
        tuple(notes),
        *((tests.boards(), tuple(tests.crossings())) if len(earlier) else ()),
    )


def _names(roots: Sequence[Path]) -> list[str]:
    """Return the folders' names; whole paths where two are the same."""
    short = [printable(root.resolve().name) for root in roots]
    return short if len(set(short)) == len(short) else [printable(str(root)) for root in roots]


def _notes(everything: pd.DataFrame, counted: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on how the cells were put together, where that is not obvious."""
    if repeated := int(everything["cell"].duplicated().sum()):
        yield f"{repeated} cells are in more than one experiment and count once"
    if replaced := everything["cell"].nunique() - len(counted):
        yield f"{replaced} cells without a result do not count: another cell of the same seed has a result"
    plain_names = [plain(row) for row in counted[["algorithm", SETTING]].to_dict("records")]
    labelled = counted[counted["algorithm"] != plain_names]
    if len(labelled):
        several = counted["experiment"].nunique() > 1
        sources = labelled.groupby("algorithm", sort=False)["experiment"].unique().items()
        labels = (f"{name} of {' and '.join(owners)}" if several else str(name) for name, owners in sources)
        yield f"algorithms with several settings have a row for each: {'; '.join(labels)}"


def _kept(tables: Sequence[pd.DataFrame], names: Sequence[str], rows: pd.DataFrame) -> pd.DataFrame:
    """Concatenate the tables of all experiments, without the cells that count elsewhere or not at all."""
    parts = []
    for table, name in zip(tables, names, strict=True):
        if len(table):
            parts.append(renamed(table, rows[rows["experiment"] == name]).assign(experiment=name))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _never_run(grids: Mapping[str, Sequence[dict[str, Any]]], rows: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    """Yield the cells of the grids that no experiment holds, on any device, as (dataset, algorithms, count)."""
    present = set(rows[["experiment", *KEY]].itertuples(index=False, name=None))
    ids = set(rows["cell"])
    cells = {
        (name, cell.dataset, cell.shape, cell.algorithm, cell.seed): cell
        for name, stored in grids.items()
        for grid in stored
        for cell in parse_grid(grid, "experiment.json").cells()
    }
    missing = {cell.id: cell for key, cell in cells.items() if key not in present and cell.id not in ids}
    for dataset, count in Counter(cell.dataset for cell in missing.values()).items():
        algorithms = dict.fromkeys(cell.algorithm for cell in missing.values() if cell.dataset == dataset)
        yield dataset, ", ".join(algorithms), count
