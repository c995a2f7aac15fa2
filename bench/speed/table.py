"""Tables of timings: medians, quartiles, and times relative to ours with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from bench.speed.rounds import Timings
from bench.speed.workloads import Workload
from bench.stats import ALPHA

OURS = "bench"


def rows(
    workload: Workload, threads: int, timings: Sequence[Timings], gflop: float, peak_gflops: float
) -> pd.DataFrame:
    """Return a row per contender.

    ``times_ours`` is the geometric mean over rounds of its time over ours in the same round, with the 95% interval
    ``low`` to ``high`` (Student's t on the logarithms). ``gflops`` counts the plain loop's operations in everybody's
    time; ``of_peak`` is that over the machine's measured convolution peak. NaN where there is nothing to compare.
    """
    ours = next((timing.milliseconds for timing in timings if timing.contender == OURS), ())
    lines = []
    for timing in timings:
        line: dict[str, object] = {"workload": workload.name, "threads": threads, "contender": timing.contender}
        if timing.milliseconds:
            q1, median, q3 = np.quantile(timing.milliseconds, [0.25, 0.5, 0.75])
            line |= {"median_ms": median, "q1_ms": q1, "q3_ms": q3}
            line |= dict(zip(("times_ours", "low", "high"), ratio(timing.milliseconds, ours), strict=True))
            line |= {"gflops": 1000 * gflop / median, "of_peak": 1000 * gflop / median / peak_gflops}
        line |= {"peak_mib": timing.peak_mib, "rise_mib": timing.rise_mib, "kept_kib": timing.kept_kib}
        line |= {"error": timing.error, "wrong": timing.wrong}
        lines.append(line | {"problem": timing.problem, "target": workload.target})
    return pd.DataFrame(lines)


def method_rows(workloads: Sequence[Workload], threads: int, timings: Sequence[Timings]) -> pd.DataFrame:
    """Return a row per method and network: time and memory of an outer step, and its time over MAML's."""
    lines = []
    for workload, timing in zip(workloads, timings, strict=True):
        network = workload.name.split(": ")[0]
        maml = next((other.milliseconds for other in timings if other.contender == f"{network}: maml"), ())
        q1, median, q3 = np.quantile(timing.milliseconds, [0.25, 0.5, 0.75])
        line: dict[str, object] = {"network": network, "method": workload.algorithm, "threads": threads}
        line |= {"median_ms": median, "q1_ms": q1, "q3_ms": q3}
        line |= dict(zip(("times_maml", "low", "high"), ratio(timing.milliseconds, maml), strict=True))
        lines.append(line | {"peak_mib": timing.peak_mib, "rise_mib": timing.rise_mib, "kept_kib": timing.kept_kib})
    return pd.DataFrame(lines)


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of theirs / ours over paired rounds and its 95% interval."""
    if len(theirs) != len(ours) or len(ours) < 2:
        return float("nan"), float("nan"), float("nan")
    logs = np.log(np.array(theirs) / np.array(ours))
    half = float(stats.t.ppf(1 - ALPHA / 2, len(logs) - 1)) * float(logs.std(ddof=1)) / np.sqrt(len(logs))
    return tuple(float(np.exp(value)) for value in (logs.mean(), logs.mean() - half, logs.mean() + half))  # type: ignore[return-value]


def overall(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per contender and number of threads: the geometric mean and the least ``times_ours`` over targets.

    Contenders that are wrong, or lack one of the targets' workloads, are left out.
    """
    wanted = table[table["target"]]
    lines = []
    for (threads, contender), part in wanted.groupby(["threads", "contender"], sort=False):
        whole = len(part) == wanted["workload"].nunique() and part["times_ours"].notna().all()
        if not str(contender).startswith(OURS) and whole and not part["wrong"].any():
            mean = float(np.exp(np.log(part["times_ours"]).mean()))
            memory = part["rise_mib"].to_numpy() / _ours_of(wanted, part)
            line = {"threads": threads, "contender": contender, "geometric_mean": mean}
            lines.append(
                line | {"least": part["times_ours"].min(), "memory_of_ours": float(np.exp(np.log(memory).mean()))}
            )
    return pd.DataFrame(lines)


def _ours_of(table: pd.DataFrame, part: pd.DataFrame) -> np.ndarray:
    ours = table[table["contender"] == OURS].set_index(["workload", "threads"])["rise_mib"]
    return ours.loc[list(zip(part["workload"], part["threads"], strict=True))].to_numpy(dtype=float)
