"""mini-ImageNet (Vinyals et al. 2016, arXiv 1606.04080) with the 64/16/20 classes of Ravi and Larochelle 2017."""

from __future__ import annotations

from pathlib import Path

from datasets import cache
from datasets.episodes import Dataset
from datasets.location import DataNotFound

VERSION = 1
"""Raised when the same files would give other pixels, names or splits."""

RECIPE = cache.Recipe("mini-imagenet", VERSION, rotate_train=False, duplicates_allowed=True)


def load(root: Path) -> Dataset:
    """mini-ImageNet from its cache; DataNotFound where there is none."""
    dataset = cache.load(RECIPE, root, None)
    if dataset is None:
        raise DataNotFound(
            "mini-imagenet",
            root / "mini-imagenet" / "mini-imagenet-cache-{train,validation,test}.pkl",
            "run: python -m bench data fetch mini-imagenet, or: python -m bench data prepare mini-imagenet --from PATH",
        )
    return dataset
