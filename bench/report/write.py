"""Write a report: the page, the leaderboard in every form, a row per cell, and the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

import datasets
from bench.analysis.costs import without_costs
from bench.analysis.experiments import Experiments, gather
from bench.report.budget_table import budget_table
from bench.report.escaping import to_csv
from bench.report.figures import KINDS, overview, ranks, styled
from bench.report.figures.style import FORMATS, files_of
from bench.report.leaderboard import leaderboard_tables
from bench.report.markdown import markdown
from bench.report.page import page
from bench.report.panels import Panels
from bench.report.renderers import to_latex
from bench.store.atomic import absolute, name_of_length
from bench.store.store import SETTING
from datasets import UserError


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        folder: folder of the report.
        experiments: the experiments that it shows.
        files: all files, the page first.
        failed: the panels that could not be drawn and why, a line each; the page has a note in their place.
    """

    folder: Path
    experiments: Experiments
    files: tuple[Path, ...]
    failed: tuple[str, ...] = ()

    @property
    def board(self) -> pd.DataFrame:
        """The leaderboard."""
        return self.experiments.board


def write_report(
    path: Path | str,
    folder: Path | str | None = None,
    *,
    beside: Sequence[Path | str] = (),
    data_root: Path | None = None,
) -> Report:
    """Write the report of an experiment: the same results give the same bytes.

    Args:
        path: the experiment's folder.
        folder: where to write; by default ``<path>/report``, or ``<path>/report-beside-<others>`` with others.
        beside: further experiments, to merge or to set side by side; see ``bench.analysis.experiments.gather``.
        data_root: where the datasets lie, for pictures of episodes and fits.

    Raises:
        UserError: there are no results, they cannot be compared, or the folder cannot be made.
    """
    experiments = gather([path, *beside])
    usual = "-".join(["report", *(["beside", *experiments.names[1:]] if beside else [])]).replace("/", "_")
    target = absolute(folder) if folder is not None else absolute(path) / name_of_length(usual)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {target}: {error.strerror}; choose another folder", "out"
        ) from None
    panels = Panels()
    figures = list(_write_figures(experiments, target, panels))
    pictures = [figure for figure in figures if figure.suffix == ".png"]
    by_budget = [budget_table(section) for section in experiments.sections()]
    text = markdown(experiments.rows, experiments.board, by_budget, experiments.crossings)
    if pictures:
        text += "\n## Figures\n\n" + "\n\n".join(f"![{figure.stem}]({figure.name})" for figure in pictures) + "\n"
    texts = {
        "index.html": page(experiments, datasets.data_root(data_root), panels),
        "leaderboard.md": text,
        "leaderboard.tex": to_latex(table.without_details() for table in leaderboard_tables(experiments.board)),
        "leaderboard.csv": to_csv(experiments.board),
        "cells.csv": to_csv(without_costs(experiments.rows).drop(columns=SETTING)),
    }
    if len(experiments.budgets):
        texts["budgets.csv"] = to_csv(experiments.budgets)
    for name, content in texts.items():
        (target / name).write_text(content, encoding="utf-8")
    table = pa.Table.from_pandas(experiments.board, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, target / "leaderboard.parquet")
    names = [*texts, "leaderboard.parquet"]
    return Report(target, experiments, (*(target / name for name in names), *figures), tuple(panels.lines()))


def _write_figures(experiments: Experiments, folder: Path, panels: Panels) -> Iterator[Path]:
    """Write every figure in every format; those that have nothing to show are left out."""
    makers: dict[str, tuple[str, Callable[[], Figure | None]]] = {
        kind.name: (kind.title, partial(overview, kind, experiments, panels)) for kind in KINDS
    }
    makers[ranks.NAME] = (ranks.TITLE, partial(_ranks, experiments))
    with styled():
        for name, (title, make) in makers.items():
            files = panels.attempt(f"the figure '{title}'", partial(_files_of, make))
            if files is None:  # what an earlier report left is not of these results
                for suffix, _ in FORMATS:
                    (folder / f"{name}.{suffix}").unlink(missing_ok=True)
                continue
            for suffix, content in files.items():
                place = folder / f"{name}.{suffix}"
                place.write_bytes(content)
                yield place


def _ranks(experiments: Experiments) -> Figure | None:
    made = ranks.diagram(experiments.board)
    return None if made is None else made[1]


def _files_of(make: Callable[[], Figure | None]) -> dict[str, bytes]:
    """Return a figure by suffix; empty where it has nothing to show."""
    figure = make()
    return {} if figure is None else files_of(figure)
