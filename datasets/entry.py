"""The registry of datasets, and ``@register``, which stands above the function that makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datasets.registry import ImportedWhenRead, Registry

if TYPE_CHECKING:
    from datasets.episodes import Dataset, Kind


@dataclass(frozen=True)
class DatasetEntry(ImportedWhenRead):
    """One dataset of the registry.

    Attributes:
        name: what grids call it.
        kind: classification or regression.
        family: whose published settings algorithms use on it: ``sinusoid``, ``omniglot`` or ``mini-imagenet``.
        summary: one line for ``bench list``.
        paper: who made it and where it is described.
        load: makes the dataset from the data root; raises DataNotFound where its files are missing.
    """

    name: str
    kind: Kind
    family: str
    summary: str
    paper: str
    load: Callable[[Path], Dataset]


DATASETS: Registry[DatasetEntry] = Registry("dataset", "bench.datasets", DatasetEntry, "datasets", "load")


L = TypeVar("L", bound="Callable[[Path], Dataset]")


def register(name: str, *, kind: Kind, family: str, summary: str, paper: str) -> Callable[[L], L]:
    """Declare the function below as ``load`` of a dataset; the arguments are the other fields of a ``DatasetEntry``.

    In this package they are read without importing the module, so each is a literal or the name of something in the
    module.
    """

    def declare(load: L) -> L:
        DATASETS.register(DatasetEntry(name, kind, family, summary, paper, load))
        return load

    return declare
