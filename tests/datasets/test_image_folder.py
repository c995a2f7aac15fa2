"""Image folders of the user's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.cli.data import app
from datasets import data_root
from datasets import load as load_named
from datasets.core.episodes import SPLITS, Shape
from datasets.core.errors import BadData, UserError
from datasets.core.image_pools import ImageDataset
from datasets.image_folder import ImageFolder
from datasets.maintenance import catalog
from datasets.maintenance.verify import verify
from datasets.storage.reading import usable_data_root

pytestmark = pytest.mark.usefixtures("user_cache")


def make(folder: Path, classes: list[str], images: int = 3, mode: str = "RGB") -> Path:
    rng = np.random.default_rng(len(classes))
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(images):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")
    return folder


SPLIT_CLASSES = [f"{split}/{split}-{i}" for split in SPLITS for i in range(2)]


def load(path: Path, **settings: object) -> ImageDataset:
    options: dict[str, object] = {"size": 8, "channels": 3} | settings
    dataset = ImageFolder("birds", path, **options).load(path.parent / "root")  # type: ignore[arg-type]
    assert isinstance(dataset, ImageDataset)
    return dataset


def test_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset = load(make(tmp_path / "images", SPLIT_CLASSES))
    assert dataset.name == "birds"
    assert dataset.input_shape == (3, 8, 8)
    for split in SPLITS:
        names = [dataset.class_names[c] for c in dataset.pools[split].class_ids]
        assert names == [f"{split}-0", f"{split}-1"]
    assert not dataset.pools["train"].rotations
    assert dataset.stream("test", Shape(2, 1, 2), 0).batch([0]).support.x.shape == (1, 2, 3, 8, 8)


def test_one_folder_is_split_by_class_under_the_seed(tmp_path: Path) -> None:
    path = make(tmp_path / "images", [f"class{i}" for i in range(10)])
    splits = []
    for seed in (0, 0, 1):
        dataset = load(path, val_fraction=0.2, test_fraction=0.3, seed=seed)
        splits.append([tuple(dataset.class_names[c] for c in dataset.pools[s].class_ids) for s in SPLITS])
    assert [len(names) for names in splits[0]] == [5, 2, 3]
    assert len(set().union(*map(set, splits[0]))) == 10
    assert splits[0] == splits[1] != splits[2]


def test_the_split_is_the_same_everywhere(tmp_path: Path) -> None:
    path = make(tmp_path / "images", list("abcdefgh"))
    dataset = load(path, val_fraction=0.25, test_fraction=0.25, seed=3)
    names = ["".join(dataset.class_names[c] for c in dataset.pools[split].class_ids) for split in SPLITS]
    assert names == ["abcf", "eh", "dg"]


def test_channels_and_size_are_options(tmp_path: Path) -> None:
    path = make(tmp_path / "images", SPLIT_CLASSES)
    assert load(path, channels=1, size=20).input_shape == (1, 20, 20)
    assert load(path).input_shape == (3, 8, 8)


def test_a_zip_serves_as_well(tmp_path: Path) -> None:
    path = make(tmp_path / "images", SPLIT_CLASSES)
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "zip", path))
    assert load(archive).fingerprint == load(path).fingerprint


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = make(tmp_path / "images", SPLIT_CLASSES)
    before = load(path).fingerprint
    Image.new("RGB", (12, 12)).save(path / "train" / "train-0" / "0.png")
    assert load(path).fingerprint != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size=0"),
        ({"channels": 4}, r"channels must be 1 \(grey\) or 3 \(RGB\), but got 4"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "val=0.5, test=0.5"),
        ({"val_fraction": 0.5}, "val=0.5, test=None"),
        ({"val_fraction": 0.2, "test_fraction": 0.2}, "leave out `split`"),
    ],
)
def test_impossible_settings_are_named(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(make(tmp_path / "images", SPLIT_CLASSES), **settings)


def test_an_unsplit_folder_asks_for_a_split(tmp_path: Path) -> None:
    path = make(tmp_path / "images", ["a", "b", "c"])
    with pytest.raises(UserError, match=r"3 class folders, but no train, val and test folders.*split: \{val"):
        load(path)
    shutil.rmtree(path / "a")
    with pytest.raises(UserError, match="2 classes are too few"):
        load(path, val_fraction=0.2, test_fraction=0.2)


def test_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no folder, .zip or .tar at {tmp_path / 'nowhere'}"):
        load(tmp_path / "nowhere")


def test_what_is_wrong_in_the_folder_is_named(tmp_path: Path) -> None:
    path = make(tmp_path / "images", SPLIT_CLASSES)
    (path / "val" / "val-1" / "1.png").unlink()
    (path / "val" / "val-1" / "2.png").unlink()
    with pytest.raises(BadData, match=r"class 'val-1' \(val\) has 1 image; it needs 2"):
        load(path)
    make(path, ["val/val-1"])
    (path / "test" / "test-0" / "0.png").write_bytes(b"no image")
    with pytest.raises(BadData, match=r"test/test-0/0\.png is not a whole"):
        load(path)
    shutil.copy(path / "train" / "train-0" / "0.png", path / "test" / "test-0" / "0.png")
    with pytest.raises(BadData, match=r"train/train-0/0\.png \(train\) = .*test/test-0/0\.png \(test\)"):
        load(path)
    shutil.rmtree(path / "test")
    with pytest.raises(BadData, match="under train, val, but none under test"):
        load(path)


def test_stray_or_absent_images_are_named(tmp_path: Path) -> None:
    path = make(tmp_path / "images", ["a", "b", "c", "d"])
    shutil.copy(path / "a" / "0.png", path / "stray.png")
    with pytest.raises(BadData, match=r"stray\.png outside of any class folder"):
        load(path, val_fraction=0.2, test_fraction=0.2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="no PNG, JPEG or BMP images in class folders"):
        load(tmp_path / "empty", val_fraction=0.2, test_fraction=0.2)


def test_a_changed_cache_is_built_anew(tmp_path: Path) -> None:
    path = make(tmp_path / "images", SPLIT_CLASSES)
    before = load(path)
    before_pixels = np.array(before.pools["test"].images)
    array = next((tmp_path / "user-cache").rglob("folder-*/test-*.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    after = load(path)
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after.pools["test"].images, before_pixels)


@pytest.mark.parametrize(
    ("path", "said"),
    [("~nosuchuser/birds", "there is no user 'nosuchuser'"), ("a\0b", "zero byte"), ("\ud800", "is not UTF-8")],
)
def test_paths_that_cannot_be_are_mistakes_of_one_line(path: str, said: str, tmp_path: Path) -> None:
    for attempt in (
        lambda: ImageFolder("birds", path, 8, 3).load(tmp_path),
        lambda: data_root(path),
        lambda: catalog.prepare("omniglot", Path(path), tmp_path),
    ):
        with pytest.raises(UserError, match=said) as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_seen_is_a_mistake_of_one_line(
    tmp_path: Path, without_rights: Callable[[Path], None]
) -> None:
    (tmp_path / "shut").mkdir()
    without_rights(tmp_path / "shut")
    root = tmp_path / "shut" / "data"
    for attempt in (
        lambda: ImageFolder("birds", root, 8, 3).load(tmp_path),
        lambda: usable_data_root(root),
        lambda: load_named("omniglot", root),
        lambda: load_named("mini-imagenet", root),
        lambda: catalog.status("omniglot", root),
        lambda: catalog.prepare("omniglot", root, tmp_path),
        lambda: verify("omniglot", root),
    ):
        with pytest.raises(UserError, match=r"shut/data.* cannot be read: Permission denied; fix the file or its per"):
            attempt()


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A grid with an image folder of its own."""
    make(tmp_path / "images", SPLIT_CLASSES)
    path = tmp_path / "grid.yaml"
    path.write_text(
        "algorithms: [maml]\ntrain: {episodes: 4, n_query: 1}\ndatasets:\n"
        f"- {{name: birds, kind: image-folder, path: {tmp_path / 'images'}, size: 8, shots: [1], ways: [2]}}\n"
    )
    return path


def test_verify_takes_a_grids_image_folder(grid: Path, tmp_path: Path) -> None:
    def verified() -> tuple[int, str]:
        arguments = ["verify", "birds", "--grid", str(grid), "--data-root", str(tmp_path / "root")]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        return result.exit_code, result.output

    code, output = verified()
    assert (code, "not built yet" in output, "18 images" in output) == (0, True, True)
    load(tmp_path / "images")
    code, output = verified()
    assert (code, "18 images, as in the cache" in output) == (0, True), output
    array = next((tmp_path / "user-cache").rglob("folder-*/test-*.npy"))
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, output = verified()
    assert (code, f"wrong {array}: holds other images than were written" in output) == (1, True), output
    array.write_bytes(whole)
    image = tmp_path / "images" / "val" / "val-0" / "0.png"
    status = image.stat()
    content = Image.new("RGB", (12, 12), (1, 2, 3))
    content.save(image)
    image.write_bytes(image.read_bytes().ljust(status.st_size, b"\0"))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    code, output = verified()
    assert (code, "val is not what the cache holds" in output) == (1, True), output
    image.write_bytes(b"no image")
    code, output = verified()
    assert (code, "val/val-0/0.png is not a whole PNG" in output) == (1, True), output


def test_verify_names_the_image_folders_of_the_grid(grid: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "bird", "--grid", str(grid)])
    assert isinstance(result.exception, UserError)
    assert str(result.exception).endswith("table 'bird', did you mean 'birds'? those it has: birds")
