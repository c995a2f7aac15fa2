"""The results of a search as tables for the terminal, the page and Markdown."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.analysis.metrics import direction, higher_is_better, is_percentage, metric_name, score_text
from bench.report.summary import listed
from bench.report.table_model import Column, ReportTable, TableCell, number_cell, table_of
from bench.stats import ALPHA, LEAST_SEEDS
from bench.tuning.report.search_tables import SearchTables

Line = Mapping[str, Any]

ALGORITHM = Column("algorithm", numeric=False)
NAMES = (ALGORITHM, Column("dataset", numeric=False))
DIFFERENCE = Column("difference", note="difference is tuned minus default.")
AS_DEFAULT = "as default"
BOLD = "Bold"
"""The first word of the note on cells in bold, which a file or a pipe does not show."""
EFFORT = (Column("trials"), Column("search s", note="search s is the time of all trials of the study, added up."))


def metric_words(metric: str) -> str:
    """Return ``transductive accuracy in percent, higher is better``."""
    unit = " in percent" if is_percentage(metric) else ""
    return f"{metric_name(metric)}{unit}, {direction(metric)}"


def result_tables(tables: SearchTables) -> list[ReportTable]:
    """Return a table per dataset and shape: the default and the tuned values of every algorithm.

    On fresh seeds where the search has results of any, otherwise on its own validation episodes.
    """
    make = _on_fresh_seeds if tables.seeds else _on_validation
    return [make(tables, dataset, shape) for dataset, shape in tables.places]


def _on_fresh_seeds(tables: SearchTables, dataset: str, shape: str) -> ReportTable:
    part = tables.of(dataset, shape)
    compared, defaults = _by_algorithm(part.compared), _by_algorithm(part.defaults)
    failed = {row["algorithm"] for row in rows_of(part.without_result)}
    lines, missing = [], []
    for study in rows_of(part.studies):
        name = study["algorithm"]
        effort = [score_cell(study["metric"], study["validation"]), *_effort(study)]
        if name in compared:
            lines.append([name, *_comparison(compared[name]), *effort])
        elif name in defaults:
            row = defaults[name]
            lines.append([name, score_cell(row["metric"], row["default"]), AS_DEFAULT, *["–"] * 3, *effort])
        else:
            if name not in failed:
                missing.append(name)
            lines.append([name, *["–"] * 5, *effort])
    columns = (
        ALGORITHM,
        *map(Column, ("default", "tuned")),
        DIFFERENCE,
        *map(Column, ("95% interval", "p")),
        Column("validation", detail=True, note="validation is the value that the search selected by."),
        *EFFORT,
    )
    metric = next((row["metric"] for row in (*compared.values(), *defaults.values())), "")
    where = f"test episodes, fresh training {seed_or_seeds(tables.seeds)} {', '.join(tables.seeds)}."
    words = f"{_sentence(metric_words(metric))}: {where}" if metric else _sentence(where)
    notes = (
        "default and tuned are means over the seeds for which both have a result.",
        "Differences are paired by seed and test episode, as in `bench compare`; p is adjusted over all studies of the "
        "search (Holm).",
        f"{BOLD}: better than the other at an adjusted p below {ALPHA}.",
    )
    marks = [*_won(part.studies), *_without_result(part)]
    few = [name for name, row in compared.items() if _has_few_seeds(row)]
    if few:
        whose = "intervals and p" if len(few) == len(compared) else f"interval and p of {listed(few)}"
        marks.append(f"With fewer than three shared seeds, {whose} are about these checkpoints, not new training runs.")
    if missing:
        marks.append(f"Not yet tested on fresh seeds, on {dataset} {shape}: {', '.join(missing)}.")
    return replace(table_of(f"{dataset} {shape}", columns, lines), notes=notes, marks=tuple(marks), subtitle=words)


def _comparison(row: Line) -> list[str | TableCell]:
    """Return default, tuned, difference, interval and p of a study."""
    metric, differ = row["metric"], row["p_adjusted"] < ALPHA
    better = (row["difference"] > 0) == higher_is_better(metric)
    known = math.isfinite(row["low"]) and math.isfinite(row["high"])
    interval = f"{score_text(metric, row['low'], True)} to {score_text(metric, row['high'], True)}" if known else "–"
    return [
        replace(score_cell(metric, row["default"]), strong=differ and not better),
        replace(score_cell(metric, row["tuned"]), strong=differ and better),
        score_cell(metric, row["difference"], signed=True),
        TableCell(interval, row["low"]),
        TableCell(f"{row['p_adjusted']:.2g}", row["p_adjusted"]),
    ]


def _on_validation(tables: SearchTables, dataset: str, shape: str) -> ReportTable:
    part = tables.of(dataset, shape)
    lines = []
    for study in rows_of(part.studies):
        metric, default = study["metric"], study["default_validation"]
        tuned: list[str | TableCell] = [AS_DEFAULT, "–"]
        if not study["default_won"]:
            gain = score_cell(metric, study["validation"] - default, signed=True)
            tuned = [score_cell(metric, study["validation"]), gain]
        lines.append([study["algorithm"], score_cell(metric, default), *tuned, *_effort(study)])
    columns = (ALGORITHM, *map(Column, ("default", "tuned")), DIFFERENCE, *EFFORT)
    words = f"{_sentence(metric_words(part.studies['metric'].iloc[0]))}: validation episodes, the search's own seed."
    notes = (
        "The search selected by these values, so that the tuned ones look better than they are. Only training runs on "
        "fresh seeds show what the search gained.",
    )
    marks = tuple(_won(part.studies))
    return replace(table_of(f"{dataset} {shape}", columns, lines), notes=notes, marks=marks, subtitle=words)


def _effort(study: Line) -> list[TableCell]:
    return [TableCell(str(study["trials"]), study["trials"]), seconds_cell(study["seconds"])]


def _won(studies: pd.DataFrame) -> list[str]:
    names = [row["algorithm"] for row in rows_of(studies) if row["default_won"]]
    if not names:
        return []
    place = " ".join(studies[["dataset", "shape"]].iloc[0])
    return [f"{listed(names)} on {place}: no trial was better than the default on the validation episodes."]


def _without_result(part: SearchTables) -> list[str]:
    """Return a note for each study with a fresh seed that has no result, in the words of ``bench compare``."""
    notes = []
    shown = (*rows_of(part.compared), *rows_of(part.defaults))
    shared = {row["algorithm"]: row["seeds"].split() for row in shown}
    for study in rows_of(part.studies):
        name = study["algorithm"]
        failed = [row for row in rows_of(part.without_result) if row["algorithm"] == name]
        reasons: dict[str, list[str]] = {}
        for row in failed:
            reasons.setdefault(row["values"], []).append(f"seed {row['seed']} ({row['status']})")
        if reasons:
            words = "; ".join(f"{values} has no result for {', '.join(which)}" for values, which in reasons.items())
            seeds = shared.get(name, [])
            rest = f"its row is of {seed_or_seeds(seeds)} {listed(seeds)}" if seeds else "its row is empty"
            notes.append(f"{name} on {study['dataset']} {study['shape']}: {words}; {rest}.")
    return notes


def _has_few_seeds(row: Line) -> bool:
    """Return whether a comparison is about its checkpoints alone."""
    return len(row["seeds"].split()) < LEAST_SEEDS


def seed_or_seeds(seeds: Sequence[str]) -> str:
    """Return the word before these seeds."""
    return "seed" if len(seeds) == 1 else "seeds"


def values_table(tables: SearchTables) -> ReportTable:
    """Return the selected value of each hyper-parameter beside its default."""
    columns = (
        *NAMES,
        *(Column(head, numeric=False) for head in ("hyper-parameter", "searched", "default", "selected")),
    )
    texts = ("hyper-parameter", "searched", "default", "selected")
    lines = [[*_names(row), *(row[name] or "–" for name in texts)] for row in rows_of(tables.values)]
    unused = any(not row["selected"] for row in rows_of(tables.values))
    notes = ("–: without effect beside the other selected values.",) if unused else ()
    return replace(table_of("Selected values", columns, lines), notes=notes)


def cost_table(tables: SearchTables) -> ReportTable:
    """Return how the trials of each study ended, and its cost beside that of one training run."""
    counts = ("trials", "complete", "pruned", "failed", "repeated")
    heads = (*counts, "search s", "search episodes", "selected trial s", "ratio")
    lines: list[list[str | TableCell]] = []
    for row in rows_of(tables.studies):
        search, one = row["seconds"], row["selected_seconds"]
        ratio = number_cell(search / one, 1) if one else "–"
        costs: list[str | TableCell] = [seconds_cell(search), f"{row['episodes']:,}", seconds_cell(one), ratio]
        lines.append([*_names(row), *(str(row[name]) for name in counts), *costs])
    note = (
        "search s and search episodes are sums over all attempts, including repeated ones. selected trial s is the "
        "time of the trial that was selected, and ratio is search s over it. Both times include the start of each "
        "trial's process and its validation."
    )
    return replace(table_of("Trials and cost", (*NAMES, *map(Column, heads)), lines), notes=(note,))


def _names(row: Line) -> list[str]:
    return [row["algorithm"], f"{row['dataset']} {row['shape']}"]


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a data frame as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _by_algorithm(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["algorithm"]: row for row in rows_of(table)}


def score_cell(metric: str, value: float, signed: bool = False) -> TableCell:
    """Return the cell of a score; a dash where there is none."""
    return TableCell("–") if math.isnan(value) else TableCell(score_text(metric, value, signed), value)


def seconds_cell(seconds: float) -> TableCell:
    """Return seconds, with a decimal where they are few."""
    return number_cell(seconds, 1 if seconds < 10 else 0)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def summary(tables: SearchTables) -> Sequence[str]:
    """Return what the search shows, in sentences."""
    groups: dict[tuple[str, bool], list[str]] = {}
    parts = [tables.of(*place) for place in tables.places]
    for row in (row for part in parts for row in rows_of(part.compared)):
        better = (row["difference"] > 0) == higher_is_better(row["metric"])
        kind = "" if row["p_adjusted"] >= ALPHA else "better" if better else "worse"
        name = f"{row['algorithm']} on {row['dataset']} {row['shape']}"
        groups.setdefault((kind, _has_few_seeds(row)), []).append(name)
    lines = []
    for kind, few in itertools.product(("better", "worse", ""), (False, True)):
        if names := groups.get((kind, few)):
            lines.append(f"{_verdict(kind, few)}: {'; '.join(names)}.")
    return [*lines, *(note for part in parts for note in _without_result(part))]


def _verdict(kind: str, few: bool) -> str:
    """Return what a group of comparisons shows; those of few shared seeds, of their checkpoints alone."""
    if not kind:
        words = "tuned and default cannot be separated"
    else:
        words = f"the tuned values are {kind} than the default (adjusted p below {ALPHA})"
    return f"Of these checkpoints alone (fewer than three shared seeds), {words}" if few else _sentence(words)
