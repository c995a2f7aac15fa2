"""ARSC (Yu et al. 2018, "Diverse few-shot text classification with multiple metrics"): is a review of a product good?

A task is a domain of products and a rating above which a review counts as good (2, 4 or 5 stars); an episode is of one
task. The test tasks are the twelve of books, DVDs, electronics and kitchenware, each with its published support set of
five bad and five good reviews; queries come from their test files. Training tasks are those of the other domains, of
which three validate. That is ours: the authors' development sets are of the training tasks. So is that episodes have
equally many good and bad queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.core.errors import BadData
from datasets.splits.arsc import SMALL_TRAIN, TEST, THRESHOLDS, TRAIN, VAL, files_of
from datasets.storage.compressed import read_compressed_tar
from datasets.storage.reading import require_file
from datasets.text.distinct import Texts, apart
from datasets.text.edition import TextEdition
from datasets.text.normal_form import checked, decoded

ARCHIVE, FOLDER = "text/arsc.tar.xz", "text/arsc"
LABELS = {"-1": "bad", "1": "good"}
SHOTS = 5  # of the published support sets
FEWEST = 10  # reviews of each label that a training task has
LONGEST = 1024


@dataclass(frozen=True)
class Reader:
    """Reads the reviews of some training domains, and of those that validate and test.

    Attributes:
        train: the domains that train.
        archive: a compressed tar of their files, below the data root; empty where there is only ``FOLDER``.
    """

    train: Sequence[str]
    archive: str = ""

    @property
    def files(self) -> list[str]:
        """The files that are read, by name."""
        return files_of(self.train)

    def find(self, root: Path) -> Sequence[Path] | None:
        """Return the files in the folder, or else the archive; None where some or it are missing."""
        if not self.missing(root):
            return [root / FOLDER / name for name in self.files]
        return [root / self.archive] if self.archive and (root / self.archive).exists() else None

    def missing(self, root: Path) -> list[Path]:
        """Return the files that are not in the folder."""
        return [path for name in self.files if not (path := root / FOLDER / name).exists()]

    def __call__(self, paths: Sequence[Path]) -> Texts:
        """Return the reviews by task and label, such as ``books.t2/good``; a support set stands first.

        Repeated reviews of a label are left out; so are training and validation reviews that are in a later split, and
        then training tasks with under 10 reviews of a label.

        Raises:
            BadData: a file is not what it should be.
        """
        content = self._read(paths)
        reviews = {name: _reviews(content[name], paths[0].parent / name) for name in self.files}
        for domain in TEST:
            for threshold in THRESHOLDS:
                if {len(texts) for texts in reviews[f"{domain}.{threshold}.train"].values()} != {SHOTS}:
                    raise BadData(
                        f"{paths[0].parent / domain}.{threshold}.train has not {SHOTS} reviews of each label; get a "
                        "new copy"
                    )
        kept = apart(
            {
                "train": _classes(reviews, self.train, ["train"]),
                "val": _classes(reviews, VAL, ["train"]),
                "test": _classes(reviews, TEST, ["train", "test"]),
            },
            LONGEST,
        )
        kept["train"] = _large_enough(kept["train"])
        return kept

    def _read(self, paths: Sequence[Path]) -> dict[str, bytes]:
        if len(paths) > 1:
            for path in paths:
                require_file(path)
            return {path.name: path.read_bytes() for path in paths}
        content = read_compressed_tar(paths[0], self.files)
        if lacking := [name for name in self.files if name not in content]:
            raise BadData(f"{paths[0]} lacks {lacking[0]}; get a new copy")
        return content


def _classes(
    reviews: Mapping[str, Mapping[str, list[str]]], domains: Sequence[str], parts: Sequence[str]
) -> dict[str, list[str]]:
    """Return the reviews of each task and label of these domains, from these parts."""
    return {
        f"{domain}.{threshold}/{label}": [
            text for part in parts for text in reviews[f"{domain}.{threshold}.{part}"][label]
        ]
        for domain in domains
        for threshold in THRESHOLDS
        for label in LABELS.values()
    }


def _reviews(content: bytes, path: Path) -> dict[str, list[str]]:
    """Return the reviews of a file by label; a line is a review, a tab and the label."""
    places: dict[str, list[tuple[str, str]]] = {label: [] for label in LABELS.values()}
    lines = decoded(content, path).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line and number == len(lines):
            continue
        text, _, label = line.rstrip("\r").rpartition("\t")
        if label not in LABELS:
            raise BadData(
                f"{path}: line {number} ends in {ascii(label)[:20]}, not in a tab and 1 or -1; get a new copy"
            )
        places[LABELS[label]].append((text, f"{path}: line {number}"))
    return {label: checked(texts) for label, texts in places.items()}


def _large_enough(classes: dict[str, list[str]]) -> dict[str, list[str]]:
    small = {name.split("/")[0] for name, texts in classes.items() if len(texts) < FEWEST}
    return {name: texts for name, texts in classes.items() if name.split("/")[0] not in small}


def _edition(name: str, reader: Reader) -> TextEdition:
    return TextEdition(name, reader.find, reader.missing, reader, LONGEST, within="task", n_support=SHOTS)


FULL, SMALL = _edition("arsc", Reader(TRAIN)), _edition("arsc-small", Reader(SMALL_TRAIN, ARCHIVE))
EDITIONS = (FULL, SMALL)


@register(
    "arsc",
    kind="classification",
    family="text",
    summary="sentiment of Amazon reviews by domain and rating, 2-way 5-shot; 12 test tasks with published support sets",
    paper="Yu et al. 2018, arXiv 1805.07513",
    traits=("text",),
)
def load(root: Path) -> Dataset:
    """Return ARSC from its cache, built from its files under ``root`` if need be.

    Raises:
        DataNotFound: neither is there.
        BadData: the files are not ARSC's.
    """
    return FULL.load(root)


@register(
    "arsc-small",
    kind="classification",
    family="text",
    summary="ARSC without the training tasks of music and video, whose files are the largest; the same test tasks",
    paper="Yu et al. 2018, arXiv 1805.07513",
    traits=("text",),
)
def load_small(root: Path) -> Dataset:
    """Return ARSC without two of its training domains, as ``load`` does."""
    return SMALL.load(root)
