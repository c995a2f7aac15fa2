"""The leaderboard as tables: which columns it has, and how their cells and notes are made from its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from algorithms.core.modes import MODES
from bench.analysis.leaderboard import TOLD as TOLD_COSTS
from bench.analysis.leaderboard import modes_agree
from bench.analysis.ranks import overall_score
from bench.report.costs import BUSY, costs_of, notes_of
from bench.report.table_model import Column, ReportTable, Row, TableCell, number_cell, table_of
from bench.stats import ALPHA, LEAST_SEEDS

BoardRow = Mapping[Hashable, Any]

LEAST_CLASSES = 20  # fewer are too few for an interval for new classes; see docs/statistics.md
CAUTION = "*"
GUESSING = "†"
TOLD = "§"
"""Behind the names of external results, and behind times and memory that their authors tell."""


@dataclass(frozen=True)
class BoardColumn(Column):
    """A column of the leaderboard.

    Attributes:
        cell: makes the cell of a row of the board.
        applies: whether a table of these rows has the column.
    """

    cell: Callable[[BoardRow], TableCell] = lambda row: TableCell("")
    applies: Callable[[pd.DataFrame], bool] = lambda part: True


def is_regression(part: pd.DataFrame) -> bool:
    """Return whether these rows of the board are squared errors."""
    return "mse" in part and bool(part["mse"].notna().any())


def is_control(part: pd.DataFrame) -> bool:
    """Return whether these rows of the board are returns."""
    return "return" in part and bool(part["return"].notna().any())


def _is_classification(part: pd.DataFrame) -> bool:
    return not (is_regression(part) or is_control(part))


def _has_modes(part: pd.DataFrame) -> bool:
    return _is_classification(part) and not modes_agree(part)


def score_cell(
    row: BoardRow,
    name: str,
    scale: float,
    digits: int,
    highest: float = math.inf,
    *,
    lowest: float = 0.0,
    strong: bool = False,
) -> TableCell:
    """Return ``78.0 ±2.6 (6.9)``: the mean, and half of its 95% intervals, in parentheses that for new classes.

    Half-widths of intervals that reach beyond ``lowest`` or ``highest``, or that come from fewer than 20 classes, have
    a mark.
    """
    value = row.get(name, math.nan)
    if math.isnan(value):
        return TableCell("–")

    def half_width(interval: str, mark: bool) -> str:
        low, high = (row.get(f"{interval}_{end}", math.nan) for end in ("low", "high"))
        if math.isnan(low):
            return ""
        return f"{scale * (high - low) / 2:.{digits}f}{CAUTION if mark or low < lowest or high > highest else ''}"

    few = row.get("classes", math.nan) < LEAST_CLASSES
    reach, new = half_width(name, False), half_width(f"{name}_new", few)
    text = f"{scale * value:.{digits}f}" + (f" ±{reach}" if reach else "") + (f" ({new})" if new else "")
    return TableCell(text, scale * value, strong)


def rank_cell(row: BoardRow) -> TableCell:
    """Return the 95% interval of the rank, ``1–3`` or ``4``; ``floor`` or ``ceiling`` for a bound."""
    rank = row.get("rank", math.nan)
    if row.get("bound") or math.isnan(rank):
        return TableCell(str(row.get("bound") or "–"))
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return TableCell(f"{low}" if low == high else f"{low}–{high}", float(rank))


def _is_best(row: BoardRow) -> bool:
    return bool(row.get("rank", math.nan) == 1)


def _accuracy(mode: str) -> Callable[[BoardRow], TableCell]:
    primary = mode == MODES[0]
    return lambda row: score_cell(row, f"accuracy_{mode}", 100.0, 1, 1.0, strong=primary and _is_best(row))


def _number(name: str, digits: int) -> Callable[[BoardRow], TableCell]:
    return lambda row: number_cell(row.get(name), digits)


def _seeds(row: BoardRow) -> TableCell:
    finished, failed = int(row["seeds"]), int(row["failed"])
    return TableCell(f"{finished}/{finished + failed}" if failed else str(finished), float(finished))


def is_external(row: BoardRow) -> bool:
    """Return whether the row's predictions were made elsewhere."""
    return bool(row.get("external"))


def marked_name(algorithm: str, external: bool) -> str:
    """Return an algorithm's name with the mark of external results, where it is one."""
    return f"{algorithm} {TOLD}" if external else algorithm


def _named(row: BoardRow) -> TableCell:
    return TableCell(marked_name(str(row["algorithm"]), is_external(row)))


def _has_times(part: pd.DataFrame) -> bool:
    """Return whether any of these rows has a cost that was measured, or one that is told."""
    return _has_cost(part) or any(bool(part[name].notna().any()) for name in TOLD_COSTS if name in part)


def _has_cost(part: pd.DataFrame) -> bool:
    """Return whether the cost of any of these rows was measured."""
    return "cost_step_ms" in part and bool(part["cost_step_ms"].notna().any())


def _cost(name: str, unit: str, digits: int, interval: bool = False) -> Callable[[BoardRow], TableCell]:
    """Return what makes the cell of a measured cost, with half of its interval, and a mark if the machine was busy."""

    def cell(row: BoardRow) -> TableCell:
        if is_external(row):
            told = number_cell(row.get(f"told_{name}_{unit}"), digits)
            return told if math.isnan(told.key) else TableCell(f"{told.text}{TOLD}", told.key)
        number = number_cell(row.get(f"cost_{name}_{unit}"), digits)
        if math.isnan(number.key):
            return number
        low, high = (row.get(f"cost_{name}_{end}_{unit}", math.nan) for end in ("low", "high"))
        half = f" ±{_percent((high - low) / 2 / number.key)}" if interval and not math.isnan(low) else ""
        return TableCell(f"{number.text}{half}{BUSY if row.get('cost_busy') else ''}", number.key)

    return cell


def _percent(share: float) -> str:
    """Return ``4%``; ``>999%`` for what a few rounds on a busy machine give."""
    return f"{100 * share:.0f}%" if share < 10 else ">999%"


COST_NOTE = (
    "train s is outer steps x the median time of one, ± half of its 95% interval over rounds in percent (none "
    "after one round); adapt ms is the median time of adapting to one task."
)

COLUMNS: tuple[BoardColumn, ...] = (
    BoardColumn("algorithm", numeric=False, cell=_named),
    BoardColumn("rank", cell=rank_cell, note="rank is the 95% interval of the rank."),
    BoardColumn(
        "P(rank 1)",
        detail=True,
        cell=_number("p_rank_1", 2),
        note="P(rank 1) is the share of bootstrap draws of seeds and episodes in which the algorithm is best; "
        "it is not a test.",
    ),
    BoardColumn(
        "MSE",
        cell=lambda row: score_cell(row, "mse", 1.0, 3, strong=_is_best(row)),
        applies=is_regression,
    ),
    BoardColumn(
        "return",
        cell=lambda row: score_cell(row, "return", 1.0, 2, lowest=-math.inf, strong=_is_best(row)),
        applies=is_control,
        note="return is the mean undiscounted return over the query trajectories; higher is better.",
    ),
    BoardColumn(
        "accuracy %",
        cell=_accuracy("transductive"),
        applies=lambda part: _is_classification(part) and modes_agree(part),
        note="accuracy is transductive and inductive: without batch norm they are the same.",
    ),
    BoardColumn(
        "transductive %",
        cell=_accuracy("transductive"),
        applies=_has_modes,
        note="transductive normalizes the query set by its own statistics, inductive by those of the support set, at "
        "the same adapted weights.",
    ),
    BoardColumn(
        "inductive %",
        cell=_accuracy("inductive"),
        applies=_has_modes,
    ),
    BoardColumn("train s", cell=_cost("train", "seconds", 1, interval=True), applies=_has_times, note=COST_NOTE),
    BoardColumn("adapt ms", cell=_cost("adapt", "ms", 1), applies=_has_times),
    BoardColumn("memory MiB", cell=_cost("memory", "mib", 0), applies=_has_times),
    BoardColumn("seeds", cell=_seeds),
)
"""The columns in their order, as the leaderboard has them as text, in Markdown and LaTeX, and on the page."""


def leaderboard_tables(board: pd.DataFrame) -> Iterator[ReportTable]:
    """Yield a table per dataset and shape that has a result, best first."""
    for (dataset, shape), part in board.groupby(["dataset", "shape"], sort=False):
        if part["seeds"].sum():
            yield leaderboard_table(f"{dataset} {shape}", part, board)


def leaderboard_table(title: str, part: pd.DataFrame, board: pd.DataFrame) -> ReportTable:
    """Return the table of one dataset and shape.

    Args:
        title: of the table.
        part: its rows of the board.
        board: the whole board, for what is said of the costs of all tables at once.
    """
    columns = tuple(column for column in COLUMNS if column.applies(part))
    rows = []
    for row in part.to_dict("records"):
        rows.append(Row(tuple(column.cell(row) for column in columns), _is_best(row)))
        if not math.isnan(row.get("accuracy_transductive_at_chance", math.nan)):
            rows.append(_guessing(row, columns))
    marks = (*_marks(part, rows), *_cost_marks(part, board))
    return ReportTable(title, columns, tuple(rows), tuple(_notes(part)), marks, _cost_subtitle(part))


def _cost_subtitle(part: pd.DataFrame) -> str:
    """Return why a table has no times; empty where it has, or where nothing in it could be measured here."""
    if _has_cost(part) or all(map(is_external, part.to_dict("records"))):
        return ""
    given = part.loc[part["seeds"] > 0, "cost_missing"].dropna() if "cost_missing" in part else pd.Series(dtype=str)
    why = " and ".join(dict.fromkeys(str(reason) for reason in given if reason)) or "their cost was not measured"
    return f"No times and no memory: {why}; `python -m bench cost DIR` measures it."


def _cost_marks(part: pd.DataFrame, board: pd.DataFrame) -> Iterator[str]:
    """Yield what must be known of the costs in a table."""
    if not _has_cost(part):
        return
    yield from notes_of(costs_of(board))
    finished = part[part["seeds"] > 0]
    for row in finished[finished["cost_step_ms"].isna()].to_dict("records"):
        if is_external(row):
            continue
        why = row["cost_problem"] or "not measured; `python -m bench cost DIR` measures it"
        yield f"No cost of {row['algorithm']}: {why}."


def _guessing(row: BoardRow, columns: tuple[BoardColumn, ...]) -> Row:
    """Return the row in which failed cells count as guessing."""
    means = {f"{mode} %": 100 * row[f"accuracy_{mode}_at_chance"] for mode in MODES}
    means["accuracy %"] = means[f"{MODES[0]} %"]
    shown = {"algorithm": TableCell(f"{row['algorithm']} {GUESSING}")}
    shown |= {head: TableCell(f"{mean:.1f}", mean) for head, mean in means.items()}
    return Row(tuple(shown.get(column.head, TableCell("")) for column in columns))


def _notes(part: pd.DataFrame) -> Iterator[str]:
    """Yield how to read the table of these rows, a sentence each."""
    yield "Scores are means over all test episodes and seeds after the last inner step."
    new = ", in parentheses for new classes" if _is_classification(part) else ""
    tested = "classes" if _is_classification(part) else "tasks"
    if int(part["seeds"].max()) >= LEAST_SEEDS:
        yield f"± is half of the 95% interval for new training runs on these {tested}{new}."
    else:
        yield f"± is half of the 95% interval on these {tested}{new}."
    yield (
        f"Bold: no other algorithm is better in paired tests on the same episodes (Holm-adjusted p below {ALPHA} "
        "over all pairs)."
    )


def _marks(part: pd.DataFrame, rows: list[Row]) -> Iterator[str]:
    """Yield the notes on what stands in this table alone."""
    finished = part[part["seeds"] > 0]
    if int(finished["seeds"].min()) < LEAST_SEEDS:
        yield "With fewer than three seeds, intervals and ranks are about these checkpoints, not new training runs."
    if any(CAUTION in cell.text for row in rows for cell in row.cells[1:]):
        yield (
            f"{CAUTION} Too little data for this interval: it reaches beyond the possible scores, or comes from fewer "
            f"than {LEAST_CLASSES} classes."
        )
    if (finished["bound"] != "").any():
        yield (
            "A floor is the same network without meta-training, a ceiling is told what others must learn; they are not "
            "ranked."
        )
    if below := below_floor(finished):
        where = " ".join(map(str, finished[["dataset", "shape"]].iloc[0]))
        yield (
            f"Below the floor on {where}: {', '.join(below)}; at this budget their training did not help on the test "
            "tasks."
        )
    if any(row.name.endswith(GUESSING) for row in rows):
        yield f"{GUESSING} Failed cells count as guessing."
    for row in finished.to_dict("records"):
        if is_external(row):
            yield (
                f"{TOLD} {row['algorithm']} is external ({row['external']}): its predictions were made elsewhere and "
                "scored here on the same test episodes; budget, times and memory are those that its author tells."
            )


def below_floor(part: pd.DataFrame) -> list[str]:
    """Return the algorithms of a board's dataset and shape whose score is below that of its floor, the best first."""
    score = overall_score(part)
    floors = score[part["bound"] == "floor"]
    below = (part["bound"] == "") & (score < floors.max())
    return list(part.loc[below, "algorithm"])


FAILURE_COLUMNS = (
    Column("status", numeric=False),
    Column("cells"),
    Column("dataset", numeric=False),
    Column("algorithms", numeric=False, wrap=True),
    Column("reason", numeric=False, wrap=True),
)


def failure_table(rows: pd.DataFrame, never_run: tuple[tuple[str, str, int], ...] = ()) -> ReportTable:
    """Return the cells that ended without a result, those of one cause in one row, and those that were not run.

    Args:
        rows: a row per cell.
        never_run: as in ``bench.analysis.experiments.Experiments``.
    """
    failed = rows[rows["status"] != "ok"]
    lines = []
    for (status, message, dataset), part in failed.groupby(["status", "message", "dataset"], sort=False):
        names = ", ".join(dict.fromkeys(part["algorithm"]))
        lines.append([str(status), str(len(part)), str(dataset), names, str(message)])
    for dataset, names, count in never_run:
        lines.append(["not run", str(count), dataset, names, "not finished yet; the same command continues"])
    return table_of("Without a result", FAILURE_COLUMNS, lines)
