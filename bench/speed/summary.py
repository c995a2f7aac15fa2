"""The measurements of ``bench speed`` as tables of the table model, for the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from bench.report.table_model import Column, ReportTable, TableCell, number_cell, range_cell, table_of
from bench.speed.table import OURS, overall

TIMES = ("ms", "quartiles")
CONTENDER_COLUMNS = (
    Column("contender", numeric=False),
    *map(Column, (*TIMES, "times ours", "95%", "GFLOP/s", "of peak", "MiB", "rise", "kept KiB", "gradient's error")),
)
METHOD_COLUMNS = (
    Column("method", numeric=False),
    *map(Column, (*TIMES, "times MAML's", "95%", "MiB", "rise", "kept KiB")),
)
SAMPLING_COLUMNS = (
    *(Column(head, numeric=False) for head in ("workload", "engine")),
    *map(Column, ("ms per meta-batch", "quartiles", "tasks per second", "times ours")),
)
ACTING_COLUMNS = (
    Column("contender", numeric=False),
    *map(Column, ("environment steps per second", "quartiles", "ours over it")),
)
DRAWING_COLUMNS = (
    Column("dataset", numeric=False),
    *map(Column, ("ms to draw a meta-batch", "ms of MAML's outer step on it", "share")),
    *map(Column, ("MiB of images", "MiB added by drawing all")),
)

Measured = Mapping[Hashable, Any]


def contender_tables(table: pd.DataFrame) -> Iterator[ReportTable]:
    """Yield a table per workload and number of threads; ``table`` has the columns of ``bench.speed.table.rows``."""
    for (workload, threads), part in table.groupby(["workload", "threads"], sort=False):
        lines = [_contender(row) for row in part.to_dict("records")]
        yield table_of(f"{workload}, {_threads(threads)}", CONTENDER_COLUMNS, lines)


def method_tables(table: pd.DataFrame) -> Iterator[ReportTable]:
    """Yield a table per network and number of threads; ``table`` has those of ``bench.speed.table.method_rows``."""
    for (network, threads), part in table.groupby(["network", "threads"], sort=False):
        title = f"every method's outer step on {network}, {_threads(threads)}"
        yield table_of(title, METHOD_COLUMNS, [_method(row) for row in part.to_dict("records")])


def sampling_table(timings: pd.DataFrame) -> ReportTable:
    """Return the times of ``bench.speed.sampling.compare``."""
    lines: list[list[str | TableCell]] = [
        [
            *(str(row["workload"]), str(row["engine"]), number_cell(row["median_ms"], 2)),
            range_cell(row["q1_ms"], row["q3_ms"], 2),
            *(number_cell(row["tasks_per_second"], 0), number_cell(row["times_ours"], 1)),
        ]
        for row in timings.to_dict("records")
    ]
    return table_of("Sampling of episodes", SAMPLING_COLUMNS, lines)


def acting_table(rates: pd.DataFrame) -> ReportTable:
    """Return the rates of ``bench.speed.acting.compare``."""
    lines: list[list[str | TableCell]] = [
        [
            *(str(row["contender"]), number_cell(row["steps_per_second"], 0)),
            *(range_cell(row["q1"], row["q3"], 0), number_cell(row["times_ours"], 1)),
        ]
        for row in rates.to_dict("records")
    ]
    return table_of("Acting in navigation, one thread", ACTING_COLUMNS, lines)


def drawing_table(shares: pd.DataFrame) -> ReportTable:
    """Return the shares of ``bench.speed.drawing.shares``."""
    lines: list[list[str | TableCell]] = [
        [
            *(str(row["dataset"]), number_cell(row["draw_ms"], 2), number_cell(row["step_ms"], 1)),
            _percent(row["share"], 1),
            *(number_cell(row[name], 1) for name in ("arrays_mib", "added_mib")),
        ]
        for row in shares.to_dict("records")
    ]
    return table_of("Drawing of episodes beside MAML's outer step", DRAWING_COLUMNS, lines)


def mean_lines(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per contender and number of threads on its geometric mean."""
    for row in overall(table).to_dict("records"):
        yield (
            f"{row['contender']}, {_threads(row['threads'])}: {row['geometric_mean']:.2f} times ours on the geometric "
            f"mean of the targets' workloads, at least {row['least']:.2f}; rise in memory "
            f"{row['memory_of_ours']:.2f} times ours"
        )


def _threads(count: Any) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _contender(row: Measured) -> list[str | TableCell]:
    name = str(row["contender"])
    if row["problem"] or "median_ms" not in row or row["median_ms"] != row["median_ms"]:
        return [name, row["problem"] or "no timing", *[""] * (len(CONTENDER_COLUMNS) - 2)]
    theirs = name != OURS
    error = row["error"]
    return [
        *(name, number_cell(row["median_ms"], 1), range_cell(row["q1_ms"], row["q3_ms"], 1)),
        number_cell(row["times_ours"], 2) if theirs else "",
        range_cell(row["low"], row["high"], 2) if theirs else "",
        *(number_cell(row["gflops"], 0), _percent(row["of_peak"], 0)),
        *(number_cell(row["peak_mib"], 0), number_cell(row["rise_mib"], 0), number_cell(row["kept_kib"], 1)),
        TableCell("–") if error != error else TableCell(f"{error:.0e}{' WRONG' if row['wrong'] else ''}", float(error)),
    ]


def _method(row: Measured) -> list[str | TableCell]:
    return [
        *(str(row["method"]), number_cell(row["median_ms"], 1), range_cell(row["q1_ms"], row["q3_ms"], 1)),
        *(number_cell(row["times_maml"], 2), range_cell(row["low"], row["high"], 2)),
        *(number_cell(row["peak_mib"], 0), number_cell(row["rise_mib"], 0), number_cell(row["kept_kib"], 1)),
    ]


def _percent(part: float, digits: int) -> TableCell:
    return TableCell(f"{100 * part:.{digits}f}%", float(part))
