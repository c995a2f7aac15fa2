"""The speed measurement: run it, and write it as tables, JSON and a figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from algorithms.engines.names import ENGINES
from algorithms.engines.task_network import TaskNetwork
from bench.process.environment import environment
from bench.report.figures.style import FAINT, literal, look_of, styled
from bench.speed.contenders import CONTENDERS, Contender
from bench.speed.roofline import convolution_peak, operations
from bench.speed.rounds import race, race_methods
from bench.speed.table import OURS, method_rows, overall, rows
from bench.speed.workloads import WORKLOADS, Workload, of_methods


def measure(
    workloads: Sequence[Workload] = WORKLOADS,
    contenders: Sequence[Contender] = CONTENDERS,
    threads: Sequence[int] = (1,),
    rounds: int = 10,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per workload, number of threads and contender (see ``bench.speed.table.rows``), and omissions."""
    left_out = [f"{contender.name}: {reason}" for contender in contenders if (reason := contender.missing())]
    installed = [contender for contender in contenders if not contender.missing()]
    idle = [
        contender
        for contender in installed
        if not any(contender.takes(workload) and _fits(contender, workload) for workload in workloads)
    ]
    left_out += [f"{contender.name}: does none of these workloads" for contender in idle]
    rng = np.random.default_rng(0)
    tables = []
    for n in threads:
        peak = convolution_peak(n)
        for workload in workloads:
            racing = [contender for contender in installed if contender.takes(workload) and _fits(contender, workload)]
            gflop = operations(workload)
            timings = race(workload, racing, n, rounds, rng, say)
            tables.append(rows(workload, n, timings, gflop, peak).assign(peak_gflops=peak))
    return pd.concat(tables, ignore_index=True), left_out


def measure_methods(
    threads: Sequence[int] = (1,), rounds: int = 10, say: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Return a row per number of threads, network and registered method (see ``bench.speed.table.method_rows``)."""
    workloads, rng = of_methods(), np.random.default_rng(0)
    return pd.concat(
        [method_rows(workloads, n, race_methods(workloads, n, rounds, rng, say)) for n in threads], ignore_index=True
    )


def _fits(contender: Contender, workload: Workload) -> bool:
    """Return whether the contender's engine supports the workload's network."""
    engine = contender.name.removeprefix("bench (").removesuffix(")")
    if engine not in ENGINES:
        return True
    try:
        TaskNetwork(workload.network, engine)
    except ValueError:
        return False
    return True


def write(table: pd.DataFrame, folder: Path, command: str, methods: pd.DataFrame | None = None) -> list[Path]:
    """``speed.csv``, ``speed.json`` (with the environment and the command) and ``speed.png``.

    There is ``overall.csv`` too where another library ran all of the targets' workloads, and ``methods.csv`` where
    methods were measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"speed.csv": table, "overall.csv": overall(table), "methods.csv": methods}
    written = {folder / name: measured for name, measured in tables.items() if measured is not None and len(measured)}
    for path, measured in written.items():
        measured.to_csv(path, index=False, float_format="%.5g")
    (folder / "speed.json").write_text(as_json(table, command, methods), encoding="utf-8")
    draw(table, folder / "speed.png")
    return [*written, folder / "speed.json", folder / "speed.png"]


def as_json(table: pd.DataFrame, command: str, methods: pd.DataFrame | None = None) -> str:
    """Return everything measured as JSON, missing numbers as null."""
    content = {
        "command": command,
        "environment": environment(),
        "contenders": _versions(table["contender"]),
        "rows": _records(table),
        "overall": _records(overall(table)),
        "methods": [] if methods is None else _records(methods),
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with all of their digits."""
    return [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def _versions(contenders: Iterable[str]) -> dict[str, str]:
    """The installed versions of the libraries among the contenders."""
    packages = sorted({name.split(" (")[0] for name in contenders if not name.startswith(OURS)})
    return {name: version(name) for name in packages if find_spec(name)}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Return how many times our time each contender takes, with its interval; those that are wrong are left out."""
    shown = table[(table["contender"] != OURS) & table["times_ours"].notna() & ~table["wrong"]]
    names = list(dict.fromkeys(shown["contender"]))
    panels = list(dict.fromkeys(zip(shown["workload"], shown["threads"], strict=True)))
    with styled():
        figure, axis = plt.subplots(figsize=(7.5, 0.9 + 0.3 * len(shown)))
        place, ticks = 0.0, []
        for workload, n in panels[::-1]:
            part = shown[(shown["workload"] == workload) & (shown["threads"] == n)]
            for row in part.iloc[::-1].to_dict("records"):
                colour, marker, _ = look_of(row["contender"], names)
                axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.4)
                axis.plot(row["times_ours"], place, marker, ms=5, color=colour)
                ticks.append((place, f"{row['contender']}, {workload}, {n} thread{'s' if n > 1 else ''}"))
                place += 1
            place += 0.7
        axis.axvline(1.0, color=FAINT, lw=1)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_yticks([tick for tick, _ in ticks], [literal(words) for _, words in ticks], fontsize=8)
        axis.set_xlabel("time over ours (to the right of the line: slower than ours)")
        axis.grid(axis="x")
        axis.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        figure.savefig(path, dpi=150, metadata={"Software": None})
        plt.close(figure)
