"""What the algorithms are compared on: a registry of datasets, each a source of episodes.

>>> from datasets import load
>>> load("sinusoid").kind
'regression'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets import glyphs, mini_imagenet, omniglot
from datasets.episodes import Dataset, Kind
from datasets.location import DataNotFound, data_root
from datasets.registry import Registry, UserError
from datasets.sinusoid import Sinusoid

__all__ = ["DATASETS", "DataNotFound", "Dataset", "DatasetEntry", "UserError", "data_root", "load"]


@dataclass(frozen=True)
class DatasetEntry:
    """One dataset of the registry.

    Attributes:
        name: what grids call it.
        kind: classification or regression.
        family: whose published settings algorithms use on it: ``sinusoid``, ``omniglot`` or ``mini-imagenet``.
        summary: one line for ``bench list``.
        paper: who made it and where it is described.
        input_shape: of one input: (n,) for vectors, (channels, height, width) for images; None where that is known only
            once the data is loaded.
        traits: what an algorithm may rely on beyond the kind: ``sinusoids`` where every task is y = A sin(x - phase).
        load: makes the dataset from the data root; raises DataNotFound where its files are missing.
    """

    name: str
    kind: Kind
    family: str
    summary: str
    paper: str
    load: Callable[[Path], Dataset]
    input_shape: tuple[int, ...] | None = None
    traits: tuple[str, ...] = ()


DATASETS: Registry[DatasetEntry] = Registry("dataset", "bench.datasets", DatasetEntry)

DATASETS.add(
    DatasetEntry(
        "sinusoid",
        "regression",
        "sinusoid",
        "regression on y = A sin(x - phase); generated",
        "Finn et al. 2017, arXiv 1703.03400",
        lambda root: Sinusoid(),
        (1,),
        traits=("sinusoids",),
    )
)
DATASETS.add(
    DatasetEntry(
        "glyphs",
        "classification",
        "omniglot",
        "drawings of characters of many scripts in the style of Omniglot; embedded, needs no download",
        "this project (rendered from the DejaVu and STIX fonts)",
        glyphs.load,
        (1, glyphs.SIZE, glyphs.SIZE),
    )
)
DATASETS.add(
    DatasetEntry(
        "omniglot",
        "classification",
        "omniglot",
        "1,623 handwritten characters of 50 alphabets, MAML's random split of characters (1100/100/423)",
        "Lake et al. 2015, Science 350(6266)",
        omniglot.load_full,
        (1, omniglot.SIZE, omniglot.SIZE),
    )
)
DATASETS.add(
    DatasetEntry(
        "omniglot-official",
        "classification",
        "omniglot",
        "the same characters in the official background and evaluation sets, five background alphabets for validation",
        "Lake et al. 2015, Science 350(6266)",
        omniglot.load_official,
        (1, omniglot.SIZE, omniglot.SIZE),
    )
)
DATASETS.add(
    DatasetEntry(
        "omniglot-small",
        "classification",
        "omniglot",
        "242 characters of 8 alphabets: Omniglot's official small background sets, split by alphabet",
        "Lake et al. 2015, Science 350(6266)",
        omniglot.load_small,
        (1, omniglot.SIZE, omniglot.SIZE),
    )
)
DATASETS.add(
    DatasetEntry(
        "mini-imagenet",
        "classification",
        "mini-imagenet",
        "100 ImageNet classes of 600 images at 84x84, the 64/16/20 split of Ravi and Larochelle",
        "Vinyals et al. 2016, arXiv 1606.04080; Ravi and Larochelle 2017",
        mini_imagenet.load,
        (3, 84, 84),
    )
)


def load(name: str, root: Path | str | None = None) -> Dataset:
    """The dataset called ``name``, its files sought under ``root`` (see ``data_root``).

    Raises:
        UserError: no dataset has that name.
        DataNotFound: its files are not there; the message has the command that fetches them.
    """
    return DATASETS[name].load(data_root(root))
