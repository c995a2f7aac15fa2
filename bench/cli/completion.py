"""The words that a shell can complete: names of algorithms, datasets, grids and the like, also in lists with commas."""

from __future__ import annotations

from collections.abc import Iterable

from algorithms import ALGORITHMS
from algorithms.networks.entry import NETWORKS
from bench.spec.shipped_grids import grid_names
from bench.tracking.tracker import TRACKERS
from datasets import DATASETS


def algorithms(incomplete: str) -> list[str]:
    """Complete the last of some algorithms."""
    return _last_of(incomplete, ALGORITHMS.names())


def datasets(incomplete: str) -> list[str]:
    """Complete the last of some datasets."""
    return _last_of(incomplete, DATASETS.names())


def grids(incomplete: str) -> list[str]:
    """Complete the name of a grid."""
    return _last_of(incomplete, grid_names())


def trackers(incomplete: str) -> list[str]:
    """Complete the name of a tracker."""
    return [name for name in TRACKERS if name.startswith(incomplete)]


def checked(incomplete: str) -> list[str]:
    """Complete the name of an algorithm or a network."""
    return [*algorithms(incomplete), *_last_of(incomplete, NETWORKS.names())]


def anything(incomplete: str) -> list[str]:
    """Complete the name of an algorithm, a network, a dataset or a grid."""
    return [*checked(incomplete), *datasets(incomplete), *grids(incomplete)]


def _last_of(incomplete: str, names: Iterable[str]) -> list[str]:
    """Return what the last of some names, separated by commas, may become; those before it are not given again.

    >>> _last_of("maml,re", ["maml", "reptile"])
    ['maml,reptile']
    """
    before, comma, start = incomplete.rpartition(",")
    listed = before.split(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(start) and name not in listed]
