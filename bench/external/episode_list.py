"""Test episodes of a dataset as a file that any framework can read, under the digest that cells have.

The file is an ``.npz``: arrays by name, without pickled objects. Queries stand in an order that says nothing of their
labels, which are not in the file.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from bench.protocol.setup import EVALUATION_SEED
from bench.spec.cell import Cell, Evaluation
from bench.spec.model import Model
from bench.spec.own_data import FolderSpec, TableSpec
from bench.spec.problems import first_problem
from bench.spec.tokens import TextSpec
from bench.store.atomic import absolute, disk_errors_explained, make_writable, temporary_name
from datasets import DATASETS, Dataset, DatasetEntry, UserError
from datasets.core.episodes import Episodes, EpisodeStream, Shape, StreamName, digest
from datasets.core.errors import BadData
from datasets.core.randomness import Int64Array, bits, key_of
from datasets.storage.reading import reading, require_there

SCHEMA = 1
SUFFIX = ".npz"
META = "meta"
LONGEST_META = 2**20  # bytes
MOST_VALUES = 2**30  # of the inputs of a file: 4 GiB
AT_ONCE = 25  # episodes that are read together

Arrays = dict[str, npt.NDArray[Any]]


class EpisodeList(Model):
    """The name of a list of test episodes: what ``meta`` holds in the file.

    Attributes:
        schema_version: of the form of the file.
        dataset: name of the dataset.
        folder: its images, where they are the user's own.
        table: its rows, likewise.
        text: how its texts become arrays, where they are texts.
        n_way: classes of an episode; 1 for regression.
        n_shot: support examples of a class.
        evaluation: of the cells that these episodes test; it has their number and the queries per class.
        fingerprint: of the dataset.
        digest: of the episodes, as in a cell's result.
    """

    schema_version: int = SCHEMA
    dataset: str
    folder: FolderSpec | None = None
    table: TableSpec | None = None
    text: TextSpec | None = None
    n_way: int = Field(ge=1, lt=2**63)
    n_shot: int = Field(ge=1, lt=2**63)
    evaluation: Evaluation
    fingerprint: str = ""
    digest: str = ""

    @property
    def entry(self) -> DatasetEntry:
        """The dataset as the registry describes it."""
        own = self.folder or self.table
        entry = own.entry(self.dataset) if own else DATASETS[self.dataset]
        return entry if self.text is None else self.text.applied(entry)

    def load(self, data_root: Path) -> tuple[Dataset, EpisodeStream]:
        """Return the dataset and its stream of test episodes.

        Raises:
            UserError: the data is not there, or cannot give episodes of the shape.
        """
        dataset = self.entry.load(data_root)
        shape = Shape(self.n_way, self.n_shot, self.evaluation.n_query)
        return dataset, dataset.stream("test", shape, EVALUATION_SEED)


@dataclass(frozen=True)
class Written:
    """A file of episodes that was written.

    Attributes:
        path: the file.
        episodes: its list.
        arrays: shapes of its arrays by name.
    """

    path: Path
    episodes: EpisodeList
    arrays: dict[str, tuple[int, ...]]


def list_of(cell: Cell) -> EpisodeList:
    """Return the test episodes of a cell, without their digest."""
    evaluation = cell.evaluation.model_copy(update={"test_at": ()})
    names = {name: getattr(cell, name) for name in ("dataset", "folder", "table", "text", "n_way", "n_shot")}
    return EpisodeList(**names, evaluation=evaluation)


def query_order(name: StreamName, index: Int64Array, n_queries: int) -> Int64Array:
    """Return [T, Q] the order of the queries in a file: the place in the episode of each query of the file."""
    keys = bits(key_of("order of queries", name), index)
    return np.argsort(bits(keys[:, None], np.arange(n_queries)), axis=1, kind="stable").astype(np.int64)


def batches(episodes: EpisodeList, stream: EpisodeStream) -> Iterator[tuple[Episodes, Int64Array]]:
    """Yield the episodes of the list in their order, each batch with the order of its queries."""
    for start in range(0, episodes.evaluation.test_episodes, AT_ONCE):
        index = np.arange(start, min(start + AT_ONCE, episodes.evaluation.test_episodes))
        batch = stream.batch(index)
        yield batch, query_order(stream.name, index, batch.query_y.shape[1])


def write_episodes(cell: Cell, out: Path | str, data_root: Path, arrays: bool | None = None) -> Written:
    """Write the test episodes of a cell to a file.

    Arrays of the file: ``support_y`` [E, S] (labels in [0, n_way), or targets), ``class_ids`` [E, n_way], the number of
    each label's class in the dataset; for classification ``support_ids`` [E, S, 3] and ``query_ids`` [E, Q, 3], the
    class, the quarter turns and the example within the class; with inputs ``support_x`` [E, S, *input_shape] and
    ``query_x`` [E, Q, *input_shape]; ``class_names`` where the classes have names; ``meta``, an ``EpisodeList`` as
    JSON. The labels of queries are not in the file, but their ids name their classes.

    Args:
        cell: whose test episodes; its algorithm does not matter.
        out: the file, which ends in ``.npz``.
        data_root: where the datasets lie.
        arrays: whether the inputs are in the file, or ids alone; by default of all but images.

    Raises:
        UserError: the data is not there, the file cannot be written, or would be too large.
    """
    file = absolute(out)
    if file.suffix != SUFFIX or file.is_dir():
        raise UserError(f"got {out}; give a file that ends in {SUFFIX}", "out")
    wanted = list_of(cell)
    dataset, stream = wanted.load(data_root)
    if dataset.kind not in ("classification", "regression"):
        raise UserError(f"{cell.dataset} is of the kind {dataset.kind}, whose episodes are no lists of examples")
    with_inputs = (len(dataset.input_shape) != 3 if arrays is None else arrays) or dataset.kind == "regression"
    n_episodes = wanted.evaluation.test_episodes
    values = n_episodes * stream.name.shape.examples * math.prod(dataset.input_shape)
    if with_inputs and values > MOST_VALUES:
        raise UserError(
            f"{n_episodes} episodes of {cell.dataset} {cell.shape} are {values:,} numbers, more than {MOST_VALUES:,}; "
            "leave `arrays=` out, which writes the numbers of classes and examples alone"
        )
    known = {"fingerprint": dataset.fingerprint, "digest": digest(stream, n_episodes)}
    described = wanted.model_copy(update=known)
    parts = [_arrays(batch, order, dataset, with_inputs) for batch, order in batches(wanted, stream)]
    content: Arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if names := tuple(getattr(dataset, "class_names", ())):
        content["class_names"] = np.array(names)
    content[META] = np.array(described.model_dump_json(exclude_none=True))
    make_writable(file.parent)
    temporary = file.parent / temporary_name()
    with disk_errors_explained(file):
        try:
            with temporary.open("wb") as opened:
                np.savez_compressed(opened, **content)  # type: ignore[arg-type]
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    return Written(file, described, {name: tuple(array.shape) for name, array in content.items() if name != META})


def _arrays(batch: Episodes, order: Int64Array, dataset: Dataset, with_inputs: bool) -> Arrays:
    arrays: Arrays = {"support_y": batch.support.y.numpy(), "class_ids": batch.class_ids}
    if dataset.kind == "classification":
        ids = _ids(batch)
        n_way, n_shot = batch.support.n_way, batch.support.y.shape[1] // batch.support.n_way
        support = ids[:, :, :n_shot].reshape(len(ids), n_way * n_shot, 3)
        queries = ids[:, :, n_shot:].reshape(len(ids), -1, 3)
        arrays |= {"support_ids": support, "query_ids": np.take_along_axis(queries, order[..., None], axis=1)}
    if with_inputs:
        query_x = batch.query_x.numpy()
        places = order.reshape(*order.shape, *[1] * (query_x.ndim - 2))
        arrays |= {"support_x": batch.support.x.numpy(), "query_x": np.take_along_axis(query_x, places, axis=1)}
    return arrays


def _ids(batch: Episodes) -> Int64Array:
    """Return [T, n_way, examples, 3]: the class, the quarter turns and the example within the class."""
    classes, turns, members = batch.identity[..., :1], batch.identity[..., 1:2], batch.identity[..., 2:]
    return np.stack([np.broadcast_to(classes, members.shape), np.broadcast_to(turns, members.shape), members], axis=-1)


def read_list(path: Path | str) -> EpisodeList:
    """Return the list that a file of episodes names; its arrays are not read.

    Raises:
        UserError: it is no such file.
    """
    file = Path(path)
    require_there(file, "python -m bench episodes")
    try:
        with reading(file), zipfile.ZipFile(file) as archive:
            if archive.getinfo(f"{META}.npy").file_size > LONGEST_META:
                raise BadData(f"{path}: its description is longer than {LONGEST_META:,} bytes; write it again")
        with np.load(file, allow_pickle=False) as arrays:
            content: Any = json.loads(str(arrays[META]))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RecursionError):
        raise BadData(f"{path} is no file of episodes; `python -m bench episodes` writes one") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise BadData(f"{path} was written by a newer version (schema {version}, this one reads {SCHEMA})")
    try:
        return EpisodeList.model_validate(content)
    except ValidationError as error:
        raise BadData(f"{path}: {first_problem(error, EpisodeList)}") from None
