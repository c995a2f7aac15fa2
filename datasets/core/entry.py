"""The registry of datasets, and ``@register``, which stands above the function that makes one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datasets.core.errors import UserError
from datasets.core.registry import ImportedWhenRead, Registry

if TYPE_CHECKING:
    from datasets.core.episodes import Dataset, Kind


@dataclass(frozen=True)
class DatasetEntry(ImportedWhenRead):
    """One dataset of the registry.

    Attributes:
        name: what grids call it.
        kind: classification, regression or control.
        family: whose published settings algorithms use on it: ``sinusoid``, ``omniglot``, ``mini-imagenet``,
            ``table``, ``text``, ``control``.
        summary: one line for ``bench list``.
        paper: who made it and where it is described.
        load: makes the dataset from the data root; raises DataNotFound where its files are missing.
        input_shape: of one input: (n,) for vectors, (channels, height, width) for images; None where that is known only
            once the data is loaded.
        traits: what may be relied on beyond the kind: ``sinusoids`` where every task is y = A sin(x - phase),
            ``alphabets`` where the classes are characters whose names start with that of their alphabet and a slash,
            ``scripts`` where they are languages whose names start with that of their script, ``drawings`` where ink is
            1 and paper 0, the inverse of image files with black ink on white paper, ``text`` where the examples are
            texts.
    """

    name: str
    kind: Kind
    family: str
    summary: str
    paper: str
    load: Callable[[Path], Dataset]
    input_shape: tuple[int, ...] | None = None
    traits: tuple[str, ...] = ()


TO = "-to-"
WITHIN = "-within-"
GROUPS = {"alphabet": "alphabets", "script": "scripts"}
"""Those that all classes of an episode can be drawn from, with the trait of datasets that have them."""


class DatasetRegistry(Registry[DatasetEntry]):
    """The registered datasets, and two that are derived from registered ones by their name.

    ``A-to-B`` trains and validates on A and tests on B; ``A-within-alphabet`` and ``A-within-script`` draw all classes
    of an episode from one alphabet or script. None is listed.

    >>> DATASETS["omniglot-to-glyphs"].summary
    'trained and validated on omniglot, tested on glyphs'
    >>> DATASETS["omniglot-to-cifar-fs"]  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    datasets.core.errors.UserError: omniglot has inputs of shape (1, 28, 28) and cifar-fs of (3, 32, 32); ...
    """

    def __getitem__(self, name: str) -> DatasetEntry:
        """Return the entry called ``name``.

        Raises:
            UserError: there is none, or the two parts of ``A-to-B`` have other kinds or shapes.
        """
        parts = self._parts(name)
        if parts is None:
            return super().__getitem__(name)
        if len(parts) == 1:
            return within_one(name.rpartition(WITHIN)[2], self[parts[0]])
        return across_domains(self[parts[0]], self[parts[1]])

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and self._parts(name) is not None)

    def origins(self, name: str) -> tuple[str, ...]:
        """Return the name and, for a derived dataset, the names of those whose classes train and validate it.

        >>> DATASETS.origins("omniglot-within-alphabet-to-glyphs")
        ('omniglot-within-alphabet-to-glyphs', 'omniglot-within-alphabet', 'omniglot')
        """
        parts = self._parts(name)
        return (name, *(self.origins(parts[0]) if parts else ()))

    def _parts(self, name: str) -> tuple[str] | tuple[str, str] | None:
        """The names that a derived name is made of; None where it is registered or unknown."""
        if super().__contains__(name):
            return None
        ends = (match.start() for match in re.finditer(TO, name))
        for trained, tested in ((name[:end], name[end + len(TO) :]) for end in ends):
            if trained in self and tested in self:
                return trained, tested
        stem, _, what = name.rpartition(WITHIN)
        return (stem,) if what in GROUPS and super().__contains__(stem) else None


def across_domains(trained: DatasetEntry, tested: DatasetEntry) -> DatasetEntry:
    """Return the entry of a dataset that trains and validates on one dataset and tests on another.

    Raises:
        UserError: their kinds or shapes of inputs differ.
    """
    if "control" in (trained.kind, tested.kind):
        raise UserError(f"{trained.name} and {tested.name} cannot be combined: tasks of control are of one environment")
    if trained.kind != tested.kind:
        raise UserError(
            f"{trained.name} is {trained.kind} and {tested.name} {tested.kind}; test on one of the same kind"
        )
    if None not in (trained.input_shape, tested.input_shape) and trained.input_shape != tested.input_shape:
        raise UserError(
            f"{trained.name} has inputs of shape {trained.input_shape} and {tested.name} of {tested.input_shape}; "
            "test on one of the same kind and shape"
        )
    if ("text" in trained.traits) != ("text" in tested.traits):
        text, other = (trained, tested) if "text" in trained.traits else (tested, trained)
        raise UserError(f"{text.name} holds texts and {other.name} none; test on one of the same kind")
    name = f"{trained.name}{TO}{tested.name}"

    def load(root: Path) -> Dataset:
        from datasets.core.derived import AcrossDomains

        return AcrossDomains(name, trained.load(root), tested.load(root))

    summary = f"trained and validated on {trained.name}, tested on {tested.name}"
    traits = tuple(trait for trait in trained.traits if trait in tested.traits)
    return replace(trained, name=name, summary=summary, load=load, traits=traits)


def within_one(what: str, entry: DatasetEntry) -> DatasetEntry:
    """Return the entry of the dataset with all classes of an episode from one alphabet (Lake et al. 2015) or script.

    Raises:
        UserError: its classes have none.
    """
    if GROUPS[what] not in entry.traits:
        raise UserError(f"the classes of {entry.name} have no {what}s; leave out `within: {what}`")
    name = f"{entry.name}{WITHIN}{what}"

    def load(root: Path) -> Dataset:
        from datasets.core.derived import restricted

        return restricted(what, entry.load(root), name)

    return replace(entry, name=name, summary=f"{entry.name}, each episode within one {what}", load=load)


DATASETS = DatasetRegistry("dataset", "bench.datasets", DatasetEntry, "datasets", "load")


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
