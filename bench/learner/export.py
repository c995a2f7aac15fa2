"""Trained learners as folders that load without their experiment.

An export holds ``learner.json`` (the cell, the form of its data, and the size and digest of the weights),
``weights.safetensors`` (what adaptation reads of the meta-state) and ``README.md``, a model card; for tables, and texts
with a vocabulary, also ``preprocessing.json``. Nothing in it is executed on reading.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from bench.learner.card import card
from bench.learner.cells import choose_cell, read_trained
from bench.learner.preprocessing import MOST_BYTES, PREPROCESSING, preprocessing_bytes, with_preprocessing
from bench.learner.trained import DataForm, Trained, hashing
from bench.process.plugins import import_plugins
from bench.spec.cell import Cell
from bench.spec.model import MOST_EXAMPLES
from bench.store.atomic import absolute, disk_errors_explained, make_writable, replace_file
from bench.store.integrity import Damaged, described, read_described
from bench.store.records import checked, read_record
from bench.store.schema import LEARNER_SCHEMA, Newer
from bench.store.store import Store
from bench.store.tensors import weights_bytes, weights_of
from datasets import UserError
from datasets.core.episodes import Kind

DESCRIPTION, WEIGHTS, CARD = "learner.json", "weights.safetensors", "README.md"
MOST_DESCRIPTION = 2**20  # bytes
MOST_WEIGHTS = 2**32  # bytes
MOST_VALUES = 2**26  # inputs of two examples of each class


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _Data(_Part):
    kind: Kind
    family: str = Field(max_length=200)
    input_shape: list[Annotated[int, Field(ge=1, le=2**20)]] = Field(min_length=1, max_length=8)
    drawings: bool


class _File(_Part):
    bytes: int = Field(ge=0, le=MOST_WEIGHTS)
    sha256: str


class Export(BaseModel):
    """The content of ``learner.json``.

    Attributes:
        schema_version: of the form.
        cell: the specification, without the place of files of the user's own.
        id: of the cell as it was run.
        data: the form of the data; see ``bench.learner.trained.DataForm``.
        weights: size and digest of the file.
        preprocessing: size and digest of the file; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    cell: Cell
    id: str = Field(max_length=300)
    data: _Data
    weights: _File
    preprocessing: _File | None


def is_export(path: Path | str) -> bool:
    """Return whether that is the folder of an export, by its files."""
    return (absolute(path) / DESCRIPTION).is_file()


def export_cell(
    path: Path | str,
    cell: str,
    out: Path | str,
    *,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write a finished cell of the experiment in ``path`` as a learner that loads without it; return the files.

    Args:
        path: the experiment's folder.
        cell: the cell's id.
        out: a new or empty folder, or that of an earlier export.
        data_root: where the datasets lie; read for fitted preprocessing, or where the entry has no input shape.
        plugins: modules that register the cell's algorithm or dataset, or hold its network.

    Raises:
        UserError: there is no such cell, it is damaged, or the folder cannot be written.
    """
    import_plugins(plugins)
    store = Store(path)
    trained = read_trained(choose_cell(path, cell=cell), store, data_root)
    return write_export(trained, out, card(trained, read_record(store.cells / trained.cell.id)))


def write_export(trained: Trained, out: Path | str, card: str) -> tuple[Path, ...]:
    """Write an export and return its files.

    Args:
        trained: a cell's meta-state.
        out: a folder, which may hold nothing but an earlier export.
        card: the model card.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    folder = absolute(out)
    if folder.is_dir() and (
        others := {path.name for path in folder.iterdir()} - {DESCRIPTION, WEIGHTS, CARD, PREPROCESSING}
    ):
        raise UserError(f"{out} holds other files ({min(others)!a}); give a folder that is empty or new", "out")
    make_writable(folder)
    cell, form = trained.cell, trained.form
    kept = replace(trained, state=trained.algorithm().adaptation_state(trained.state))
    kept.check()
    weights, preprocessing = weights_bytes(kept.state), preprocessing_bytes(form)
    fitted = {} if preprocessing is None else {PREPROCESSING: preprocessing}
    content = {
        "schema_version": LEARNER_SCHEMA,
        "id": cell.id,
        "cell": {name: value for name, value in cell.content.items() if name not in ("folder", "table")},
        "data": {
            "kind": form.kind,
            "family": form.family,
            "input_shape": list(form.input_shape),
            "drawings": form.drawings,
        },
        "weights": described({WEIGHTS: weights})[WEIGHTS],
        "preprocessing": described(fitted).get(PREPROCESSING),
    }
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    files = {WEIGHTS: weights, **fitted, CARD: card.encode(), DESCRIPTION: text.encode()}
    with disk_errors_explained(folder):
        if not fitted:
            (folder / PREPROCESSING).unlink(missing_ok=True)  # of an earlier export
        for name, written in files.items():
            replace_file(folder / name, written)
    return tuple(folder / name for name in files)


def read_export(path: Path | str) -> Trained:
    """Return the meta-state of an export, verified and tried.

    Raises:
        UserError: it is damaged, of a newer version, or does not fit itself.
    """
    folder = absolute(path)
    try:
        if (folder / DESCRIPTION).stat().st_size > MOST_DESCRIPTION:
            raise Damaged(f"{DESCRIPTION} has more than {MOST_DESCRIPTION:,} bytes")
        export = checked(folder / DESCRIPTION, Export)[1]
        shape, cell = tuple(export.data.input_shape), export.cell
        if max(cell.n_way, cell.n_shot) > MOST_EXAMPLES or 2 * cell.n_way * math.prod(shape) > MOST_VALUES:
            raise Damaged(f"{DESCRIPTION} is of {cell.n_way} classes with inputs of shape {shape}, which is too much")
        state = weights_of(read_described(folder, {WEIGHTS: export.weights})[WEIGHTS])
        form = _form(export, folder)
    except SafetensorError as error:
        raise UserError(f"{path} is no export that can be read: {WEIGHTS} is damaged ({error})") from None
    except (Damaged, Newer, FileNotFoundError) as error:
        raise UserError(f"{path} is no export that can be read: {error}") from None
    trained = Trained(cell, form, state)
    trained.check()
    return trained


def _form(export: Export, folder: Path) -> DataForm:
    """Return the form of an export's data; raises Damaged where its preprocessing is not what was written."""
    data, text = export.data, export.cell.text
    form = DataForm(data.kind, data.family, tuple(data.input_shape), data.drawings, text, hashing(text))
    if export.preprocessing is not None:
        if export.preprocessing.bytes > MOST_BYTES:
            raise Damaged(f"{PREPROCESSING} has more than {MOST_BYTES:,} bytes")
        return with_preprocessing(form, read_described(folder, {PREPROCESSING: export.preprocessing})[PREPROCESSING])
    if text is not None and form.tokenizer is None:
        raise Damaged(f"{PREPROCESSING} is missing, which has the vocabulary of its {text.tokens}")
    return form
