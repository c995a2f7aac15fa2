"""Provenance of an experiment: commands, grids, environments and digests, with which it can be run again."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pandas as pd
import yaml

from bench.analysis.experiments import Experiments
from bench.spec.grid import GRIDS, load_grid, parse_grid
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
        known = name if name == grid["name"] and _is_ours(grid) else f"{name}.yaml"
        lines.append(f"python -m bench run {known} --out results/{experiment}-again")
    return lines


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


def _is_ours(grid: dict[str, Any]) -> bool:
    place = GRIDS / f"{grid['name']}.yaml"
    if not place.is_file():
        return False
    try:
        parsed = parse_grid(grid, "experiment.json")
    except UserError:  # it names what is not registered here
        return False
    return {cell.id for cell in load_grid(grid["name"]).cells()} == {cell.id for cell in parsed.cells()}


def _without_empty(value: Any) -> Any:
    """Return the document without empty values; those of hyper-parameters are kept, because None can be a value."""
    if isinstance(value, dict):
        kept = {name: part if name == "set" else _without_empty(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, "", [], {})}
    return [_without_empty(part) for part in value] if isinstance(value, list | tuple) else value
