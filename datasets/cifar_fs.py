"""CIFAR-FS (Bertinetto et al. 2019, arXiv 1805.08136): CIFAR-100's 100 classes of 600 images, split 64/16/20.

Images are 32x32 RGB. Networks and settings are those of mini-ImageNet (Conv4-32 with max-pooling), as in the paper.
"""

from __future__ import annotations

from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.formats.cifar100_edition import Edition
from datasets.splits.cifar100 import CIFAR_FS

EDITION = Edition("cifar-fs", CIFAR_FS)


@register(
    "cifar-fs",
    kind="classification",
    family="mini-imagenet",
    summary="CIFAR-100's classes of 600 images at 32x32, split 64/16/20; mini-ImageNet's network and presets",
    paper="Bertinetto et al. 2019, arXiv 1805.08136",
    input_shape=(3, 32, 32),
)
def load(root: Path) -> Dataset:
    """Return CIFAR-FS from its cache, built from CIFAR-100 under ``root`` if need be.

    Raises:
        DataNotFound: neither is there.
        BadData: the files are not CIFAR-100's.
    """
    return EDITION.load(root)
