"""Parts of a grid, and grids with other values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from algorithms import ALGORITHMS
from bench.spec.dataset_use import DatasetUse
from bench.spec.grid import Grid, merged, parse_grid
from datasets import UserError
from datasets.core.registry import MOST_LISTED, among, suggest

SECTIONS = ("train", "evaluation")  # of a grid, whose fields are named with them in front
RIVALS = {"episodes": "seconds", "seconds": "episodes"}  # of which a training budget has one


def narrowed(
    grid: Grid,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
) -> Grid:
    """Return the part of a grid that has these algorithms, datasets, shots, seeds and ways.

    Algorithms and seeds that the grid lacks are added to it; datasets, shots and ways must be in it. Datasets without
    classes have no ways, and are not kept where ways are chosen.

    Raises:
        UserError: a name is unknown, or nothing is left.
    """
    content = grid.model_dump()
    if algorithms:
        content["algorithms"] = tuple(algorithms)
    if seeds:
        content["seeds"] = tuple(seeds)
    uses = list(grid.datasets)
    if datasets:
        for name in datasets:
            if name not in [use.name for use in uses]:
                hint = among(name, [use.name for use in uses], "it has")
                raise UserError(f"grid '{grid.name}' has no dataset '{name}'{hint}", "datasets")
        uses = [use for use in uses if use.name in datasets]
    for field, wanted in (("shots", shots), ("ways", ways)):
        if wanted:
            uses = _with_only(grid.name, uses, field, wanted)
    content["datasets"] = tuple(use.model_dump() for use in uses)
    return parse_grid(content, f"grid '{grid.name}'")


def _with_only(grid: str, uses: Sequence[DatasetUse], field: str, wanted: Sequence[int]) -> list[DatasetUse]:
    """Keep the uses that have some of the wanted shots or ways, with these alone."""
    offered = [(use, use.shots if field == "shots" else tuple(n for n in use.all_ways if n > 1)) for use in uses]
    known = {n for _, values in offered for n in values}
    if unknown := [n for n in wanted if n not in known]:
        if not known:
            raise UserError(f"grid '{grid}' has no datasets with ways: regression and control have none", field)
        has = ", ".join(map(str, sorted(known)))
        raise UserError(f"grid '{grid}' has no cells with {unknown[0]}; it has: {has}", field)
    kept = [(use, tuple(n for n in values if n in wanted)) for use, values in offered]
    return [use.model_copy(update={field: left}) for use, left in kept if left]


def changed(grid: Grid, values: Mapping[str, Any]) -> Grid:
    """Return the grid with other values, in all of its cells.

    Args:
        grid: the grid.
        values: by name: ``inner_lr`` for every algorithm that has it, ``maml.test_steps`` for one, ``train.episodes``
            or ``evaluation.test_episodes``. A mapping gives the values below a name:
            ``{"maml": {"test_steps": 5}}``.

    Raises:
        UserError: a name is unknown, or a value is not allowed.

    >>> from bench.spec.grid import load_grid
    >>> grid = changed(load_grid("smoke"), {"inner_lr": 0.05, "maml.test_steps": 5, "train.episodes": 400})
    >>> cell = next(cell for cell in grid.cells() if cell.algorithm == "maml")
    >>> cell.hparams["inner_lr"], cell.hparams["test_steps"], cell.train.episodes
    (0.05, 5, 400)
    """
    if not values:
        return grid
    content = grid.model_dump()
    settings, sections = list(content["settings"]), {name: dict[str, Any]() for name in SECTIONS}
    for name, value in _flat(values):
        group, _, field = name.rpartition(".")
        if group in SECTIONS:
            sections[group][field] = value
        else:
            _check_hyper_parameter(grid, group, field)
            settings.append({"algorithms": (group,) if group else (), "set": {field: value}})
    for section, changes in sections.items():
        try:
            content[section] = merged(getattr(grid, section), changes, section).model_dump()
        except UserError as error:
            raise UserError(error.message, "hparams") from None
        outdated = {RIVALS.get(name) for name in changes}
        for use in content["datasets"]:
            if use[section]:
                use[section] = {name: old for name, old in use[section].items() if name not in outdated} | changes
    where = f"grid '{grid.name}'"
    try:
        return parse_grid(content | {"settings": tuple(settings)}, where)
    except UserError as error:
        raise UserError(error.message.removeprefix(f"{where}: ").removeprefix("settings: "), "hparams") from None


def _flat(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value


def _check_hyper_parameter(grid: Grid, algorithm: str, field: str) -> None:
    """Raise UserError where no algorithm of the grid, or not the one that is named, has such a hyper-parameter."""
    if algorithm and algorithm not in grid.algorithms:
        known = [*SECTIONS, *grid.algorithms]
        hint = among(algorithm, known, "before the dot stands one of")
        raise UserError(f"grid '{grid.name}' has no algorithm '{algorithm}'{hint}", "hparams")
    some = [algorithm] if algorithm else grid.algorithms
    known = list(dict.fromkeys(name for method in some for name in ALGORITHMS[method].hparams.model_fields))
    if field not in known:
        whose = f"{algorithm} has no" if algorithm else f"no algorithm of grid '{grid.name}' has a"
        budgets = (
            []
            if algorithm
            else [f"{name}.{part}" for name in SECTIONS for part in type(getattr(grid, name)).model_fields]
        )
        lists = (
            f"`python -m bench list {algorithm}` lists all"
            if algorithm
            else "`python -m bench list NAME` lists those of one"
        )
        near = suggest(field, known + budgets) or ";"
        hint = f"{near} {lists}" if len(known) > MOST_LISTED else f"{near} allowed: {', '.join(known)}"
        raise UserError(f"{whose} hyper-parameter '{field}'{hint}", "hparams")
