"""Results on disk: the only writer and the only reader.

An experiment is a folder with ``experiment.json`` (what was asked for) and ``cells/<cell id>/``. A finished cell holds
``cell.json`` (the specification), ``result.json`` (summary, digests, environment), ``episodes.parquet``,
``curve.parquet`` and ``weights.safetensors``; one that ended otherwise holds ``cell.json`` and ``failure.json``. A cell
is written beside its place, flushed to disk and renamed: it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from safetensors.numpy import save as save_tensors
from safetensors.torch import load as load_tensors

from algorithms.state import State
from bench.cell import CELL_SCHEMA, Cell
from bench.protocol import Outcome
from datasets import UserError

RESULT_SCHEMA = 1
ROW = ("cell", "algorithm", "dataset", "shape", "n_way", "n_shot", "seed")
FILES = frozenset(  # of a cell's folder, its specification apart
    ("result.json", "episodes.parquet", "curve.parquet", "weights.safetensors", "log.txt", "failure.json")
)
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


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

    def create(self) -> None:
        """Make the folder, and remove what dead processes of this machine left half-written in it."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write results to {self.root}: {error.strerror}; choose another --out") from None
        if not (os.access(self.cells, os.W_OK) and os.access(self.root, os.W_OK)):
            raise UserError(f"cannot write results to {self.root}: no permission; choose another --out")
        for left in self.cells.glob(".tmp-*"):
            _, host, process, *_ = *left.name.split("~"), "", ""
            if host == socket.gethostname() and process.isdecimal() and not psutil.pid_exists(int(process)):
                shutil.rmtree(left, ignore_errors=True)

    def write_experiment(self, content: Mapping[str, Any]) -> None:
        """What was asked for, for the reader; cells carry their own full specifications."""
        place = self.root / "experiment.json"
        temporary = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(_json({"schema_version": RESULT_SCHEMA, **content}))
            _flush_to_disk(temporary)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)

    def experiment(self) -> dict[str, Any]:
        """What ``write_experiment`` wrote; empty where nothing was."""
        place = self.root / "experiment.json"
        return dict(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else {}

    def has_result(self, cell: Cell) -> bool:
        """Whether this very cell is finished."""
        return (self.cells / cell.id / "result.json").is_file()

    def failure(self, cell: Cell) -> Failure | None:
        """How the cell ended without a result, where it did."""
        return _read_failure(self.cells / cell.id)

    def write_result(self, cell: Cell, outcome: Outcome, measured: Mapping[str, Any], log: str = "") -> None:
        """Store a finished cell; ``measured`` joins the summary. Where it is finished already, nothing changes."""
        result = {
            "schema_version": RESULT_SCHEMA,
            "summary": {**outcome.summary, **measured["summary"]},
            "digests": dict(outcome.digests),
            "environment": measured["environment"],
        }
        weights = {name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in outcome.state.items()}
        files = {
            "result.json": _json(result),
            "episodes.parquet": _parquet(outcome.episodes),
            "curve.parquet": _parquet(outcome.curve),
            "weights.safetensors": save_tensors(weights),
        }
        self._place(cell, files | ({"log.txt": log.encode()} if log else {}))

    def write_failure(self, cell: Cell, failure: Failure) -> None:
        """Store how a cell ended without a result; a later result takes its place."""
        self._place(cell, {"failure.json": _json({"schema_version": RESULT_SCHEMA, **asdict(failure)})})

    def files(self, cell: Cell) -> dict[str, bytes]:
        """What lies in the cell's folder, by name; its specification apart."""
        found = {path.name: path.read_bytes() for path in (self.cells / cell.id).iterdir()}
        del found["cell.json"]
        return found

    def take(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Place what ``files`` gave for the same cell in another store, as if it had ended here."""
        if strange := sorted(set(files) - FILES):
            raise ValueError(f"{cell.id} came with a file that no cell has: {strange[0]!r}")
        self._place(cell, files)

    def _place(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        place = self.cells / cell.id
        temporary = self.cells / f".tmp-~{socket.gethostname()}~{os.getpid()}~{uuid.uuid4().hex}"
        old = temporary.with_name(f"{temporary.name}-old")
        try:
            temporary.mkdir()
            for name, content in {"cell.json": _json(cell.content), **files}.items():
                (temporary / name).write_bytes(content)
                _flush_to_disk(temporary / name)
            _flush_to_disk(temporary)
            with self._lock():
                self._swap(temporary, place, old)
            _flush_to_disk(self.cells)
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

    def folders(self) -> Iterator[Path]:
        """The folders of all cells, finished or failed, by name."""
        if not self.cells.is_dir():
            raise UserError(f"{self.root} holds no results; give the folder that `python -m bench run` wrote")
        found = (path for path in self.cells.iterdir() if not path.name.startswith("."))
        yield from sorted(path for path in found if (path / "cell.json").is_file())

    def rows(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary, digests and failure, with dots in nested names.

        A cell that a newer version wrote has the status ``newer``.
        """
        found = [self._row(folder) for folder in self.folders()]
        return pd.DataFrame(found) if found else pd.DataFrame(columns=[*ROW, "status", "message"])

    def _row(self, folder: Path) -> dict[str, Any]:
        try:
            try:
                return _newer(folder) or _row(folder)
            except FileNotFoundError:  # a failure that another run is just replacing
                with self._lock():
                    return _newer(folder) or _row(folder)
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} is damaged ({reason}); remove it, and run the grid again") from None

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
            if (folder / "result.json").is_file() and not _newer(folder):
                cell = read_cell(folder)
                owners.append((folder.name, *(getattr(cell, column) for column in columns[1:])))
                tables.append(pq.ParquetFile(pa.BufferReader((folder / name).read_bytes())).read(use_threads=False))
        if not tables:
            return pd.DataFrame()
        whole: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        lengths = [table.num_rows for table in tables]
        for place, column in enumerate(columns):
            whole.insert(place, column, pd.Series([owner[place] for owner in owners]).repeat(lengths).to_numpy())
        return whole


def _newer(folder: Path) -> dict[str, Any]:
    """The row of a cell that a newer version of the benchmark wrote, as far as it can be read; empty for others."""
    for name, known in (("cell.json", CELL_SCHEMA), ("result.json", RESULT_SCHEMA), ("failure.json", RESULT_SCHEMA)):
        place = folder / name
        content = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        if content.get("schema_version", known) > known:
            cell = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
            if name != "cell.json":
                cell["shape"] = read_cell(folder).shape
            said = f"written by a newer version (schema {content['schema_version']} of {name}, this one reads {known})"
            row = {"cell": folder.name, "shape": "?", "n_way": 1, "n_shot": 1, "seed": -1}
            row |= {column: cell[column] for column in ROW if column in cell}
            return row | {"status": "newer", "message": f"{said}; update the benchmark to read it"}
    return {}


def read_cell(folder: Path) -> Cell:
    """The specification in a cell's folder."""
    content = json.loads((folder / "cell.json").read_text(encoding="utf-8"))
    return Cell.model_validate(content)


def read_state(folder: Path) -> State:
    """The selected meta-state in a finished cell's folder."""
    return dict(load_tensors((folder / "weights.safetensors").read_bytes()))


def _read_failure(folder: Path) -> Failure | None:
    place = folder / "failure.json"
    if not place.is_file():
        return None
    content = json.loads(place.read_text(encoding="utf-8"))
    content.pop("schema_version")
    return Failure(**content)


def _row(folder: Path) -> dict[str, Any]:
    cell = read_cell(folder)
    row: dict[str, Any] = {"cell": folder.name} | {name: getattr(cell, name) for name in ROW[1:]}
    failure = _read_failure(folder)
    if failure is not None:
        return row | {"status": failure.kind, "message": failure.message}
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    digests = {f"digest.{name}": value for name, value in result["digests"].items()}
    version = {"schema_version": result["schema_version"]}
    return {**row, "status": "ok", "message": "", **version, **result["summary"], **digests}
