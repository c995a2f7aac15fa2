"""The classes and numbers of images that a published dataset must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData


@dataclass(frozen=True)
class Expected:
    """The contents of a published dataset.

    Attributes:
        classes: the names of the classes of each split.
        per_class: images of each class.
        size: height and width of an image in pixels.
    """

    classes: Mapping[Split, frozenset[str]]
    per_class: int
    size: int

    @property
    def all_classes(self) -> frozenset[str]:
        """The classes of the three splits together."""
        return frozenset().union(*self.classes.values())

    def check(self, split: Split, counts: Mapping[str, int], where: str) -> None:
        """Raises BadData where classes are missing, foreign or of another split, or have another number of images."""
        expected = self.classes[split]
        if missing := sorted(expected - set(counts)):
            raise BadData(f"{where} lacks {_some(missing)} of the {len(expected)} {split} classes; get a new copy")
        if foreign := sorted(set(counts) - expected):
            homes = [other for other in SPLITS if foreign[0] in self.classes[other]]
            home = f"a {homes[0]} class" if homes else "not of this dataset"
            raise BadData(
                f"{where} has {_some(foreign)} among its {split} classes ({foreign[0]} is {home}); get a new copy"
            )
        for name, count in counts.items():
            if count != self.per_class:
                raise BadData(
                    f"{where} has {count} images of {name}, but each class has {self.per_class}; get a new copy"
                )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
