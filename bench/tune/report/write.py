"""The report of a search: tables as CSV and Markdown, figures as PNG and SVG, in ``<experiment>/tuning``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from bench.report.escaping import markdown_table, to_csv
from bench.report.panels import Panels
from bench.spec.tuned_file import tuned_name
from bench.tune.report import figures as figures
from bench.tune.report import tables as tables
from bench.tune.study import Opened
from datasets import UserError

FOLDER = "tuning"
DODGE = (
    "The expected best of n trials is the mean of the best of n draws with replacement from a study's values (Dodge et "
    "al. 2019). It speaks of random search; for other samplers it describes the values that they found. A trial "
    "without a value counts as the worst of its study."
)
SAME = "All trials of a dataset were validated on the same episodes, and none saw a test episode."
COST = "Seconds of all attempts added up, repeated ones too, beside one training run of what was selected."


def write_tuning_report(done: Sequence[Opened], out: Path, name: str = FOLDER, panels: Panels | None = None) -> Path:
    """Write the report of these studies to the folder ``name`` in ``out``; the path of its Markdown.

    ``panels`` takes down the figures that could not be drawn, which the Markdown names.

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
    with sns.axes_style("ticks"):
        for name, draw in wanted.items():
            written += panels.attempt(f"the figure '{name}'", partial(_saved, draw, folder, name)) or []
    return [path for path in written if path.suffix == ".png"]


def _saved(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    return figures.save(draw(), folder, name)


def _page(
    done: Sequence[Opened], studies: pd.DataFrame, compared: pd.DataFrame, shown: Sequence[Path], panels: Panels
) -> list[str]:
    method, seed = done[0].plan.method, done[0].plan.cell.seed
    how = f"Objective {method.objective}, sampler {method.sampler}, pruner {method.pruner}."
    won = [row for row in _rows(studies) if row["default_won"]]
    if len(compared):
        seeds = ", ".join(dict.fromkeys(seed for text in compared["seeds"] for seed in text.split()))
        where = f"Selected on seeds {seed}, reported on seeds {seeds}."
    elif len(won) == len(studies):
        where = f"Selected on seeds {seed}."
    else:
        where = f"Selected on seeds {seed}; not yet reported on others."
    lines = ["# Tuning", "", f"{where} {how} {SAME}", ""]
    lines += ["## What was found", "", *markdown_table(FOUND, (_found(row) for row in _rows(studies))), ""]
    if len(compared):
        lines += [
            "## Default and tuned on fresh seeds",
            "",
            *markdown_table(COMPARED, (_compared(r) for r in _rows(compared))),
        ]
        lines += ["", "Paired by seed and test episode, as `bench compare` does; p after Holm over the rows.", ""]
    if won:
        names = "; ".join(f"{row['algorithm']} on {row['dataset']} {row['shape']}" for row in won)
        lines += [f"The default won, and is not compared with itself: {names}.", ""]
    lines += ["## What it cost", "", COST, "", *markdown_table(COSTS, (_cost(row) for row in _rows(studies))), ""]
    lines += ["## Figures", "", DODGE, "", *(f"![{path.stem}]({path.name})\n" for path in shown)]
    lines += [f"Not drawn: {line}\n" for line in panels.lines()]
    return lines


FOUND = ["algorithm", "dataset", "validation", "trials", "complete", "pruned", "failed", "repeated", "selected values"]
COMPARED = ["algorithm", "dataset", "default", "tuned", "tuned - default", "95% interval", "p", "about"]
COSTS = ["algorithm", "dataset", "search s", "search episodes", "one training s", "ratio"]


def _rows(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _number(row: dict[str, object], name: str, signed: bool = False) -> str:
    """Accuracy in points of a hundred, squared error to three digits."""
    value = float(str(row[name]))
    plus = "+" if signed else ""
    return f"{value:{plus}.3g}" if row["metric"] == "mse" else f"{100 * value:{plus}.1f}"


def _place(row: dict[str, object]) -> list[str]:
    metric = "mse" if row.get("metric") == "mse" else "%"
    return [str(row["algorithm"]), f"{row['dataset']} {row['shape']}, {metric}"]


def _found(row: dict[str, object]) -> list[str]:
    counts = [str(row[name]) for name in ("trials", "complete", "pruned", "failed", "repeated")]
    values = f"{row['values']}{' (the default won)' if row['default_won'] else ''}"
    return [*_place(row), _number(row, "validation"), *counts, values]


def _compared(row: dict[str, object]) -> list[str]:
    bounds = f"{_number(row, 'low', True)} to {_number(row, 'high', True)}"
    means = [_number(row, "default"), _number(row, "tuned"), _number(row, "difference", True)]
    return [*_place(row), *means, bounds, f"{float(str(row['p_adjusted'])):.2g}", str(row["scope"])]


def _cost(row: dict[str, object]) -> list[str]:
    search, training = float(str(row["seconds"])), float(str(row["train_seconds"]))
    return [*_place(row), f"{search:.0f}", f"{row['episodes']:,}", f"{training:.1f}", f"{search / training:.0f}"]
