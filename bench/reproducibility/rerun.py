"""Run cells of an experiment again from their stored specifications, and compare the results.

In the same environment (see ``bench.process.same_environment``) and with the same numerics (see
``bench.protocol.numerics``) everything but times and amounts of memory must be the same byte by byte. Elsewhere data,
episodes and counts must still be the same, and trained numbers as close as
``bench.reproducibility.diff.beyond_tolerance`` says.
"""

from __future__ import annotations

import fnmatch
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError

from algorithms.engines.precision import check_processor
from bench.execution.availability import reasons_to_skip
from bench.execution.cell_process import RunCell
from bench.execution.events import OnEvent, Planned, ignore
from bench.execution.local import LocalExecutor
from bench.process.plugins import import_plugins
from bench.process.resources import available_cpus, usable_device
from bench.process.same_environment import code_difference, environment_differences
from bench.protocol.numerics import version_differences
from bench.reproducibility.diff import beyond_tolerance, cell_differences, first_difference
from bench.spec.cell import Cell
from bench.store.records import read_environment, read_numerics
from bench.store.store import Store, read_cell
from datasets import UserError
from datasets.storage.reading import usable_data_root

Verdict = Literal["same", "close", "differs", "not repeated"]


@dataclass(frozen=True)
class Repeated:
    """The result of running a cell again.

    Attributes:
        cell: its id.
        verdict: same (byte by byte), close (within the tolerances for another environment), differs, or not repeated.
        differences: why it differs or was not repeated, a line each.
        values: its means over the test episodes, stored and now, that differ, also where that is within the tolerances.
        first: where its test episodes differ first, likewise; empty where they do not.
        environment: what differs of the environment that matters, a line each.
        code: the two versions of the benchmark where they differ.
    """

    cell: str
    verdict: Verdict
    differences: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    first: str = ""
    environment: tuple[str, ...] = ()
    code: str = ""

    @property
    def agrees(self) -> bool:
        return self.verdict in ("same", "close")


@dataclass(frozen=True)
class Repetition:
    """The results of running the chosen cells again, by cell id."""

    cells: tuple[Repeated, ...]

    @property
    def agrees(self) -> bool:
        """Return whether every chosen cell was repeated and agrees."""
        return all(cell.agrees for cell in self.cells)

    @property
    def frame(self) -> pd.DataFrame:
        """A row per cell, with the attributes of ``Repeated``."""
        return pd.DataFrame([asdict(cell) for cell in self.cells])


def repro(
    path: Path | str,
    *,
    cells: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    jobs: int | None = None,
    timeout: float | None = None,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
    on_event: OnEvent = ignore,
) -> Repetition:
    """Run finished cells of the experiment in ``path`` again and compare; ``path`` is only read.

    Args:
        path: the experiment's folder.
        cells: patterns of cell ids such as ``maml--*``; all finished cells by default.
        sample: only so many of them, drawn at random.
        seed: of that draw.
        out: where the repeated cells are kept; thrown away by default. Those that it holds are not run again.
        jobs: cells that run in parallel; the processors of this machine by default.
        timeout: wall seconds that a cell may take.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.
        on_event: told of everything that happens.

    Raises:
        UserError: the folder holds no finished cell, or an argument is wrong.
    """
    import_plugins(plugins)
    for name, value in (("jobs", jobs), ("sample", sample)):
        if value is not None and value < 1:
            raise UserError(f"got {value}; use a whole number from 1", name)
    if out is not None and Path(out).resolve() == Path(path).resolve():
        raise UserError(f"{out} is the experiment itself; give another folder", "out")
    root = usable_data_root(data_root)
    stored = {folder: read_cell(folder) for folder in _chosen(Store(path), cells, sample, seed)}
    reasons = {folder: _why_not(cell, root) for folder, cell in stored.items()}
    to_run = [cell for folder, cell in stored.items() if not reasons[folder]]
    with _again(out) as store:
        for cell in to_run:
            if store.damage(cell):
                store.set_aside(cell)
        done = {cell.id for cell in to_run if store.has_result(cell)}
        on_event(Planned(tuple(to_run), tuple(cell for cell in to_run if cell.id in done)))
        executor = LocalExecutor(RunCell(store), root, jobs or available_cpus(), timeout, plugins=plugins)
        executor.run([cell for cell in to_run if cell.id not in done], on_event)
        return Repetition(
            tuple(
                Repeated(folder.name, "not repeated", (reasons[folder],))
                if reasons[folder]
                else _compared(folder, store.cells / cell.id, cell.device)
                for folder, cell in stored.items()
            )
        )


@contextmanager
def _again(out: Path | str | None) -> Iterator[Store]:
    """The store of the repeated cells."""
    with tempfile.TemporaryDirectory(prefix="bench-repro-") as folder:
        store = Store(folder if out is None else out)
        store.create()
        yield store


def _chosen(store: Store, patterns: Sequence[str], sample: int | None, seed: int) -> list[Path]:
    """The folders of the finished cells that were asked for, by name."""
    rows = store.rows()
    finished = sorted(rows.loc[rows["status"] == "ok", "cell"])
    if not finished:
        raise UserError(f"{store.label} holds no finished cell to repeat")
    for pattern in patterns:
        if not fnmatch.filter(finished, pattern):
            raise UserError(f"no finished cell matches '{pattern}'; they are named like {finished[0]}", "cells")
    names = [name for name in finished if not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    if sample is not None and sample < len(names):
        names = sorted(random.Random(seed).sample(names, sample))
    return [store.cells / name for name in names]


def _why_not(cell: Cell, root: Path) -> str:
    """Return why the cell cannot be repeated here; empty where it can."""
    if cell.external is not None:
        return f"it is external ({cell.external.source}): its predictions were made elsewhere"
    if cell.train.seconds is not None:
        return f"its budget is {cell.train.seconds:g} seconds, and how far those reach is not the same twice"
    try:
        usable_device(cell.device)
        check_processor(cell.precision)
        return reasons_to_skip([cell], root).get(cell.id, "")
    except UserError as error:
        return str(error)
    except ValidationError as error:
        return f"its hyper-parameters are not {cell.algorithm}'s here: {error.errors()[0]['msg']}"


def _compared(stored: Path, again: Path, device: str) -> Repeated:
    environments = [_environment(folder) for folder in (stored, again)]
    if environments[1] is None:
        return Repeated(stored.name, "differs", tuple(cell_differences(stored, again)))
    assert environments[0] is not None
    versions = version_differences(read_numerics(stored), read_numerics(again))
    unlike = (*environment_differences(environments[0], environments[1], device), *versions)
    code = code_difference(environments[0], environments[1])
    exact = tuple(cell_differences(stored, again))
    beyond = tuple(beyond_tolerance(stored, again)) if unlike else exact
    verdict: Verdict = "differs" if beyond else "close" if exact else "same"
    values = tuple(line for line in exact if line.startswith("summary test_"))
    return Repeated(stored.name, verdict, beyond, values, first_difference(stored, again), unlike, code)


def _environment(folder: Path) -> Mapping[str, Any] | None:
    """Return where the result was made; None where there is no result."""
    try:
        return read_environment(folder)
    except FileNotFoundError:
        return None
