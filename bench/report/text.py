"""The leaderboard as text: the cells that the terminal and the Markdown file share, and the Markdown itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.analysis.bounds import without_bounds
from bench.analysis.ranks import across
from bench.report.escaping import in_markdown, markdown_table

EXPLANATION = (
    "Mean after the last inner step over all test episodes and seeds: accuracy in percent, or mean squared error. "
    "± is half of the 95% interval for these classes (seeds and episodes crossed), and in parentheses half of that for "
    "new classes (jackknife over classes). Algorithms that cannot be separated (Holm-adjusted p < 0.05) share a rank; "
    "its 95% interval stands behind it. With fewer than three seeds all this speaks of the trained checkpoints only. "
    "A floor (nothing is learned before) and a ceiling (the family of functions is known) bound what may be expected: "
    "they have no rank and enter no test. A row with † counts cells that failed as guessing. Training time, time to "
    "adapt one task and peak memory of the process are medians over seeds, on one thread."
)


def _mean(row: Mapping[Hashable, Any], name: str, scale: float, digits: int) -> str:
    """``78.0 ±2.6 (6.9)``: mean, half-width for these classes, half-width for new classes where there is one."""
    value = row.get(name)
    if value is None or math.isnan(value):
        return "-"
    half = scale * (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    new = scale * (row.get(f"{name}_new_high", math.nan) - row.get(f"{name}_new_low", math.nan)) / 2
    text = f"{scale * value:.{digits}f} ±{half:.{digits}f}"
    return text if math.isnan(new) else f"{text} ({new:.{digits}f})"


def _number(row: Mapping[Hashable, Any], name: str, digits: int) -> str:
    value = row.get(name)
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _rank(row: Mapping[Hashable, Any]) -> str:
    """``1 (1-2)``: the rank and its interval, where that is wider; ``floor`` or ``ceiling`` for a bound."""
    rank = row.get("rank")
    if row.get("bound"):
        return str(row["bound"])
    if rank is None or math.isnan(rank):
        return "-"
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return f"{rank:.0f}" if low == high else f"{rank:.0f} ({low}-{high})"


def tables(board: pd.DataFrame) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """One table per dataset and shape that has a result: its title, column heads and rows of text, best first."""
    for (dataset, shape), part in board.groupby(["dataset", "shape"], sort=False):
        if not part["seeds"].sum():
            continue
        regression = "mse" in part and bool(part["mse"].notna().any())
        metric = ["MSE"] if regression else ["transductive %", "inductive %"]
        heads = ["rank", "algorithm", *metric, "train s", "adapt ms", "MiB", "seeds"]
        lines = []
        for row in part.to_dict("records"):
            if regression:
                values = [_mean(row, "mse", 1.0, 3)]
            else:
                values = [_mean(row, f"accuracy_{mode}", 100.0, 1) for mode in ("transductive", "inductive")]
            costs = [_number(row, "train_seconds", 1), _number(row, "adapt_ms", 1), _number(row, "peak_mib", 0)]
            seeds = f"{row['seeds']}/{row['seeds'] + row['failed']}" if row["failed"] else str(row["seeds"])
            lines.append([_rank(row), str(row["algorithm"]), *values, *costs, seeds])
            if not math.isnan(row.get("accuracy_transductive_at_chance", math.nan)):
                modes = (f"accuracy_{mode}_at_chance" for mode in ("transductive", "inductive"))
                guessing = [f"{100 * row[name]:.1f}" for name in modes]
                lines.append(["", f"{row['algorithm']} †", *guessing, "", "", "", ""])
        yield f"{dataset} {shape}", heads, lines


def across_words(board: pd.DataFrame) -> str:
    """What may be said over all datasets, in one paragraph; empty where there is only one."""
    board = without_bounds(board)
    if board.loc[board["seeds"] > 0, "dataset"].nunique() < 2:
        return ""
    found, left_out = across(board)
    said = [found.refusal[:1].upper() + found.refusal[1:]] if found.refusal else []
    if not said:
        ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in found.mean_ranks.items())
        groups = "; ".join(", ".join(clique) for clique in found.cliques) or "none"
        said = [f"Mean ranks over datasets: {ranks}. Not separable from each other (Wilcoxon, Holm): {groups}"]
        if not math.isnan(found.friedman_p):
            said.append(f"Friedman's test of no difference at all: p = {found.friedman_p:.2g}")
    if left_out:
        said.append(f"Left out, having no result on some of them: {', '.join(left_out)}")
    return ". ".join(said) + "."


def failures(rows: pd.DataFrame) -> list[list[str]]:
    """Status, how many cells, whose, and why, for cells that ended without a result; those of one cause in one row.

    Args:
        rows: a row per cell.
    """
    failed = rows[rows["status"] != "ok"]
    lines = []
    for (status, message, dataset), part in failed.groupby(["status", "message", "dataset"], sort=False):
        whose = ", ".join(dict.fromkeys(part["algorithm"]))
        lines.append([str(status), str(len(part)), str(dataset), whose, str(message)])
    return lines


def markdown(rows: pd.DataFrame, board: pd.DataFrame) -> str:
    """The whole leaderboard, then the cells that failed or were skipped.

    Args:
        rows: a row per cell.
        board: the leaderboard.
    """
    parts = ["# Leaderboard", "", EXPLANATION, ""]
    for title, heads, lines in tables(board):
        parts += [f"## {in_markdown(title)}", "", *markdown_table(heads, lines), ""]
    if words := across_words(board):
        parts += ["## Across datasets", "", in_markdown(words), ""]
    if failed := failures(rows):
        heads = ["status", "cells", "dataset", "algorithms", "why"]
        parts += ["## Without a result", "", *markdown_table(heads, failed), ""]
    return "\n".join(parts)
