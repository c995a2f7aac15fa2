"""An archive of an experiment's cells: a zip without compression that is the same bytes for the same cells.

It holds ``pack.json`` (the size and SHA-256 of every other file), ``experiment.json``, ``cost.json``
and ``cells/<cell id>/<file>``.
On reading nothing is executed, and nothing is written but files of those names: an archive with any other name, a link,
a file that is not described, or more contents than its own size is refused as a whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.spec.problems import first_problem
from bench.store.atomic import absolute, disk_errors_explained, make_writable, temporary_name
from bench.store.integrity import Damaged, described, read_regular
from bench.store.records import LEFT_OUT, UNREADABLE, WEIGHTS
from bench.store.schema import COST_FILE
from bench.store.store import FILES, Store
from datasets import UserError
from datasets.core.errors import BadData
from datasets.storage.paths import user_path
from datasets.storage.reading import reading, require_there
from datasets.storage.tree import Tree, open_tree

PACK, EXPERIMENT, SUFFIX = "pack.json", "experiment.json", ".zip"
SCHEMA = 1
MOST_FILES = 1_000_000
LARGEST_FILE = 2**32  # bytes
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the same cells give the same bytes
CELL_ID = re.compile(r"[A-Za-z0-9@_-][A-Za-z0-9@._-]*")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    bytes: int = Field(ge=0, le=LARGEST_FILE)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Pack(BaseModel):
    """The content of ``pack.json``: the description of each file by its name in the archive."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_version: int
    files: dict[str, _File] = Field(max_length=MOST_FILES)


def write_archive(path: Path | str, out: Path | str, weights: bool = True) -> tuple[int, str]:
    """Pack the cells of an experiment, finished or failed; return how many there are and the SHA-256 of the archive.

    Args:
        path: the experiment's folder.
        out: the archive, a file that ends in ``.zip``.
        weights: whether the cells' trained weights are packed; without them all tables and reports can be made, but
            nothing that adapts.

    Raises:
        UserError: there are no cells, one cannot be read, or the file cannot be written.
    """
    store, file = Store(path), absolute(out)
    if file.suffix != SUFFIX or file.is_dir():
        raise UserError(f"got {out}; give a file that ends in {SUFFIX}", "out")
    rows = store.rows()
    if rows.empty:
        raise UserError(f"{path} holds no cells; `python -m bench run` continues where it stopped")
    unreadable = rows[rows["status"].isin(UNREADABLE)]
    if len(unreadable):
        first = unreadable.iloc[0]
        raise UserError(f"{len(unreadable)} cells cannot be packed, such as {first['cell']}: {first['message']}")
    names = [f"cells/{cell}/{name}" for cell in rows["cell"] for name in sorted(FILES)]
    files: dict[str, Path | None] = {
        name: store.root / name for name in [EXPERIMENT, COST_FILE, *names] if (store.root / name).exists()
    }
    if not weights:
        left_out = [name for name in files if name.endswith(f"/{WEIGHTS}")]
        files = {name: place for name, place in files.items() if name not in left_out}
        files |= {f"{name.removesuffix(WEIGHTS)}{LEFT_OUT}": None for name in left_out}
    make_writable(file.parent)
    temporary = file.parent / temporary_name()
    with disk_errors_explained(file):
        try:
            _write(temporary, files)
            digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    return len(rows), digest


def _write(place: Path, files: Mapping[str, Path | None]) -> None:
    """Write the files by their names in the archive; None is an empty one."""
    descriptions: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(files.items()):
            try:
                content = b"" if path is None else read_regular(path)
            except Damaged as error:
                raise UserError(f"{name}: {error}") from None
            descriptions |= described({name: content})
            archive.writestr(zipfile.ZipInfo(name, NO_TIME), content)
        pack = {"schema_version": SCHEMA, "files": descriptions}
        archive.writestr(zipfile.ZipInfo(PACK, NO_TIME), json.dumps(pack, indent=1, sort_keys=True) + "\n")


@contextmanager
def unpacked(archive: Path | str) -> Iterator[Store]:
    """Read an archive into a temporary experiment, whose cells are not looked at yet.

    Raises:
        UserError: it is no such archive, or a hostile one.
    """
    with TemporaryDirectory(prefix="bench-archive-") as folder:
        store = Store(folder)
        store.create()
        read_archive(archive, store.root)
        store.label = str(archive)
        yield store


def read_archive(archive: Path | str, folder: Path) -> None:
    """Write the files of an archive below a folder that is there.

    Raises:
        UserError: it is no such archive, or a hostile one; what was written until then stays.
    """
    path = user_path(archive, "FILE")
    require_there(path, "python -m bench pack")
    if path.suffix != SUFFIX:
        raise UserError(f"{archive} is no archive that `bench pack` wrote, which ends in {SUFFIX}")
    with reading(), open_tree(path, LARGEST_FILE) as tree:
        size = path.stat().st_size
        if len(tree.sizes) > MOST_FILES or sum(tree.sizes.values()) > size:
            raise BadData(f"{path} would unfold to more than its own {size:,} bytes, and is not read; pack it anew")
        descriptions = _read_descriptions(tree)
        for name, description in descriptions.items():
            content = tree.read(name)
            if len(content) != description.bytes or hashlib.sha256(content).hexdigest() != description.sha256:
                raise BadData(f"{path}: {name} is not the file that {PACK} describes; get the archive again")
            with disk_errors_explained(folder):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)


def _read_descriptions(tree: Tree) -> dict[str, _File]:
    """Return the descriptions of the archive's files, which are all of its files and are named as a cell's."""
    if PACK not in tree.sizes:
        raise BadData(f"{tree.path} holds no {PACK}: it is no archive that `bench pack` wrote")
    try:
        content = json.loads(tree.read(PACK))
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > SCHEMA:
            raise BadData(f"{tree.path} was written by a newer version of the benchmark; update it to read the archive")
        files = _Pack.model_validate(content).files
    except ValidationError as error:
        raise BadData(f"{tree.path}: {PACK}: {first_problem(error, _Pack)}") from None
    except (BadData, UserError):
        raise
    except (ValueError, RecursionError):
        raise BadData(f"{tree.path}: {PACK} is not JSON") from None
    if unlike := set(files) ^ (set(tree.sizes) - {PACK}):
        raise BadData(f"{tree.path}: {min(unlike)!a} is in the archive or in {PACK}, but not in both; get it again")
    for name in files:
        parts = name.split("/")
        is_cells = len(parts) == 3 and parts[0] == "cells" and CELL_ID.fullmatch(parts[1]) and parts[2] in FILES
        if name not in (EXPERIMENT, COST_FILE) and not is_cells:
            raise BadData(f"{tree.path} holds {name!a}, which is no file of an experiment; the archive is not trusted")
    return files
