"""Results on disk: the only writer and the only reader.

An experiment is a folder with ``experiment.json`` (what was asked for) and ``cells/<cell id>/``. A finished cell holds
``cell.json`` (the specification), ``result.json`` (summary, digests, environment, and the size and digest of each other
file), ``episodes.parquet``, ``curve.parquet`` and ``weights.safetensors``; one that failed holds ``cell.json`` and
``failure.json``. A cell is written to a temporary folder, flushed to disk and renamed, so that it is either complete or
absent. Damage to its files afterwards is noticed on reading: the cell has the status ``damaged``.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from bench.spec.cell import Cell
from bench.store.atomic import (
    absolute,
    disk_errors_explained,
    flush_folder,
    make_writable,
    name_of_length,
    readable,
    remove_left_by_dead,
    replace_file,
    temporary_name,
    write_flushed,
)
from bench.store.integrity import Damaged, described, read_regular
from bench.store.records import (
    LEFT_OUT,
    NUMERICS,
    ROW,
    SETTING,
    UNKNOWN,
    Experiment,
    Failure,
    FailureKind,
    Record,
    checked,
    damaged,
    has_weights,
    read_cell,
    read_failure,
    read_state,
    record_of,
)
from bench.store.schema import EXPERIMENT_SCHEMA, FAILURE_SCHEMA, RESULT_SCHEMA, Newer
from bench.store.tables import BUDGETS, CURVE, EPISODES, read_budgets, read_curve, read_episodes
from bench.store.tensors import weights_bytes
from bench.store.verified import read_verified, table_in
from datasets import UserError

if TYPE_CHECKING:
    from bench.protocol.outcome import Outcome

__all__ = ["SETTING", "UNKNOWN", "Failure", "FailureKind", "Store", "has_weights", "read_cell", "read_state"]

FILES = frozenset(  # of a cell's folder
    (
        *("cell.json", "result.json", "episodes.parquet", "curve.parquet", "budgets.parquet", "weights.safetensors"),
        *("log.txt", "failure.json", LEFT_OUT),
    )
)
OWNER = ("cell", "algorithm", "dataset", "shape", "seed")  # columns before those of a cell's tables
_BUDGET_NUMBERS = (
    *("outer_steps", "selected_outer_step", "train_seconds"),
    *("test_mse", "test_return", "test_accuracy_transductive", "test_accuracy_inductive"),
)
FORMS = ("cell.json", "result.json", "failure.json")  # one of which every cell's folder has


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the contents of a stored JSON file."""
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _budget_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["budget", *(name for name in table.columns if name != "budget")]]


class Store:
    """One experiment's folder. Its path is absolute, so that a later change of the working directory has no effect.

    Raises:
        UserError: the folder cannot be made or written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = absolute(root)
        self.label = str(root)  # the path as it was given, for messages
        self.cells = self.root / "cells"
        self._checkpoints = self.cells / ".checkpoints"

    def create(self) -> None:
        """Make the folder, or tidy it where it is there."""
        make_writable(self.root, self.cells)
        self.tidy()

    def tidy(self) -> None:
        """Remove what dead processes of this machine left half-written, and checkpoints of finished cells."""
        with disk_errors_explained(self.root):
            for folder in (self.root, self.cells, self._checkpoints):
                remove_left_by_dead(folder)
            for checkpoint in self._checkpoints.glob("[!.]*"):
                if (self.cells / checkpoint.name / "result.json").is_file():
                    checkpoint.unlink(missing_ok=True)

    def write_experiment(self, content: Mapping[str, Any]) -> None:
        """Store what was asked for: ``grids`` and ``commands`` (see ``bench.store.requested``).

        Cells carry their own full specifications.
        """
        with disk_errors_explained(self.root):
            replace_file(self.root / "experiment.json", json_bytes({"schema_version": EXPERIMENT_SCHEMA, **content}))

    def change_experiment(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Write what ``change`` makes of what is there; runs that do so at the same time lose nothing of each other's.

        Raises:
            UserError: what is there cannot be read, and is left as it is.
        """
        with disk_errors_explained(self.root), self._lock():
            self.write_experiment(change(self.experiment()))

    def experiment(self) -> dict[str, Any]:
        """Return what ``write_experiment`` wrote; empty where nothing was. Raises UserError where it cannot be read."""
        place = self.root / "experiment.json"
        try:
            return checked(place, Experiment)[0]
        except FileNotFoundError:
            return {}
        except Newer as error:
            raise UserError(f"{place}: {error}") from None
        except Damaged as error:
            raise UserError(f"{place}: {error}; move it away, and the next run writes a new one") from None

    def has_result(self, cell: Cell) -> bool:
        """Return whether this very cell is finished."""
        return (self.cells / cell.id / "result.json").is_file()

    def numerics(self, cell: Cell) -> dict[str, int] | None:
        """Return the versions of the numerics that made the finished cell's result; None where they are not known."""
        stated = self._record(self.cells / cell.id).row.get(NUMERICS)
        return json.loads(stated) if isinstance(stated, str) else None

    def failure(self, cell: Cell) -> Failure | None:
        """Return how the cell ended without a result, where it did; raises UserError where that cannot be read."""
        try:
            return read_failure(self.cells / cell.id)
        except (Newer, Damaged) as error:
            raise UserError(f"{self.cells / cell.id}: {error}") from None

    def write_result(self, cell: Cell, outcome: Outcome, measured: Mapping[str, Any], log: str = "") -> None:
        """Store a finished cell; ``measured`` joins the summary. Where it is finished already, nothing changes.

        Raises:
            ValueError: the tables or numbers are none that could be read again.
            CannotWrite: the disk does not take it.
        """
        files = {
            "cell.json": json_bytes(cell.content),
            EPISODES: _parquet(outcome.episodes),
            CURVE: _parquet(outcome.curve),
            "weights.safetensors": weights_bytes(outcome.state),
        } | ({"log.txt": log.encode()} if log else {})
        tested = [
            budget.episodes.assign(budget=budget.numbers["budget"])
            for budget in outcome.budgets
            if budget.episodes is not None
        ]
        if tested:
            files[BUDGETS] = _parquet(_budget_first(pd.concat(tested, ignore_index=True)))
        result = {
            "schema_version": RESULT_SCHEMA,
            "summary": {**outcome.summary, **measured["summary"]},
            "digests": dict(outcome.digests),
            "environment": measured["environment"],
            "numerics": dict(outcome.numerics),
            "budgets": [dict(budget.numbers) for budget in outcome.budgets],
            "files": described(files),
        }
        content = json_bytes(result)
        try:
            read_episodes(files[EPISODES], cell.entry.kind, cell.external)
            read_curve(files[CURVE])
            if tested:
                read_budgets(files[BUDGETS], cell.entry.kind)
        except Damaged as error:
            raise ValueError(f"the outcome of {cell.id} is not a result: {error}") from None
        self._place(cell, files | {"result.json": content})

    def write_failure(self, cell: Cell, failure: Failure) -> None:
        """Store how a cell ended without a result; a later result takes its place."""
        failed = json_bytes({"schema_version": FAILURE_SCHEMA, **asdict(failure)})
        self._place(cell, {"cell.json": json_bytes(cell.content), "failure.json": failed})

    def files(self, cell: Cell) -> dict[str, bytes]:
        """Return the contents of the files in the cell's folder, by name."""
        return {path.name: read_regular(path) for path in (self.cells / cell.id).iterdir()}

    def add_files(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Store a cell that ended elsewhere, from the files that ``files`` of another store returned."""
        if strange := sorted(set(files) - FILES):
            raise ValueError(f"{cell.id} came with a file that no cell has: {strange[0]!r}")
        if files.get("cell.json") != json_bytes(cell.content):
            raise ValueError(f"{cell.id} came with the specification of another cell")
        self._place(cell, files)

    def _place(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Raises CannotWrite where the disk does not take it; what was there before stays."""
        place = self.cells / cell.id
        temporary = self.cells / temporary_name()
        old = temporary.with_name(f"{temporary.name}-old")
        with disk_errors_explained(self.root):
            try:
                temporary.mkdir()
                for name, content in files.items():
                    write_flushed(temporary / name, content)
                flush_folder(temporary)
                with self._lock():
                    self._swap(temporary, place, old)
                flush_folder(self.cells)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
                shutil.rmtree(old, ignore_errors=True)

    def _swap(self, temporary: Path, place: Path, old: Path) -> None:
        """Rename ``temporary`` to ``place``; a result that is there stays, a failure makes room as ``old``."""
        if (place / "result.json").is_file():
            return
        replaced = place.exists()
        if replaced:
            place.rename(old)
        try:
            temporary.rename(place)
        except BaseException:
            if replaced:
                old.rename(place)
            raise

    def _lock(self) -> FileLock:
        """Held while a cell takes the place of another, by whichever process: a failure must not replace a result."""
        return FileLock(self.cells / ".lock")

    def checkpoint(self, cell: Cell) -> Path:
        """Return where the cell's training is kept while it is unfinished."""
        return self._checkpoints / cell.id

    def damage(self, cell: Cell) -> str | None:
        """Return what is wrong with the stored files of the cell; None where nothing is, or nothing is stored."""
        folder = self.cells / cell.id
        if not folder.is_dir():
            return None
        row = self._record(folder).row
        return str(row["message"]) if row["status"] == "damaged" else None

    def set_aside(self, cell: Cell) -> None:
        """Move the cell's folder out of the way, to ``cells/.damaged``, so that the cell can run again."""
        with disk_errors_explained(self.root):
            (self.cells / ".damaged").mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another run did
                aside = name_of_length(f"{cell.id}~{uuid.uuid4().hex}")
                (self.cells / cell.id).rename(self.cells / ".damaged" / aside)

    def folders(self) -> Iterator[Path]:
        """The folders of all cells, finished, failed or damaged, by name; raises UserError where there are none."""
        try:
            with readable(self.root):
                folders = sorted(self.cells.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            if self.root.is_file() and self.root.suffix == ".zip":
                unpack = f"python -m bench unpack {self.label} --out DIR"
                raise UserError(f"{self.label} is an archive, not a folder of results; unpack it: {unpack}") from None
            why = "does not exist"
            if self.root.exists():
                why = "holds no results" if self.root.is_dir() else "is a file"
            raise UserError(f"{self.label} {why}; give the folder that `python -m bench run` wrote") from None
        for folder in folders:
            if not folder.name.startswith(".") and self._is_cell(folder):
                yield folder

    def _is_cell(self, folder: Path) -> bool:
        """Return whether that is the folder of a cell, even of one that may not be looked at."""
        try:
            return any(path.name in FORMS for path in folder.iterdir())
        except PermissionError:
            return re.search("--[0-9a-f]{12}$", folder.name) is not None
        except OSError:
            return False

    def finished_cells(self) -> Iterator[Cell]:
        """The specifications of the finished cells that can be read; their results are not looked at."""
        for folder in self.folders() if self.cells.is_dir() else ():
            if (folder / "result.json").is_file():
                with suppress(Newer, Damaged, FileNotFoundError):  # such cells are rows of their kind
                    yield read_cell(folder)

    def rows(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary, digests and failure, with dots in nested names.

        A cell that a newer version wrote has the status ``newer``, one whose dataset is not registered here
        ``unknown``, and one whose files are not those that were written ``damaged``.
        """
        rows = [self._record(folder).row for folder in self.folders()]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*ROW, SETTING, "status", "message"])

    def row(self, cell: Cell) -> dict[str, Any]:
        """The row of one cell."""
        return self._record(self.cells / cell.id).row

    def _record(self, folder: Path) -> Record:
        with suppress(FileNotFoundError):  # a failure that another run is just replacing
            return read_verified(folder)
        with ExitStack() as held:
            with suppress(OSError):  # nobody replaces anything in a folder that may not be written to
                held.enter_context(self._lock())
            try:
                return record_of(folder)
            except FileNotFoundError as error:
                return Record({"cell": folder.name, **UNKNOWN} | damaged(f"{Path(error.filename).name} is missing"))

    def episodes(self, cell: Cell | None = None) -> pd.DataFrame:
        """The per-episode rows of all finished cells or of one, with the columns ``cell``, ``algorithm``, ``dataset``,
        ``shape`` and ``seed`` before them."""
        return self._tables(EPISODES, cell)

    def curves(self, cell: Cell | None = None) -> pd.DataFrame:
        """The training curves of all finished cells or of one, with the same columns before them."""
        return self._tables(CURVE, cell)

    def budget_episodes(self) -> pd.DataFrame:
        """The per-episode rows at the earlier budgets of all finished cells, with the columns of ``episodes`` and
        ``budget``."""
        return self._tables(BUDGETS)

    def budgets(self) -> pd.DataFrame:
        """A row per finished cell and budget at which it was tested, its whole one among them.

        The columns are those before the episodes, then ``budget`` (training episodes), ``outer_steps``,
        ``selected_outer_step``, ``train_seconds`` and the means over the test episodes, which are NaN where adapting to
        one of them diverged.
        """
        rows: list[dict[str, Any]] = []
        for folder in self.folders():
            record = self._record(folder)
            if record.row["status"] != "ok":
                continue
            owner = {column: record.row[column] for column in OWNER}
            whole = {name: record.row.get(name) for name in _BUDGET_NUMBERS}
            rows += [owner | dict(numbers) for numbers in record.budgets]
            rows.append(owner | {"budget": record.row.get("train_episodes")} | whole)
        return pd.DataFrame(rows).dropna(axis="columns", how="all")

    def _tables(self, name: str, cell: Cell | None = None) -> pd.DataFrame:
        """Return the tables of all cells as one data frame, joined first: ten thousand data frames take a minute."""
        tables: list[pa.Table] = []
        owners: list[tuple[Any, ...]] = []
        for folder in self.folders() if cell is None else [self.cells / cell.id]:
            record = self._record(folder)
            try:
                table = table_in(folder, record, name)
            except (Damaged, FileNotFoundError):  # another run sets the cell aside just now
                table = None
            if table is not None:
                owners.append(tuple(record.row[column] for column in OWNER))
                tables.append(table)
        if not tables:
            return pd.DataFrame()
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        lengths = [table.num_rows for table in tables]
        for place, column in enumerate(OWNER):
            whole.insert(place, column, pd.Series([owner[place] for owner in owners]).repeat(lengths).to_numpy())
        return whole
