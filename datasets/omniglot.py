"""Omniglot (Lake, Salakhutdinov and Tenenbaum 2015, "Human-level concept learning through probabilistic program
induction", Science 350(6266)): handwritten characters, 20 drawings each, 105x105 bilevel, reduced to 28x28.

Each of the official parts is read from its zip, from the folder that the zip unpacks to, or from torchvision's folder.
Drawings stay upright as in the files, ink is 255 and paper 0. Characters are in the order of their names, drawings in
the order of their files (which is that of the drawers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.core.entry import register
from datasets.core.episodes import SPLITS, Dataset
from datasets.core.errors import BadData, DataNotFound
from datasets.splits.omniglot import (
    SMALL_ALPHABETS,
    Splits,
    split_as_vinyals,
    split_at_random,
    split_by_alphabet,
    split_officially,
)
from datasets.storage import cache, decode
from datasets.storage.reading import reading
from datasets.storage.source import ClassImages, Progress, Source, SplitImages, evidence_of
from datasets.storage.tree import Tree, open_tree

SIZE = 28
DRAWN_AT = 105
DRAWINGS = 20
VERSION = 1
"""Raised when the same files would give other pixels, names or splits."""


@dataclass(frozen=True)
class OfficialArchive:
    """One of the official archives: its name without ``.zip``, and how many characters it holds."""

    name: str
    characters: int


@dataclass(frozen=True)
class Edition:
    """A dataset made of Omniglot's parts.

    Attributes:
        name: the dataset's.
        parts: the archives that it needs.
        split: the splits from the names of the characters of each part.
    """

    name: str
    parts: tuple[OfficialArchive, ...]
    split: Callable[[Sequence[Sequence[str]]], Splits]

    @property
    def recipe(self) -> cache.Recipe:
        """Return what the cache must know; training characters are turned (Santoro et al. 2016), others are not."""
        return cache.Recipe(self.name, VERSION, rotate_train=True, duplicates_allowed=True)


SMALL = Edition(
    "omniglot-small",
    (OfficialArchive("images_background_small1", 136), OfficialArchive("images_background_small2", 156)),
    lambda parts: split_by_alphabet(sorted({name for part in parts for name in part}), SMALL_ALPHABETS),
)
FULL = Edition(
    "omniglot",
    (OfficialArchive("images_background", 964), OfficialArchive("images_evaluation", 659)),
    lambda parts: split_at_random([name for part in parts for name in part]),
)
OFFICIAL = Edition("omniglot-official", FULL.parts, lambda parts: split_officially(parts[0], parts[1]))
VINYALS = Edition("omniglot-vinyals", FULL.parts, lambda parts: split_as_vinyals(parts[0], parts[1]))
EDITIONS = (FULL, OFFICIAL, VINYALS, SMALL)


@register(
    "omniglot",
    kind="classification",
    family="omniglot",
    summary="1,623 handwritten characters of 50 alphabets, MAML's random split of characters (1100/100/423)",
    paper="Lake et al. 2015, Science 350(6266)",
    input_shape=(1, 28, 28),
    traits=("alphabets", "drawings"),
)
def load_full(root: Path) -> Dataset:
    """``omniglot``: all 1,623 characters, split at random into 1100, 100 and 423."""
    return load_edition(FULL, root)


@register(
    "omniglot-small",
    kind="classification",
    family="omniglot",
    summary="242 characters of 8 alphabets: Omniglot's official small background sets, split by alphabet",
    paper="Lake et al. 2015, Science 350(6266)",
    input_shape=(1, 28, 28),
    traits=("alphabets", "drawings"),
)
def load_small(root: Path) -> Dataset:
    """``omniglot-small``: the 242 characters of the two official small background sets, split by alphabet."""
    return load_edition(SMALL, root)


@register(
    "omniglot-official",
    kind="classification",
    family="omniglot",
    summary="the same characters in the official background and evaluation sets, "
    "five background alphabets for validation",
    paper="Lake et al. 2015, Science 350(6266)",
    input_shape=(1, 28, 28),
    traits=("alphabets", "drawings"),
)
def load_official(root: Path) -> Dataset:
    """``omniglot-official``: all 1,623 characters in the background and evaluation sets."""
    return load_edition(OFFICIAL, root)


@register(
    "omniglot-vinyals",
    kind="classification",
    family="omniglot",
    summary="the same characters, the split of Vinyals et al. 2016 and ProtoNet (1028/172/423)",
    paper="Lake et al. 2015, Science 350(6266); Vinyals et al. 2016, arXiv 1606.04080",
    input_shape=(1, 28, 28),
    traits=("alphabets", "drawings"),
)
def load_vinyals(root: Path) -> Dataset:
    """Return ``omniglot-vinyals``: all 1,623 characters, split as Vinyals et al. did."""
    return load_edition(VINYALS, root)


@reading()
def load_edition(edition: Edition, root: Path) -> Dataset:
    """The edition from its cache, built from the parts under ``root`` if need be; DataNotFound where they are not."""
    dataset = cache.load(edition.recipe, root, find_source(edition, root))
    if dataset is None:
        absent = missing(edition, root)
        raise DataNotFound(edition.name, absent[0], f"run: python -m bench data fetch {edition.name}")
    return dataset


def missing(edition: Edition, root: Path) -> list[Path]:
    """The zips of the parts that are not there, where ``fetch`` would put them."""
    return [root / "omniglot" / f"{part.name}.zip" for part in edition.parts if find_archive(part, root) is None]


def prepare(edition: Edition, path: Path, root: Path, progress: Progress | None = None) -> Dataset:
    """Build the edition's cache from its parts at ``path`` (a folder that holds their zips or folders)."""
    source = find_source(edition, path)
    if source is None:
        names = ", ".join(file.name for file in missing(edition, path))
        raise BadData(f"{path} lacks {names} (or the folders of those names); give the folder that holds them")
    return cache.build(edition.recipe, root, source, prepared=True, progress=progress)


def find_archive(part: OfficialArchive, root: Path) -> Path | None:
    """The part's zip or folder under the data root: in ``omniglot/``, ``omniglot-py/`` (torchvision's) or itself."""
    for folder in (root / "omniglot", root / "omniglot-py", root):
        for path in (folder / f"{part.name}.zip", folder / part.name):
            if path.exists():
                return path
    return None


def find_source(edition: Edition, root: Path) -> Source | None:
    """The edition's parts under the data root as a source, or None where one is missing."""
    paths = [path for part in edition.parts if (path := find_archive(part, root)) is not None]
    return source_at(edition, paths) if len(paths) == len(edition.parts) else None


def source_at(edition: Edition, paths: Sequence[Path]) -> Source:
    """The edition's parts at ``paths``, a zip or a folder each."""

    def read() -> Iterator[SplitImages]:
        with ExitStack() as stack:
            trees = [stack.enter_context(open_tree(path)) for path in paths]
            parts = [_characters(tree, part) for tree, part in zip(trees, edition.parts, strict=True)]
            where = {
                name: (tree, files) for tree, part in zip(trees, parts, strict=True) for name, files in part.items()
            }
            splits = edition.split([list(part) for part in parts])
            for split in SPLITS:
                counts = dict.fromkeys(splits[split], DRAWINGS)
                yield SplitImages(split, counts, (_drawings(name, *where[name]) for name in counts))

    return Source(" and ".join(map(str, paths)), lambda: evidence_of(paths), (1, SIZE, SIZE), read, paths=paths)


def _characters(tree: Tree, part: OfficialArchive) -> Mapping[str, list[str]]:
    """The files of each character, all sorted; raises BadData where characters or drawings are missing."""
    files: dict[str, list[str]] = {}
    for name in sorted(tree.sizes):
        if decode.is_image(name):
            *_, alphabet, character, _ = ("", "", *name.split("/"))
            files.setdefault(f"{alphabet}/{character}", []).append(name)
    if len(files) != part.characters:
        raise BadData(
            f"{tree.path} holds {len(files)} characters, but {part.name} has {part.characters}; "
            "it is incomplete or another set: get a new copy"
        )
    for character, drawings in files.items():
        if len(drawings) != DRAWINGS:
            raise BadData(
                f"{tree.path} holds {len(drawings)} drawings of {character}, but each character has {DRAWINGS}; "
                "it is incomplete: get a new copy"
            )
    return dict(sorted(files.items()))


def _drawings(character: str, tree: Tree, files: Sequence[str]) -> ClassImages:
    labels = [f"{tree.path.name}: {file}" for file in files]
    paper = [
        decode.pixels(tree.read(file), label, size=SIZE, channels=1, modes=decode.DRAWING_MODES, drawn_at=DRAWN_AT)
        for file, label in zip(files, labels, strict=True)
    ]
    return ClassImages(character, 255 - np.stack(paper), labels)
