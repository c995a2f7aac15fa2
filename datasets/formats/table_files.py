"""Tables as files: CSV, tab-separated values, Parquet and ``.npz``, read in batches of columns that are chosen by name.

Nothing in a file is executed: an ``.npz`` with pickled objects is refused. What a file announces is checked against
``MOST_VALUES`` before memory is taken for it.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from datasets.core.errors import BadData
from datasets.core.printable import printable
from datasets.core.registry import suggest
from datasets.storage.reading import require_file

SUFFIXES = (".csv", ".tsv", ".parquet", ".npz")
MOST_VALUES = 2**26
"""Rows times columns: half a GiB in the double precision in which a table is standardized."""

MOST_COLUMNS = 10_000
_BLOCK = 2**22  # bytes of a CSV file, and with it the longest line
_ROWS = 2**16  # of a batch
_SHOWN = 10  # columns in a message
_LONGEST_HEAD = 2**16  # bytes of the line of names that are looked at for separators
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SPARE = ", or name the column in `ignore`"
"""The end of messages about a column of a dataset, which need not be used."""

NEEDED = ""
"""The same for a table all of whose columns are needed."""

_NUMBER = re.compile(r"CSV column #(\d+): Row #(\d+): CSV conversion error to double: invalid value '(.*)'", re.DOTALL)


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of the table at ``path``, in its order.

    A two-dimensional array ``x`` of an ``.npz`` is one column for each of its own: ``x.0``, ``x.1``, and so on.

    Raises:
        BadData: it is no such file, or is damaged, has no columns, too many, or two of the same name.
    """
    require_file(path)
    with refusing(path):
        if path.suffix == ".parquet":
            names = list(pa_parquet.ParquetFile(path).schema_arrow.names)
        elif path.suffix == ".npz":
            names = [name for array, columns in _arrays(path).items() for name in _names(array, columns)]
        else:
            with pa_csv.open_csv(path, _read_options(), _parse_options(path)) as reader:
                names = list(reader.schema.names)
    if not names or len(names) > MOST_COLUMNS:
        raise BadData(f"{path} has {len(names):,} columns; a table has 1 to {MOST_COLUMNS:,}")
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise BadData(f"{path} has two columns called '{shown(twice)}'; rename one of them")
    return names


def require_columns(path: Path, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Raise BadData, with the nearest name, where one of the wanted columns is not in the table."""
    for name in wanted:
        if name not in names:
            listed = ", ".join(map(shown, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
            near = suggest(name, list(names)) or ";"
            raise BadData(
                f"{path} has no column '{shown(name)}'{near} its columns: {listed}{separator_hint(path, names)}"
            )


def separator_hint(path: Path, names: Sequence[str]) -> str:
    """Return what to do where the columns of a text file are one because something else separates them; else empty."""
    wanted, others = ("\t", ";,|") if path.suffix == ".tsv" else (",", ";\t|")
    is_one = len(names) == 1 and wanted not in names[0]
    found = next((mark for mark in others if is_one and mark in names[0]), None)
    if path.suffix not in (".csv", ".tsv") or found is None:
        return ""
    instead = "; or name the file .tsv" if found == "\t" else ""
    return f"; it is separated by {_SEPARATORS[found]}, and must be by {_SEPARATORS[wanted]}: write it anew{instead}"


def batches(path: Path, numbers: Sequence[str], texts: Sequence[str], spare: str = SPARE) -> Iterator[pa.RecordBatch]:
    """Return the rows of the table in batches with these columns, in this order.

    Args:
        path: the table.
        numbers: columns that are to hold numbers.
        texts: columns that are to hold names.
        spare: the end of messages about a column that holds no numbers.

    Raises:
        BadData: the file is damaged, a number is none, or the table is larger than ``MOST_VALUES``.
    """
    n_rows = 0
    with refusing(path, spare):
        for batch in _opened(path, numbers, texts):
            n_rows += batch.num_rows
            require_size(path, n_rows, len(numbers))
            yield batch
    if not n_rows:
        raise BadData(f"{path} has no rows; a table needs some")


def require_size(path: Path, n_rows: int, n_columns: int) -> None:
    """Raise BadData where a table of that size is larger than ``MOST_VALUES``."""
    if n_rows * n_columns > MOST_VALUES:
        raise BadData(
            f"{path} has more than {MOST_VALUES:,} values in {n_columns:,} columns of numbers; leave out columns "
            "(`features`, `ignore`) or rows, or write a loader of your own (docs/extending/dataset.md)"
        )


def shown(text: object) -> str:
    """Return a name or value from a file as a message shows it: one line, and not long."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= 60 else f"{line[:57]}..."


@contextmanager
def refusing(path: Path, spare: str = SPARE) -> Iterator[None]:
    """Turn what pyarrow, NumPy and zipfile raise on a damaged file into BadData with one line."""
    try:
        yield
    except BadData:
        raise
    except pa.ArrowInvalid as error:
        if match := _NUMBER.search(str(error)):
            name = column_names(path)[int(match[1])]
            raise BadData(
                f"{path}: column '{shown(name)}' has '{shown(match[3])}' in row {int(match[2]) - 1}, which is no "
                f"number; correct it{spare}"
            ) from error
        raise _damaged(path, error) from error
    except (pa.ArrowException, ValueError, EOFError, KeyError, NotImplementedError, MemoryError) as error:
        raise _damaged(path, error) from error
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:  # what the system refuses; pyarrow's own has no number
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> BadData:
    line = printable(" ".join(str(error).split())) or type(error).__name__
    hint = separator_hint(path, [_first_line(path)]) or "; write it anew"
    return BadData(f"{path} cannot be read as {path.suffix.removeprefix('.')} ({line[:200]}){hint}")


def _first_line(path: Path) -> str:
    """Return the first line of a text file, or what can be read of it; empty where nothing can."""
    try:
        with path.open("rb") as file:
            return file.readline(_LONGEST_HEAD).decode(errors="replace")
    except OSError:
        return ""


def _read_options() -> pa_csv.ReadOptions:
    return pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK)  # with threads, errors have no row


def _parse_options(path: Path) -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True)


def _opened(path: Path, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
    wanted = [*numbers, *texts]
    if path.suffix == ".parquet":
        file = pa_parquet.ParquetFile(path)
        require_size(path, file.metadata.num_rows, len(numbers))
        for batch in file.iter_batches(batch_size=_ROWS, columns=wanted, use_threads=False):
            yield batch.select(wanted)
    elif path.suffix == ".npz":
        yield from _of_arrays(path, wanted).to_batches(max_chunksize=_ROWS)
    else:
        types = dict.fromkeys(numbers, pa.float64()) | dict.fromkeys(texts, pa.string())
        convert = pa_csv.ConvertOptions(column_types=types, include_columns=wanted)
        with pa_csv.open_csv(path, _read_options(), _parse_options(path), convert) as reader:
            yield from reader


def _arrays(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """The arrays of an ``.npz`` by name, with shape and type as their headers announce them."""
    headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or name in headers or len(headers) >= MOST_COLUMNS:
                raise BadData(f"{path} holds '{shown(info.filename)}', which is no array of its own; write it anew")
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read: Any = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}", None)
                if read is None:
                    raise ValueError(f"array '{name}' has the form {version}")
                shape, _, dtype = read(file)
            if dtype.hasobject:
                raise BadData(
                    f"{path}: array '{shown(name)}' holds pickled objects, which are not read; "
                    "store numbers or strings (`array.astype(str)`)"
                )
            headers[name] = (shape, dtype)
    for name, (shape, dtype) in headers.items():
        if len(shape) not in (1, 2) or shape[0] != next(iter(headers.values()))[0][0] or dtype.names is not None:
            raise BadData(
                f"{path}: array '{shown(name)}' is {dtype} {shape}; each array has a row for each row of the table, "
                "[rows] or [rows, columns]"
            )
        require_size(path, shape[0], shape[1] if len(shape) == 2 else 1)
        if dtype.itemsize > 1024:
            raise BadData(f"{path}: array '{shown(name)}' has strings of {dtype.itemsize:,} bytes; use shorter ones")
    return headers


def _names(array: str, header: tuple[tuple[int, ...], np.dtype[Any]]) -> list[str]:
    shape, _ = header
    if len(shape) == 1:
        return [array]
    if shape[1] > MOST_COLUMNS:
        raise ValueError(f"array '{array}' has {shape[1]:,} columns, more than {MOST_COLUMNS:,}")
    return [f"{array}.{place}" for place in range(shape[1])]


def _of_arrays(path: Path, wanted: Sequence[str]) -> pa.Table:
    headers = _arrays(path)
    columns: dict[str, npt.NDArray[Any]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name, header in headers.items():
            names = _names(name, header)
            if any(column in wanted for column in names):
                array = arrays[name].reshape(header[0][0], -1)
                columns |= {column: array[:, place] for place, column in enumerate(names) if column in wanted}
    return pa.table({name: _arrow(columns[name]) for name in wanted})


def _arrow(column: npt.NDArray[Any]) -> pa.Array:
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8")
    if column.dtype.kind not in "biufU":
        raise ValueError(f"a column is of type {column.dtype}, neither numbers nor strings")
    return pa.array(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("="))))
