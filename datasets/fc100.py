"""FC100 (Oreshkin et al. 2018, arXiv 1805.10123): CIFAR-100's images, split by superclass into 60/20/20 classes.

No superclass is in two splits, which makes it harder than CIFAR-FS. Networks and settings are those of mini-ImageNet.
"""

from __future__ import annotations

from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.formats.cifar100_edition import Edition
from datasets.splits.cifar100 import FC100

EDITION = Edition("fc100", FC100)


@register(
    "fc100",
    kind="classification",
    family="mini-imagenet",
    summary="CIFAR-100's images at 32x32, split 60/20/20 by superclass; mini-ImageNet's network and presets",
    paper="Oreshkin et al. 2018, arXiv 1805.10123",
    input_shape=(3, 32, 32),
)
def load(root: Path) -> Dataset:
    """Return FC100 from its cache, built from CIFAR-100 under ``root`` if need be.

    Raises:
        DataNotFound: neither is there.
        BadData: the files are not CIFAR-100's.
    """
    return EDITION.load(root)
