"""Which classes and how many images mini-ImageNet has: the split of Ravi and Larochelle 2017 (ImageNet's WordNet ids).

Source: the first columns of train.csv, val.csv and test.csv in twitter/meta-learning-lstm, data/miniImagenet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.core.episodes import SPLITS, Split
from datasets.storage.paths import BadData


@dataclass(frozen=True)
class Expected:
    """What a dataset must hold.

    Attributes:
        classes: the names of the classes of each split.
        per_class: images of each class.
        size: height and width.
    """

    classes: Mapping[Split, frozenset[str]]
    per_class: int
    size: int

    def check(self, split: Split, counts: Mapping[str, int], where: str) -> None:
        """Raises BadData where classes are missing, foreign or of another split, or have another number of images."""
        expected = self.classes[split]
        if missing := sorted(expected - set(counts)):
            raise BadData(f"{where} lacks {_some(missing)} of the {len(expected)} {split} classes; get it anew")
        if foreign := sorted(set(counts) - expected):
            homes = [other for other in SPLITS if foreign[0] in self.classes[other]]
            home = f"a {homes[0]} class" if homes else "not of this dataset"
            raise BadData(
                f"{where} has {_some(foreign)} among its {split} classes ({foreign[0]} is {home}); get it anew"
            )
        for name, count in counts.items():
            if count != self.per_class:
                raise BadData(f"{where} has {count} images of {name}, but each class has {self.per_class}; get it anew")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


_TRAIN = """
n02074367 n03047690 n03854065 n02089867 n02105505 n01704323 n04604644 n03676483 n01558993 n07697537 n04509417
n02101006 n02165456 n13133613 n02747177 n02966193 n03924679 n04275548 n02113712 n03838899 n02091831 n03220513
n07747607 n03998194 n02108089 n09246464 n04251144 n02111277 n04435653 n03207743 n04389033 n03337140 n03908618
n02606052 n01770081 n01910747 n03062245 n02108551 n03017168 n04258138 n03888605 n04596742 n07584110 n02687172
n03476684 n04243546 n02795169 n02457408 n04515003 n06794110 n01532829 n01843383 n13054560 n04067472 n03347037
n04612504 n03400231 n01749939 n02823428 n04296562 n03527444 n04443257 n02108915 n02120079
"""
_VAL = """
n02138441 n02981792 n02174001 n03535780 n03770439 n03773504 n02950826 n03980874 n02114548 n03584254 n02091244
n03417042 n02971356 n01855672 n09256479 n03075370
"""
_TEST = """
n02110341 n01981276 n07613480 n02129165 n04418357 n02443484 n03127925 n01930112 n03272010 n03146219 n04146614
n03775546 n04522168 n02099601 n02871525 n02110063 n02219486 n02116738 n04149813 n03544143
"""

MINI_IMAGENET = Expected(
    {"train": frozenset(_TRAIN.split()), "val": frozenset(_VAL.split()), "test": frozenset(_TEST.split())},
    per_class=600,
    size=84,
)
