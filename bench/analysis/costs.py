"""The measured cost of each setting as numbers: medians, quartiles, intervals, and whether the machine was quiet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.stats.repeated import median_of_rounds
from bench.store.cost_file import CostRow, Measurement, Round, UnreadableCosts, read_costs, setting_digest
from bench.store.store import SETTING, Store

DISAGREE = 0.2  # rounds whose medians differ by more are of a machine that was not quiet
WAITED = 0.1  # of the timed wall seconds without a processor, likewise
OTHERS = 0.25  # of the processors at work for other processes, likewise
TIMES = {"step": "outer_step_seconds", "adapt": "adapt_seconds"}
PREFIX = "cost_"  # of the columns that ``with_costs`` adds
TEXTS = tuple(f"{PREFIX}{name}" for name in ("busy", "problem", "machine", "time", "missing"))  # among them


def cost_table(store: Store) -> pd.DataFrame:
    """Return a row per setting of the experiment whose cost was measured, or was to be.

    Columns: ``algorithm``, ``dataset``, ``shape``, ``setting`` (SHA-256); ``step_ms`` and ``adapt_ms``, medians over
    all timed outer steps and adaptations, with ``_q1`` and ``_q3`` (quartiles) and ``_low`` and ``_high`` (95%; see
    ``bench.stats.repeated``); ``memory_mib``, the rise over ``baseline_mib`` (on a GPU the device memory of tensors);
    ``rounds``; ``busy``, how the machine showed that it was not quiet, or empty; ``problem``, why there is no cost, or
    empty; ``machine``, ``threads``, ``busy_elsewhere`` (processors) and ``time``. Numbers that are not there are NaN.

    Raises:
        UnreadableCosts: they are stored, and cannot be read.
    """
    costs = read_costs(store)
    lines = [
        _line(row, measurement) for measurement in (costs.measurements if costs else ()) for row in measurement.rows
    ]
    return pd.DataFrame(lines, columns=None if lines else [*_NAMES])


_NAMES = (
    *("algorithm", "dataset", "shape", "setting"),
    *(f"{what}{end}_ms" for what in TIMES for end in ("", "_q1", "_q3", "_low", "_high")),
    *("memory_mib", "baseline_mib", "rounds", "busy", "problem", "machine", "threads", "busy_elsewhere", "time"),
)


def _line(row: CostRow, measurement: Measurement) -> dict[str, Any]:
    line: dict[str, Any] = {name: getattr(row, name) for name in ("algorithm", "dataset", "shape", "setting")}
    for what, name in TIMES.items():
        times = median_of_rounds([getattr(one, name) for one in row.rounds])
        ends = {"": times.median, "_q1": times.q1, "_q3": times.q3, "_low": times.low, "_high": times.high}
        line |= {f"{what}{end}_ms": 1000 * value for end, value in ends.items()}
    measured = [one.rise_mib if one.device_mib is None else one.device_mib for one in row.rounds]
    line["memory_mib"] = max(measured, default=np.nan)
    line["baseline_mib"] = max((one.baseline_mib for one in row.rounds), default=np.nan)
    line["rounds"] = len(row.rounds)
    line["busy"] = ", ".join(busy_signs(row.rounds))
    line["problem"] = f"{row.failure}: {row.message}" if row.failure else ""
    gpus = "".join(f", {name}" for name in dict.fromkeys(measurement.machine.gpus))
    line["machine"] = f"{measurement.machine.processor}{gpus}"
    line["threads"] = max((one.threads for one in row.rounds), default=np.nan)
    line["busy_elsewhere"] = float(np.mean([one.busy_elsewhere for one in row.rounds])) if row.rounds else np.nan
    return line | {"time": measurement.time}


def busy_signs(rounds: list[Round]) -> Iterator[str]:
    """Yield how the rounds of a setting show that the machine was not quiet, a phrase each.

    - The slowest round's median outer step is more than 20% above the fastest one's.
    - More than a tenth of the timed wall seconds passed without a processor (not on a GPU, which works meanwhile).
    - Other processes kept more than a quarter of the processors busy.
    """
    if not rounds:
        return
    medians = [float(np.median(one.outer_step_seconds)) for one in rounds]
    if max(medians) > (1 + DISAGREE) * min(medians):
        yield (
            f"rounds differ by {100 * (max(medians) / min(medians) - 1):.0f}%" if min(medians) > 0 else "rounds differ"
        )
    timed, worked = (sum(getattr(one, name) for one in rounds) for name in ("timed_seconds", "timed_cpu_seconds"))
    on_cpu = all(one.device_mib is None for one in rounds)
    if on_cpu and timed > 0 and 1 - worked / timed > WAITED:
        yield f"waited {100 * (1 - worked / timed):.0f}% of the time for a processor"
    others = float(np.mean([one.busy_elsewhere for one in rounds]))
    if others > OTHERS * max(one.cpus for one in rounds):
        yield f"other processes kept {others:.1f} processors busy"


def with_costs(rows: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Return the rows of an experiment's cells with the cost of their settings.

    The columns are those of ``cost_table``, from ``step_ms`` on, with ``cost_`` before their names; ``cost_missing``
    says why an experiment has none, and is empty where it has.

    Args:
        rows: of ``Store.rows`` or ``bench.store.settings.together``.
        store: the experiment.
    """
    try:
        table, why = cost_table(store), "their cost was not measured"
    except UnreadableCosts as error:
        table, why = (
            pd.DataFrame(columns=[*_NAMES]),
            f"cost.json is {error}" if not error.newer else f"cost.json was {error}",
        )
    if table.empty:
        return rows.assign(**{f"{PREFIX}missing": why})
    costs = table.drop(columns=["algorithm", "dataset", "shape"]).drop_duplicates("setting", keep="last")
    costs = costs.set_index("setting").add_prefix(PREFIX)
    digests = [setting_digest(text) if isinstance(text, str) else "" for text in rows[SETTING]]
    return pd.concat([rows, costs.reindex(digests).set_index(rows.index)], axis=1).assign(**{f"{PREFIX}missing": ""})


def without_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the columns that ``with_costs`` adds."""
    return rows[[name for name in rows if not str(name).startswith(PREFIX)]]
