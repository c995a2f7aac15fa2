"""Provenance of an experiment: commands, grids, environments and digests, with which it can be run again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pandas as pd
import yaml

from bench.analysis.experiments import Experiments
from bench.spec.grid import GRIDS, Grid, load_grid, parse_grid
from bench.spec.variations import narrowed
from bench.store.records import read_environment
from datasets import UserError


def grid_text(grid: dict[str, Any]) -> str:
    """A stored grid as the YAML that ``bench run`` takes, without what is as by default."""
    return str(yaml.safe_dump(_without_empty(grid), sort_keys=False, allow_unicode=True, width=110))


def commands(experiments: Experiments) -> list[str]:
    """The lines that run all that the experiments were asked for again; a grid that does not come with us by its file,
    each one's name being that of ``named_grids``."""
    lines = []
    for experiment, name, grid in named_grids(experiments):
        lines.append(f"python -m bench run {grid_argument(grid, name)} --out results/{experiment}-again")
    return lines


def grid_argument(grid: dict[str, Any], name: str, takes: Collection[str] | None = None) -> str:
    """Return how a command line names a stored grid: as one that comes with us, with options, or as a file.

    Args:
        grid: the grid.
        name: of its file, without the ending, where it does not come with us.
        takes: the options of ``PARTS`` that the command has; all of them by default.
    """
    options = _part_of_ours(grid, PARTS if takes is None else takes)
    return f"{name}.yaml" if options is None else " ".join([grid["name"], *options])


def named_grids(experiments: Experiments) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the grids asked for as (experiment, name, grid); names that grids share get a number behind."""
    named: list[tuple[str, str, dict[str, Any]]] = []
    for experiment, grids in zip(experiments.names, experiments.grids, strict=True):
        counts: Counter[str] = Counter()
        for grid in grids:
            counts[grid["name"]] += 1
            number = counts[grid["name"]]
            named.append((experiment, grid["name"] if number == 1 else f"{grid['name']}-{number}", grid))
    return named


def environments(experiments: Experiments) -> list[tuple[str, int]]:
    """Each environment in which cells were run as JSON, and how many cells; the most frequent first."""
    counts: dict[str, int] = {}
    for folder in experiments.folders.values():
        shared = {
            name: value for name, value in read_environment(folder).items() if name != "engine"
        }  # each cell's own
        text = json.dumps(shared, indent=1, sort_keys=True)
        counts[text] = counts.get(text, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def digests(experiments: Experiments) -> pd.DataFrame:
    """A row per dataset and shape: the dataset's fingerprint and the digests of its meta-validation and meta-test
    episodes, which all cells share."""
    finished = experiments.rows[experiments.rows["status"] == "ok"]
    names = [name for name in ("digest.dataset", "digest.val", "digest.test") if name in finished]
    return finished.groupby(["dataset", "shape"], sort=False)[names].first().reset_index()


def _part_of_ours(stored: dict[str, Any], takes: Collection[str]) -> list[str] | None:
    """Return the options by which a grid that comes with the benchmark is narrowed to the stored one, none where it is
    the whole one; None where these options do not give it."""
    if not (GRIDS / f"{stored['name']}.yaml").is_file():
        return None
    part = ours = load_grid(stored["name"])
    chosen: dict[str, list[Any]] = {}
    try:
        parsed = parse_grid(stored, "experiment.json")
        for option, values_of in PARTS.items():
            if (values := values_of(parsed)) != values_of(part):
                chosen[option] = values
                part = narrowed(ours, **chosen)
    except UserError:  # it names what is not registered here, or what the grid that comes with us has not
        return None
    if {cell.id for cell in part.cells()} != {cell.id for cell in parsed.cells()} or not set(chosen) <= set(takes):
        return None
    return [word for option, values in chosen.items() for word in (f"--{option}", ",".join(map(str, values)))]


PARTS: Mapping[str, Callable[[Grid], list[Any]]] = {
    "algorithms": lambda grid: list(grid.algorithms),
    "datasets": lambda grid: list(dict.fromkeys(use.name for use in grid.datasets)),
    "ways": lambda grid: sorted({n for use in grid.datasets for n in use.all_ways if n > 1}),
    "shots": lambda grid: sorted({n for use in grid.datasets for n in use.shots}),
    "seeds": lambda grid: list(grid.seeds),
}
"""What ``bench run`` takes of a grid by options, with the values that a grid has."""


def _without_empty(value: Any) -> Any:
    """Return the document without empty values; those of hyper-parameters are kept, because None can be a value."""
    if isinstance(value, dict):
        kept = {name: part if name == "set" else _without_empty(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, "", [], {})}
    return [_without_empty(part) for part in value] if isinstance(value, list | tuple) else value
