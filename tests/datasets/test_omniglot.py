"""Omniglot read from the official small sets (set BENCH_DATA to the folder that holds omniglot/*.zip)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from datasets import DataNotFound, load
from datasets.episodes import SPLITS, Shape
from datasets.images import ImageDataset

pytestmark = pytest.mark.usefixtures("user_cache")


@pytest.fixture(scope="session")
def real_root() -> Path:
    root = Path(os.environ.get("BENCH_DATA", "/nowhere"))
    if not (root / "omniglot" / "images_background_small1.zip").exists():
        pytest.skip("BENCH_DATA names no folder with Omniglot's official small sets")
    return root


@pytest.fixture(scope="session")
def small(real_root: Path, tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    """Through links, so that the cache lands beside them whatever the rights on the real data."""
    root = tmp_path_factory.mktemp("root")
    (root / "omniglot").symlink_to(real_root / "omniglot")
    dataset = load("omniglot-small", root)
    assert isinstance(dataset, ImageDataset)
    return dataset


def test_small_counts(small: ImageDataset) -> None:
    assert [small.pools[split].n_classes for split in SPLITS] == [137, 46, 59]
    assert all((small.pools[split].counts == 20).all() for split in SPLITS)
    assert len(small.class_names) == 242
    assert len({name.split("/")[0] for name in small.class_names}) == 8
    assert small.input_shape == (1, 28, 28)


def test_ink_is_high_and_sparse(small: ImageDataset) -> None:
    images = np.asarray(small.pools["test"].images)
    assert images.max() > 230
    assert 0.05 < (images > 127).mean() < 0.2
    assert (images.reshape(len(images), -1).max(axis=1) > 127).all()


def test_training_classes_turn_and_others_do_not(small: ImageDataset) -> None:
    turns = {split: small.stream(split, Shape(5, 1, 1), 0).identity(range(50))[:, :, 1] for split in SPLITS}
    assert set(np.unique(turns["train"])) == {0, 1, 2, 3}
    assert turns["val"].max() == turns["test"].max() == 0


def test_absent_files_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="run: python -m bench data fetch omniglot-small"):
        load("omniglot-small", tmp_path)
