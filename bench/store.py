"""Results on disk: the only writer and the only reader.

An experiment is a folder with ``experiment.json`` (what was asked for) and ``cells/<cell id>/``. A finished cell holds
``cell.json`` (the specification), ``result.json`` (summary, digests, environment, and the size and digest of each other
file), ``episodes.parquet``, ``curve.parquet`` and ``weights.safetensors``; one that ended otherwise holds ``cell.json``
and ``failure.json``. A cell is written beside its place, flushed to disk and renamed: it is there whole or not at all.
What a failing disk made of one afterwards is noticed on reading: the cell has the status ``damaged``.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from algorithms.state import State
from bench.cell import Cell
from bench.files import (
    flush_folder,
    make_writable,
    remove_left_by_dead,
    replace_file,
    said_plainly,
    temporary_name,
    write_flushed,
)
from bench.integrity import Damaged, check_files, described
from bench.protocol import Outcome
from bench.schema import EXPERIMENT_SCHEMA, FAILURE_SCHEMA, RESULT_SCHEMA, Newer, read_json
from bench.weights import weights_bytes, weights_of
from datasets import UserError

ROW = ("cell", "algorithm", "dataset", "shape", "n_way", "n_shot", "seed")
SETTING = "setting"  # column: all of the specification but the seed, as JSON; see ``bench.settings``
FILES = frozenset(  # of a cell's folder
    ("cell.json", "result.json", "episodes.parquet", "curve.parquet", "weights.safetensors", "log.txt", "failure.json")
)
UNKNOWN: Mapping[str, Any] = dict(zip(ROW[1:], ("?", "?", "?", 1, 1, -1), strict=True))
FORMS = ("cell.json", "result.json", "failure.json")  # one of which every cell's folder has
FailureKind = Literal["error", "nan", "timeout", "oom", "killed", "skipped"]


@dataclass(frozen=True)
class Failure:
    """How a cell ended without a result.

    Attributes:
        kind: error (an exception), nan (diverged), timeout, oom (out of memory), killed (by a signal), skipped.
        message: one line.
        traceback: the exception's, or empty.
        attempt: the how-many-th attempt this was, from 1.
        elapsed_seconds: wall seconds from the start of the cell's process.
        peak_mib: peak resident memory of the cell's process, where it could still be read.
        log: the last lines that the cell's process printed.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    attempt: int = 1
    elapsed_seconds: float = 0.0
    peak_mib: float | None = None
    log: str = ""


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


class Store:
    """One experiment's folder.

    Raises:
        UserError: the folder cannot be made or written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.cells = self.root / "cells"
        self._checkpoints = self.cells / ".checkpoints"

    def create(self) -> None:
        """Make the folder, or tidy it where it is there."""
        make_writable(self.root, self.cells)
        self.tidy()

    def tidy(self) -> None:
        """Remove what dead processes of this machine left half-written, and checkpoints of finished cells."""
        for folder in (self.root, self.cells, self._checkpoints):
            remove_left_by_dead(folder)
        for checkpoint in self._checkpoints.glob("[!.]*"):
            if (self.cells / checkpoint.name / "result.json").is_file():
                checkpoint.unlink(missing_ok=True)

    def write_experiment(self, content: Mapping[str, Any]) -> None:
        """What was asked for, for the reader: ``grids`` and ``commands`` (see ``bench.asked``); cells carry their own
        full specifications."""
        with said_plainly(self.root):
            replace_file(self.root / "experiment.json", _json({"schema_version": EXPERIMENT_SCHEMA, **content}))

    def change_experiment(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Write what ``change`` makes of what is there; runs that do so at the same time lose nothing of each other's.

        Raises:
            UserError: what is there cannot be read, and is left as it is.
        """
        with said_plainly(self.root), self._lock():
            self.write_experiment(change(self.experiment()))

    def experiment(self) -> dict[str, Any]:
        """What ``write_experiment`` wrote; empty where nothing was. Raises UserError where it cannot be read."""
        place = self.root / "experiment.json"
        try:
            content = read_json(place) if place.is_file() else {}
            if not all(_is_grid(grid) for grid in content.get("grids", [])):
                raise ValueError("its grids are not what was written")
        except Newer as error:
            raise UserError(f"{place}: {error}") from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{place}: {error}; move it away, and the next run writes it anew") from None
        return content

    def has_result(self, cell: Cell) -> bool:
        """Whether this very cell is finished."""
        return (self.cells / cell.id / "result.json").is_file()

    def failure(self, cell: Cell) -> Failure | None:
        """How the cell ended without a result, where it did; raises UserError where a newer version wrote that."""
        try:
            return _read_failure(self.cells / cell.id)
        except Newer as error:
            raise UserError(f"{self.cells / cell.id}: {error}") from None

    def write_result(self, cell: Cell, outcome: Outcome, measured: Mapping[str, Any], log: str = "") -> None:
        """Store a finished cell; ``measured`` joins the summary. Where it is finished already, nothing changes."""
        files = {
            "cell.json": _json(cell.content),
            "episodes.parquet": _parquet(outcome.episodes),
            "curve.parquet": _parquet(outcome.curve),
            "weights.safetensors": weights_bytes(outcome.state),
        } | ({"log.txt": log.encode()} if log else {})
        result = {
            "schema_version": RESULT_SCHEMA,
            "summary": {**outcome.summary, **measured["summary"]},
            "digests": dict(outcome.digests),
            "environment": measured["environment"],
            "files": described(files),
        }
        self._place(cell, files | {"result.json": _json(result)})

    def write_failure(self, cell: Cell, failure: Failure) -> None:
        """Store how a cell ended without a result; a later result takes its place."""
        failed = _json({"schema_version": FAILURE_SCHEMA, **asdict(failure)})
        self._place(cell, {"cell.json": _json(cell.content), "failure.json": failed})

    def files(self, cell: Cell) -> dict[str, bytes]:
        """What lies in the cell's folder, by name."""
        return {path.name: path.read_bytes() for path in (self.cells / cell.id).iterdir()}

    def take(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Place what ``files`` gave for the same cell in another store, as if it had ended here."""
        if strange := sorted(set(files) - FILES):
            raise ValueError(f"{cell.id} came with a file that no cell has: {strange[0]!r}")
        if files.get("cell.json") != _json(cell.content):
            raise ValueError(f"{cell.id} came with the specification of another cell")
        self._place(cell, files)

    def _place(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Raises CannotWrite where the disk does not take it; what was there before stays."""
        place = self.cells / cell.id
        temporary = self.cells / temporary_name()
        old = temporary.with_name(f"{temporary.name}-old")
        with said_plainly(self.root):
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
        """Where the cell's training is kept while it is unfinished."""
        return self._checkpoints / cell.id

    def damage(self, cell: Cell) -> str | None:
        """What is wrong with the stored files of the cell; None where nothing is, or nothing is stored."""
        folder = self.cells / cell.id
        if not folder.is_dir():
            return None
        row = self._row(folder)
        return str(row["message"]) if row["status"] == "damaged" else None

    def set_aside(self, cell: Cell) -> None:
        """Move the cell's folder out of the way, to ``cells/.damaged``, so that the cell can run again."""
        with said_plainly(self.root):
            (self.cells / ".damaged").mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # another run did
                (self.cells / cell.id).rename(self.cells / ".damaged" / f"{cell.id}~{uuid.uuid4().hex}")

    def folders(self) -> Iterator[Path]:
        """The folders of all cells, finished, failed or damaged, by name."""
        if not self.cells.is_dir():
            why = "holds no results" if self.root.is_dir() else "does not exist"
            raise UserError(f"{self.root} {why}; give the folder that `python -m bench run` wrote")
        for path in sorted(self.cells.iterdir()):
            if not path.name.startswith(".") and any((path / name).is_file() for name in FORMS):
                yield path

    def finished_cells(self) -> Iterator[Cell]:
        """The specifications of the finished cells that can be read; their results are not looked at."""
        for folder in self.folders() if self.cells.is_dir() else ():
            if (folder / "result.json").is_file():
                with suppress(Newer, ValueError, OSError):  # such cells are rows of their kind
                    yield read_cell(folder)

    def rows(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary, digests and failure, with dots in nested names.

        A cell that a newer version wrote has the status ``newer``, one whose files are not those that were written the
        status ``damaged``.
        """
        found = [self._row(folder) for folder in self.folders()]
        return pd.DataFrame(found) if found else pd.DataFrame(columns=[*ROW, SETTING, "status", "message"])

    def _row(self, folder: Path) -> dict[str, Any]:
        try:
            try:
                return _row(folder)
            except FileNotFoundError:  # a failure that another run is just replacing
                with self._lock():
                    return _row(folder)
        except UserError:
            raise
        except Newer as error:
            return _known_of(folder) | {"status": "newer", "message": str(error)}
        except (Damaged, ValueError, KeyError, TypeError, OSError) as error:
            reason = str(error).splitlines()[0]
            message = f"damaged: {reason}; `python -m bench run` sets it aside and runs it again"
            return _known_of(folder) | {"status": "damaged", "message": message}

    def episodes(self) -> pd.DataFrame:
        """The per-episode rows of all finished cells, with the columns ``cell``, ``algorithm``, ``dataset``, ``shape``
        and ``seed`` before them."""
        return self._tables("episodes.parquet")

    def curves(self) -> pd.DataFrame:
        """The training curves of all finished cells, with the same columns before them."""
        return self._tables("curve.parquet")

    def _tables(self, name: str) -> pd.DataFrame:
        """Those of all cells as one, put together before it is a data frame: ten thousand small ones take a minute."""
        columns = ("cell", "algorithm", "dataset", "shape", "seed")
        tables: list[pa.Table] = []
        owners: list[tuple[Any, ...]] = []
        for folder in self.folders():
            row = self._row(folder)
            if row["status"] == "ok":
                owners.append(tuple(row[column] for column in columns))
                tables.append(pq.ParquetFile(pa.BufferReader((folder / name).read_bytes())).read(use_threads=False))
        if not tables:
            return pd.DataFrame()
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        lengths = [table.num_rows for table in tables]
        for place, column in enumerate(columns):
            whole.insert(place, column, pd.Series([owner[place] for owner in owners]).repeat(lengths).to_numpy())
        return whole


def read_cell(folder: Path) -> Cell:
    """The specification in a cell's folder."""
    return Cell.model_validate(read_json(folder / "cell.json"))


def read_state(folder: Path) -> State:
    """The selected meta-state in a finished cell's folder."""
    return weights_of((folder / "weights.safetensors").read_bytes())


def _read_failure(folder: Path) -> Failure | None:
    place = folder / "failure.json"
    if not place.is_file():
        return None
    content = read_json(place)
    content.pop("schema_version")
    return Failure(**content)


def _known_of(folder: Path) -> dict[str, Any]:
    """The columns of a cell that cannot be read whole, as far as its specification says."""
    known: dict[str, Any] = {"cell": folder.name, **UNKNOWN}
    try:
        content = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
        known |= {column: content[column] for column in ROW if column in content}
        cell = Cell.model_validate(content)
        known |= {"shape": cell.shape, SETTING: _setting(cell)}
    except (OSError, ValueError, TypeError):  # damaged too, or of a newer form
        pass
    return known


def _is_grid(grid: object) -> bool:
    return isinstance(grid, dict) and isinstance(grid.get("name"), str)


def _setting(cell: Cell) -> str:
    return json.dumps(cell.setting, sort_keys=True, separators=(",", ":"))


def _row(folder: Path) -> dict[str, Any]:
    cell = read_cell(folder)
    row: dict[str, Any] = {"cell": folder.name} | {name: getattr(cell, name) for name in ROW[1:]}
    row[SETTING] = _setting(cell)
    failure = _read_failure(folder)
    if failure is not None:
        return row | {"status": failure.kind, "message": failure.message}
    result = read_json(folder / "result.json")
    check_files(folder, result["files"])
    digests = {f"digest.{name}": value for name, value in result["digests"].items()}
    version = {"schema_version": result["schema_version"]}
    return {**row, "status": "ok", "message": "", **version, **result["summary"], **digests}
