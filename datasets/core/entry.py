"""The registry of datasets, and ``@register``, which stands above the function that makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datasets.core.registry import ImportedWhenRead, Registry

if TYPE_CHECKING:
    from datasets.core.episodes import Dataset, Kind


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
        input_shape: of one input: (n,) for vectors, (channels, height, width) for images; None where that is known only
            once the data is loaded.
        traits: what an algorithm may rely on beyond the kind: ``sinusoids`` where every task is y = A sin(x - phase).
    """

    name: str
    kind: Kind
    family: str
    summary: str
    paper: str
    load: Callable[[Path], Dataset]
    input_shape: tuple[int, ...] | None = None
    traits: tuple[str, ...] = ()


DATASETS: Registry[DatasetEntry] = Registry("dataset", "bench.datasets", DatasetEntry, "datasets", "load")


L = TypeVar("L", bound="Callable[[Path], Dataset]")


def register(
    name: str,
    *,
    kind: Kind,
    family: str,
    summary: str,
    paper: str,
    input_shape: tuple[int, ...] | None = None,
    traits: tuple[str, ...] = (),
) -> Callable[[L], L]:
    """Declare the function below as ``load`` of a dataset; the arguments are the other fields of a ``DatasetEntry``.

    In this package they are read without importing the module, so each is a literal or the name of something in the
    module.
    """

    def declare(load: L) -> L:
        DATASETS.register(DatasetEntry(name, kind, family, summary, paper, load, input_shape, traits))
        return load

    return declare
