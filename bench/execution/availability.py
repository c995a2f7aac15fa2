"""The check that the data and libraries that cells need are installed here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from algorithms import ALGORITHMS
from bench.protocol.setup import test_shape, training_stream
from bench.spec.cell import Cell
from bench.spec.tokens import TextSpec
from datasets import DataNotFound, UserError
from datasets.core.episodes import SPLITS, Dataset, Split


def reasons_to_skip(cells: Sequence[Cell], root: Path, splits: Sequence[Split] = SPLITS) -> dict[str, str]:
    """Return why cells cannot run here, by cell id: what is missing, and how to get it.

    Raises:
        UserError: as ``check_data``.
    """
    data = check_data(cells, root, splits)
    libraries = {name: ALGORITHMS[name].missing() for name in {cell.algorithm for cell in cells}}
    reasons: dict[str, str] = {}
    for cell in cells:
        reason = str(data[cell.dataset]) if cell.dataset in data else libraries[cell.algorithm]
        if reason is not None:
            reasons[cell.id] = reason
    return reasons


def check_data(cells: Sequence[Cell], root: Path, splits: Sequence[Split] = SPLITS) -> dict[str, DataNotFound]:
    """The datasets whose files are missing; raises UserError where a shape cannot be sampled from one that is
    there, or the network does not fit its inputs."""
    missing: dict[str, DataNotFound] = {}
    loaded: dict[tuple[str, TextSpec | None], Dataset] = {}
    for (name, text), entry in {(cell.dataset, cell.text): cell.entry for cell in cells}.items():
        try:
            loaded[name, text] = entry.load(root)
        except DataNotFound as error:
            missing[name] = error
    for cell in {(cell.dataset, cell.text, str(cell.network), cell.engine): cell for cell in cells}.values():
        if cell.dataset not in missing:
            _check_inputs(cell, loaded[cell.dataset, cell.text])
    for cell in {(cell.dataset, cell.n_way, cell.n_shot, cell.algorithm): cell for cell in cells}.values():
        if cell.dataset not in missing:
            dataset = loaded[cell.dataset, cell.text]
            for split in splits:
                if split == "train":
                    training_stream(cell, dataset, 0)
                else:
                    dataset.stream(split, test_shape(cell), 0)
    return missing


def _check_inputs(cell: Cell, dataset: Dataset) -> None:
    declared = cell.entry.input_shape
    if declared is not None and tuple(declared) != tuple(dataset.input_shape):
        raise UserError(
            f"dataset '{cell.dataset}' gives inputs of shape {tuple(dataset.input_shape)}, but its entry declares "
            f"{tuple(declared)}; make them agree"
        )
    cell.check_inputs(tuple(dataset.input_shape))
