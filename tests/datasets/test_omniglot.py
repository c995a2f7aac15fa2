"""Omniglot read from the official small sets (set BENCH_DATA to the folder that holds omniglot/*.zip)."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import DATASETS, DataNotFound, load
from datasets.core.episodes import SPLITS, Shape
from datasets.core.image_pools import ImageDataset
from datasets.splits.omniglot import split_as_vinyals
from datasets.storage.contents import digest_of_images
from datasets.storage.publishers import PUBLICATIONS

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


def test_drawings_are_upright_as_in_the_files(small: ImageDataset, real_root: Path) -> None:
    """Compared with a reduction of our own: the mean of ink over blocks of the file's pixels."""
    with zipfile.ZipFile(real_root / "omniglot" / "images_background_small1.zip") as archive:
        for name in ("Latin/character02", "Korean/character05"):
            files = sorted(n for n in archive.namelist() if f"{name}/" in n and n.endswith(".png"))
            pool = small.pools["train"]
            c = [small.class_names[i] for i in pool.class_ids].index(name)
            stored = np.asarray(pool.images[pool.offsets[c] : pool.offsets[c + 1], 0], dtype=float)
            for image, file in zip(stored, files, strict=True):
                paper = np.asarray(Image.open(io.BytesIO(archive.read(file))), dtype=float)
                ink = 1 - paper
                blocks = np.kron(ink, np.ones((4, 4))).reshape(28, 15, 28, 15).mean(axis=(1, 3))
                likeness = [np.corrcoef(np.rot90(blocks, turn).ravel(), image.ravel())[0, 1] for turn in range(4)]
                assert likeness[0] > 0.9
                assert max(likeness[1:]) < 0.8


def test_the_sets_share_greek_and_latin(real_root: Path) -> None:
    drawings: list[dict[str, bytes]] = []
    for part in ("images_background_small1", "images_background_small2"):
        with zipfile.ZipFile(real_root / "omniglot" / f"{part}.zip") as archive:
            files = [name for name in archive.namelist() if name.endswith(".png")]
            drawings.append({name.removeprefix(part): archive.read(name) for name in files})
    shared = drawings[0].keys() & drawings[1].keys()
    assert {name.split("/")[1] for name in shared} == {"Greek", "Latin"}
    assert len(shared) == 50 * 20
    assert all(drawings[0][name] == drawings[1][name] for name in shared)


def test_the_fingerprint_is_pinned(small: ImageDataset) -> None:
    """The same zips give the same pixels everywhere; a change of reading, or of Pillow's resizing, shows here."""
    assert small.fingerprint == "a5e6fa13ae154cbc5f2d5e8ee6569c5c3d848b47de1abfd1b9ee7970a71998db"


def test_training_classes_turn_and_others_do_not(small: ImageDataset) -> None:
    turns = {split: small.stream(split, Shape(5, 1, 1), 0).identity(range(50))[:, :, 1] for split in SPLITS}
    assert set(np.unique(turns["train"])) == {0, 1, 2, 3}
    assert turns["val"].max() == turns["test"].max() == 0


def test_absent_files_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="run: python -m bench data fetch omniglot-small"):
        load("omniglot-small", tmp_path)


def test_vinyals_split_is_the_published_one(real_root: Path) -> None:
    """Against torchmeta's lists; the order of an archive's names is not needed."""
    parts: dict[str, set[str]] = {"background": set(), "evaluation": set()}
    published: dict[str, set[str]] = {}
    for split in SPLITS:
        lists = json.loads((real_root / "splits" / "torchmeta" / "omniglot" / f"{split}.json").read_text())
        names = {part: {f"{a}/{c}" for a, characters in of.items() for c in characters} for part, of in lists.items()}
        published[split] = set().union(*names.values())
        for part, members in names.items():
            parts[part] |= members
    ours = split_as_vinyals(sorted(parts["background"]), sorted(parts["evaluation"]))
    assert {split: set(ours[split]) for split in SPLITS} == published
    assert [len(ours[split]) for split in SPLITS] == [1028, 172, 423]


def test_the_full_drawings_are_the_published_ones(real_root: Path) -> None:
    for remote in PUBLICATIONS["omniglot"].files:
        if not (real_root / remote.path).exists():
            pytest.skip(f"BENCH_DATA has no {remote.path}")
        assert digest_of_images(real_root / remote.path)[0] == remote.images


def test_the_whole_set_is_listed_before_its_parts() -> None:
    names = [name for name in DATASETS.names() if name.startswith("omniglot")]
    assert names == ["omniglot", "omniglot-small", "omniglot-official", "omniglot-vinyals"]
