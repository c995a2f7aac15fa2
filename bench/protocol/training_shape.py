"""The shape of training episodes in words, for errors: where it comes from if not from the grid.

ProtoNet's paper trains on 60 ways whatever is tested: on a dataset of 20 classes the error must say where the 60 comes
from, and how to set it.
"""

from __future__ import annotations

from dataclasses import replace

from algorithms import ALGORITHMS, AlgorithmEntry, HyperParameters
from algorithms.testing.effects import other_values
from bench.spec.cell import Cell
from datasets import Dataset, UserError
from datasets.core.episodes import Shape

PARTS = ("n_way", "n_shot", "n_query")


def explained(error: UserError, cell: Cell, dataset: Dataset, shape: Shape, grid_shape: Shape) -> UserError:
    """The error that the dataset raised for training episodes of ``shape``, with the hyper-parameters to blame.

    Where the grid itself asks for what the dataset cannot give, it is the error of that.

    Args:
        error: what ``dataset.stream`` raised.
        cell: whose training it is.
        dataset: what was asked for the episodes.
        shape: of the training episodes, as the algorithm has it.
        grid_shape: the shape that the grid asks for.
    """
    changed = {part: getattr(shape, part) for part in PARTS if getattr(shape, part) != getattr(grid_shape, part)}
    if not changed:
        return error
    if (problem := _problem(dataset, grid_shape)) is not None:
        return problem
    alone = {part: value for part, value in changed.items() if _problem(dataset, replace(grid_shape, **{part: value}))}
    entry = ALGORITHMS[cell.algorithm]
    hparams = entry.hparams.model_validate(cell.hparams)
    differs, causes, mended = [], [], []
    for part, value in (alone or changed).items():
        differs.append(f"{part}={value} instead of the grid's {getattr(grid_shape, part)}")
        name = _cause(entry, hparams, grid_shape, part)
        if name is not None:
            causes.append(f"its hyper-parameter {name}={getattr(hparams, name)!r}{_origin(entry, cell, name)}")
            mended.append(f"{name}: {getattr(grid_shape, part)}")
    message = f"{cell.algorithm} trains on {cell.dataset} with {' and '.join(differs)}"
    if not causes:
        return UserError(f"{message}, as its `train_shape` says: {error}")
    settings = f"`settings: [{{algorithms: [{cell.algorithm}], set: {{{', '.join(mended)}}}}}]`"
    return UserError(f"{message}, because of {' and '.join(causes)}: {error}, with {settings} in the grid")


def _problem(dataset: Dataset, shape: Shape) -> UserError | None:
    """Return why the training split cannot give episodes of that shape; None where it can."""
    try:
        dataset.stream("train", shape, 0)
    except UserError as error:
        return error
    return None


def _cause(entry: AlgorithmEntry, hparams: HyperParameters, grid_shape: Shape, part: str) -> str | None:
    """The first hyper-parameter on which that part of the training shape depends; None where there is none."""
    size = getattr(entry.factory.train_shape(hparams, grid_shape), part)
    for name in type(hparams).model_fields:
        changed = (hparams.model_copy(update={name: value}) for value in other_values(hparams, name))
        if any(getattr(entry.factory.train_shape(candidate, grid_shape), part) != size for candidate in changed):
            return name
    return None


def _origin(entry: AlgorithmEntry, cell: Cell, name: str) -> str:
    """Return where the paper says so, if the value is that of a preset."""
    for preset in reversed(entry.presets):
        if preset.applies(cell.entry.family, cell.n_way, cell.n_shot) and name in preset.values:
            same = preset.values[name] == cell.hparams[name]
            return f" (the preset for {preset.family or 'every dataset'}, {preset.source})" if same else ""
    return ""
