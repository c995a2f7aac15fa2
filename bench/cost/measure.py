"""Measure the cost of an experiment's settings, and store it with the experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from bench.cost.rounds import FEW_ROUNDS, Sample, Setting, measure_in_rounds
from bench.cost.visit import Visit
from bench.execution.events import Event, Failed, Finished
from bench.execution.local import LocalExecutor
from bench.process.environment import environment
from bench.protocol.numerics import differs_here
from bench.spec.cell import Cell
from bench.store.atomic import disk_errors_explained
from bench.store.cost_file import (
    CostRow,
    Costs,
    Machine,
    Measurement,
    Round,
    UnreadableCosts,
    read_costs,
    setting_digest,
    write_costs,
)
from bench.store.schema import COST_FILE
from bench.store.store import SETTING, Failure, Store, read_cell
from datasets import UserError

LAP_COLUMNS = ("outer_step_ms", "adapt_ms")  # of a cell's own
LEAST_LIMIT = 60.0  # seconds that one process may take at least, if no limit is given


class NotMeasured(UserError):
    """Costs cannot be measured now, although the experiment is as it should be."""


@dataclass(frozen=True)
class Limits:
    """Limits of a process that measures, and what it needs.

    Attributes:
        data_root: where the datasets lie.
        timeout: wall seconds of one process; by default those of the setting's cells, and a minute at least.
        memory: bytes of resident memory; no limit by default.
        plugins: modules that register further algorithms or datasets.
    """

    data_root: Path
    timeout: float | None = None
    memory: int | None = None
    plugins: Sequence[str] = ()


def measure_costs(
    store: Store,
    limits: Limits,
    *,
    missing_only: bool = False,
    rounds: int | None = None,
    least_rounds: int = FEW_ROUNDS,
    order_seed: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda text: None,
    sample: Sample | None = None,
) -> Costs:
    """Measure every setting that has a finished cell, and store and return all costs of the experiment.

    Args:
        store: the experiment.
        limits: of a process.
        missing_only: measure only settings that have no cost yet, or one of other numerics than run here; all of them
            where what is stored was measured on another machine, because times of two machines do not compare.
        rounds: how often each setting is measured; by default up to five times, after what its cells took.
        least_rounds: how often at least; with 1 the cost of a setting stays below a tenth of what its cells took, but
            has no interval where that is little.
        order_seed: of the order of the rounds.
        command: how it was asked for, for ``cost.json``.
        say: told what is measured next.
        sample: measures one setting once; in a new process by default.

    Raises:
        NotMeasured: no cell is finished, another process measures these costs, or a newer version wrote those that are
            there.
        CannotWrite: the folder cannot be written.
    """
    settings = settings_of(store)
    if not settings:
        raise NotMeasured(
            f"{store.label} holds no finished cells of `run`, so that there is nothing to measure the cost of"
        )
    with disk_errors_explained(store.root):
        lock = FileLock(store.cells / ".cost.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise NotMeasured(
                f"another process measures the cost of {store.label}; wait for it, because two would disturb each other"
            ) from None
    try:
        here, stored = _machine(), _stored(store)
        kept = _kept(stored, settings, here) if missing_only else []
        known = {row.setting for measurement in kept for row in measurement.rows}
        wanted = [setting for setting in settings if setting.digest not in known]
        if wanted:
            began = datetime.now(UTC).isoformat(timespec="seconds")
            rng = np.random.default_rng(order_seed)
            measured = measure_in_rounds(wanted, sample or _sampler(settings, limits), rng, say, rounds, least_rounds)
            rows = [_row(setting, outcome) for setting, outcome in zip(wanted, measured, strict=True)]
            new = Measurement(command=command, time=began, order_seed=order_seed, machine=here, rows=rows)
            kept = [*kept, new]
            write_costs(store, Costs(measurements=kept))
        return Costs(measurements=kept)
    finally:
        lock.release()


def settings_of(store: Store) -> list[Setting]:
    """Return the settings of an experiment that have a finished cell, in the order of their names."""
    rows = store.rows()
    settings = []
    for text, cells in rows[rows["status"] == "ok"].groupby(SETTING, sort=False):
        first = cells.sort_values("seed").iloc[0]
        seconds = sum(_seconds(row) for row in cells.to_dict("records"))
        laps = sum(float(cells[name].median()) for name in LAP_COLUMNS if name in cells) / 1000
        cell = read_cell(store.cells / str(first["cell"]))
        if cell.external is None:
            settings.append(Setting(cell, setting_digest(str(text)), seconds, 0.0 if math.isnan(laps) else laps))
    return settings


def _seconds(row: Mapping[Any, Any]) -> float:
    """Return the wall seconds that a cell added to its run: its own, over the cells that were at work at once."""
    seconds, jobs = (row.get(name) for name in ("cell_seconds", "jobs"))
    if seconds is None or seconds != seconds:  # results of other makers lack it
        return 0.0
    return float(seconds) / (float(jobs) if jobs and jobs == jobs else 1.0)


def _machine() -> Machine:
    here = environment()
    numbers = {name: here[name] for name in ("processor", "cpus", "gpus")}
    return Machine(**numbers, torch=here["packages"]["torch"])


def _stored(store: Store) -> Costs:
    """Return the stored costs; none where the file is damaged, because it is written anew.

    Raises:
        NotMeasured: a newer version wrote it.
    """
    try:
        return read_costs(store) or Costs()
    except UnreadableCosts as error:
        if error.newer:
            raise NotMeasured(f"{store.root / COST_FILE}: {error}, or move that file away") from None
        return Costs()


def _kept(stored: Costs, settings: Sequence[Setting], here: Machine) -> list[Measurement]:
    """Return the measurements that stay, with the rows that are of these settings and of the numerics that run here.

    Where any setting lacks one and the others were measured elsewhere, none stays.
    """
    cells = {setting.digest: setting.cell for setting in settings}
    kept = []
    for measurement in stored.measurements:
        rows = [row for row in measurement.rows if row.setting in cells and _is_valid(row, cells[row.setting])]
        if rows:
            kept.append(measurement.model_copy(update={"rows": rows}))
    known = {row.setting for measurement in kept for row in measurement.rows}
    elsewhere = any(measurement.machine != here for measurement in kept)
    return [] if elsewhere and set(cells) - known else kept


def _is_valid(row: CostRow, cell: Cell) -> bool:
    """Return whether the row has a cost, of the numerics that the algorithm has here."""
    with suppress(UserError):  # an algorithm that is not registered here
        return bool(row.rounds) and not differs_here(row.rounds[0].numerics, cell.algorithm)
    return False


def _row(setting: Setting, measured: list[Round] | Failure) -> CostRow:
    cell = setting.cell
    row = CostRow(algorithm=cell.algorithm, dataset=cell.dataset, shape=cell.shape, setting=setting.digest)
    if isinstance(measured, Failure):
        return row.model_copy(update={"failure": measured.kind, "message": measured.message[:1000]})
    return row.model_copy(update={"rounds": measured})


def _sampler(settings: Sequence[Setting], limits: Limits) -> Sample:
    """Return what measures a setting once, in a process of its own."""
    usual = {setting.cell.id: max(LEAST_LIMIT, setting.seconds) for setting in settings}

    def sample(cell: Cell, seconds: float, testing: bool) -> Round | Failure:
        ended: list[Event] = []
        timeout = usual[cell.id] if limits.timeout is None else limits.timeout
        work = Visit(seconds, testing)
        LocalExecutor(work, limits.data_root, 1, timeout, limits.memory, limits.plugins).run([cell], ended.append)
        (last,) = (event for event in ended if isinstance(event, Finished | Failed))
        return last.failure if isinstance(last, Failed) else Round.model_validate(last.result)

    return sample
