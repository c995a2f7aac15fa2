"""The report of a search: tables as CSV and Markdown, figures as PNG and SVG, in ``<experiment>/tuning``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.escaping import in_markdown, to_csv
from bench.report.figures.style import files_of, styled
from bench.report.panels import Panels
from bench.report.renderers import to_markdown
from bench.report.table_model import Column, ReportTable, TableCell, table_of
from bench.spec.tuned_file import tuned_name
from bench.stats import ALPHA
from bench.tuning.report import figures as figures
from bench.tuning.report import tables as tables
from bench.tuning.study import Opened
from datasets import UserError

FOLDER = "tuning"
DODGE = (
    "The expected best of n trials is the mean of the best of n draws with replacement from a study's values (Dodge et "
    "al. 2019). It estimates random search; for other samplers it describes the values that they drew. A trial without "
    "a value counts as the worst of its study."
)
SAME = "All trials of a dataset were validated on the same episodes; no trial used test episodes."
COST = "The sum over all attempts, including repeated ones, beside one training run with the selected values."


def write_tuning_report(done: Sequence[Opened], out: Path, name: str = FOLDER, panels: Panels | None = None) -> Path:
    """Write the report of these studies to the folder ``name`` in ``out``; the path of its Markdown.

    ``panels`` records the figures that could not be drawn, which the Markdown names.

    Raises:
        UserError: the folder cannot be made, or the re-runs in ``out`` cannot be compared.
    """
    folder = out / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {folder}: {error.strerror}; choose another folder", "out"
        ) from None
    trials, studies, searches = tables.trials(done), tables.studies(done), tables.searches(done)
    importances = tables.importances(done)
    compared = tables.default_and_tuned(done, out, np.random.default_rng(0))
    for name, table in (
        ("trials", trials),
        ("studies", studies),
        ("expected_best", searches),
        ("importance", importances),
        ("default_and_tuned", compared),
    ):
        if len(table):
            (folder / f"{name}.csv").write_text(to_csv(table), encoding="utf-8")
    panels = panels if panels is not None else Panels()
    shown = _figures(panels, done, folder, trials, studies, searches, importances, compared)
    page = folder / "tuning.md"
    page.write_text("\n".join(_page(done, studies, compared, shown, panels)), encoding="utf-8")
    return page


def _figures(
    panels: Panels,
    done: Sequence[Opened],
    folder: Path,
    trials: pd.DataFrame,
    studies: pd.DataFrame,
    searches: pd.DataFrame,
    importances: pd.DataFrame,
    compared: pd.DataFrame,
) -> list[Path]:
    """Every figure that has something to show; their PNG files."""
    metrics = dict(zip(studies["dataset"], studies["metric"], strict=True))
    wanted: dict[str, Callable[[], Figure]] = {}
    if len(compared):
        wanted["default_and_tuned"] = partial(figures.default_and_tuned, compared)
    wanted["expected_best"] = partial(figures.expected_best, searches, metrics)
    wanted["history"] = partial(figures.history, searches, metrics)
    wanted["cost"] = partial(figures.cost, studies)
    if len(importances):
        wanted["importance"] = partial(figures.importance, importances)
    names = done[0].plan.method.names
    if len(names) > 1:
        wanted["pareto"] = partial(figures.pareto, trials, metrics, names[1])
    for opened in done:
        plan = opened.plan
        name = f"slices--{tuned_name(plan.cell.algorithm, plan.cell.dataset, plan.shape)}"
        wanted[name] = partial(figures.slices, opened)
    written: list[Path] = []
    with styled():
        for name, draw in wanted.items():
            written += panels.attempt(f"the figure '{name}'", partial(_saved, draw, folder, name)) or []
    return [path for path in written if path.suffix == ".png"]


def _saved(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    """Write the figure in every format; return its files."""
    written = []
    for suffix, content in files_of(draw()).items():
        written.append(folder / f"{name}.{suffix}")
        written[-1].write_bytes(content)
    return written


def _page(
    done: Sequence[Opened], studies: pd.DataFrame, compared: pd.DataFrame, shown: Sequence[Path], panels: Panels
) -> list[str]:
    method, seed = done[0].plan.method, done[0].plan.cell.seed
    how = f"Objective {method.objective}, sampler {method.sampler}, pruner {method.pruner}."
    won = [row for row in _rows(studies) if row["default_won"]]
    if len(compared):
        seeds = ", ".join(dict.fromkeys(seed for text in compared["seeds"] for seed in text.split()))
        where = f"Selected on seed {seed}, reported on seeds {seeds}."
    elif len(won) == len(studies):
        where = f"Selected on seed {seed}."
    else:
        where = f"Selected on seed {seed}; not yet reported on others."
    lines = ["# Tuning", "", f"{where} {how} {SAME}", ""]
    for table in (_selected(studies), _compared(compared), _costs(studies)):
        if table.rows:
            lines += [f"## {table.title}", "", *table.notes, "", *to_markdown(table), ""]
        if table.title == SELECTED and won:
            names = "; ".join(f"{row['algorithm']} on {row['dataset']} {row['shape']}" for row in won)
            lines += [f"The default won and is not compared with itself: {in_markdown(names)}.", ""]
    lines += ["## Figures", "", DODGE, "", *(f"![{path.stem}]({path.name})\n" for path in shown)]
    lines += [f"Not drawn: {line}\n" for line in panels.lines()]
    return lines


SELECTED = "Selected values"
NAMES = (Column("algorithm", numeric=False), Column("dataset", numeric=False))
VALUES = Column("selected values", numeric=False, wrap=True)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _names(row: dict[str, Any]) -> list[str]:
    metric = "%" if row["metric"].startswith("accuracy") else row["metric"]
    return [row["algorithm"], f"{row['dataset']} {row['shape']}, {metric}"]


def _score(row: dict[str, Any], name: str, signed: bool = False) -> str:
    """Format accuracy in percentage points, squared error and return to three digits."""
    plus = "+" if signed else ""
    return f"{100 * row[name]:{plus}.1f}" if row["metric"].startswith("accuracy") else f"{row[name]:{plus}.3g}"


def _selected(studies: pd.DataFrame) -> ReportTable:
    """Return what each study selected, and how its trials ended."""
    counts = ("trials", "complete", "pruned", "failed", "repeated")
    columns = (*NAMES, Column("validation"), *map(Column, counts), VALUES)
    lines = [
        [
            *_names(row),
            _score(row, "validation"),
            *(str(row[name]) for name in counts),
            f"{row['values']}{' (the default won)' if row['default_won'] else ''}",
        ]
        for row in _rows(studies)
    ]
    return replace(table_of(SELECTED, columns, lines), notes=("Scores are of the meta-validation episodes.",))


def _compared(compared: pd.DataFrame) -> ReportTable:
    """Return the tuned values beside the defaults on fresh seeds."""
    heads = ("default", "tuned", "tuned - default", "95% interval", "p")
    columns = (*NAMES, *map(Column, heads), Column("scope", numeric=False))
    lines = [
        [
            *_names(row),
            _score(row, "default"),
            TableCell(_score(row, "tuned"), strong=row["p_adjusted"] < ALPHA),
            _score(row, "difference", True),
            f"{_score(row, 'low', True)} to {_score(row, 'high', True)}",
            f"{row['p_adjusted']:.2g}",
            row["scope"],
        ]
        for row in _rows(compared)
    ]
    note = (
        "Paired by seed and test episode, as in `bench compare`; p after Holm's adjustment over the rows. Bold: the "
        f"tuned values differ from the default at p < {ALPHA}."
    )
    return replace(table_of("Default and tuned on fresh seeds", columns, lines), notes=(note,))


def _costs(studies: pd.DataFrame) -> ReportTable:
    """Return the cost of each search beside one training run."""
    heads = ("search s", "search episodes", "one training s", "ratio")
    lines = []
    for row in _rows(studies):
        search, training = row["seconds"], row["train_seconds"]
        costs = [f"{search:.0f}", f"{row['episodes']:,}", f"{training:.1f}", f"{search / training:.0f}"]
        lines.append([*_names(row), *costs])
    return replace(table_of("Cost", (*NAMES, *map(Column, heads)), lines), notes=(COST,))
