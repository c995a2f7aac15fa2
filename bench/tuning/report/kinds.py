"""Which figures a search has, and how to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.metrics import metric_name, score_text
from bench.tuning.ledger import read
from bench.tuning.report import figures
from bench.tuning.report.search_tables import SearchTables
from bench.tuning.report.shown import rows_of
from bench.tuning.report.tables import value_of
from bench.tuning.study import Opened

DODGE = (
    "The expected best of n trials is the mean of the best of n draws with replacement from a study's values (Dodge et "
    "al. 2019). It estimates random search; for other samplers it describes the values that they drew. A trial without "
    "a value counts as the worst of its study."
)


@dataclass(frozen=True)
class SearchFigure:
    """A figure of a search.

    Attributes:
        name: name of its files.
        title: title of the figure.
        caption: how to read it.
        draw: returns the figure, with a panel per dataset and shape of the tables.
        alt: returns the alternative text.
        applies: whether there is anything to draw.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[SearchTables], Figure]
    alt: Callable[[SearchTables], str]
    applies: Callable[[SearchTables], bool] = lambda tables: True


def search_figures(second_objective: str | None) -> Iterator[SearchFigure]:
    """Yield the figures of all studies, that of two objectives where there is a second one."""
    yield SearchFigure(
        "default_and_tuned",
        "Tuned minus default on fresh seeds",
        "Mean difference with its 95% interval, paired by seed and test episode. The grey line is no difference.",
        lambda tables: figures.default_and_tuned(tables.compared),
        _compared_words,
        applies=lambda tables: bool(len(tables.compared)),
    )
    yield SearchFigure(
        "history",
        "History",
        "Validation value of each trial (pale marks), and the best so far (lines).",
        lambda tables: figures.history(tables.searches, tables.metrics),
        _best_words,
    )
    yield SearchFigure(
        "expected_best",
        "Expected best of n trials",
        DODGE,
        lambda tables: figures.expected_best(tables.searches, tables.metrics),
        _expected_words,
    )
    yield SearchFigure(
        "importance",
        "Importance",
        "Each hyper-parameter's share of the variance of the validation values (fANOVA), over complete trials. With 20 "
        "trials it is rough.",
        lambda tables: figures.importance(tables.importances),
        _importance_words,
        applies=lambda tables: bool(len(tables.importances)),
    )
    yield SearchFigure(
        "cost",
        "Cost",
        "Seconds of all trials of the search, beside those of the selected trial, each with the start of its process "
        "and its validation.",
        lambda tables: figures.cost(tables.studies),
        _cost_words,
    )
    if second_objective is not None:
        yield SearchFigure(
            "pareto",
            "Both objectives",
            "All complete trials (pale marks), and those that no other beats in both objectives (lines).",
            lambda tables: figures.pareto(tables.trials, tables.metrics, second_objective),
            lambda tables: f"validation value of each complete trial against {second_objective}",
            applies=lambda tables: bool((tables.trials["status"] == "ok").any()),
        )


SLICES = "Validation value of the trials against each hyper-parameter; later trials are darker."


def alt_of_slices(opened: Opened) -> str:
    """Return how many trials the slices show, and the range of their values, in words."""
    metric = opened.plan.metric
    known = [value for value in map(value_of, read(opened.study()).slots) if np.isfinite(value)]
    low_high = f" from {score_text(metric, min(known))} to {score_text(metric, max(known))}" if known else ""
    return f"{metric_name(metric)} of {len(known)} trials against {', '.join(opened.plan.space)}:{low_high}"


def _words(tables: SearchTables, parts: Sequence[str]) -> str:
    return f"{', '.join(dict.fromkeys(metric_name(name) for name in tables.studies['metric']))}: {'; '.join(parts)}"


def _compared_words(tables: SearchTables) -> str:
    parts = [
        f"{row['algorithm']} {score_text(row['metric'], row['difference'], True)}" for row in rows_of(tables.compared)
    ]
    return f"tuned minus default: {'; '.join(parts)}"


def _best_words(tables: SearchTables) -> str:
    parts = [
        f"{row['algorithm']} {score_text(row['metric'], row['validation'])} (trial {row['selected_trial']})"
        for row in rows_of(tables.studies)
    ]
    return f"best validation value, {_words(tables, parts)}"


def _expected_words(tables: SearchTables) -> str:
    parts = []
    for study in rows_of(tables.studies):
        rows = tables.searches[tables.searches["algorithm"] == study["algorithm"]]
        first, last = rows["expected_best"].iloc[0], rows["expected_best"].iloc[-1]
        values = [score_text(study["metric"], value) for value in (first, last)]
        parts.append(f"{study['algorithm']} {values[0]} with one trial, {values[1]} with {rows['trials'].iloc[-1]}")
    return f"expected best validation value, {_words(tables, parts)}"


def _importance_words(tables: SearchTables) -> str:
    parts = [
        f"{row['algorithm']} {row['hyper-parameter']} {row['importance']:.2f}" for row in rows_of(tables.importances)
    ]
    return f"share of the variance: {'; '.join(parts)}"


def _cost_words(tables: SearchTables) -> str:
    parts = [
        f"{row['algorithm']} search {row['seconds']:.0f}, selected trial {row['selected_seconds']:.1f}"
        for row in rows_of(tables.studies)
    ]
    return f"seconds: {'; '.join(parts)}"
