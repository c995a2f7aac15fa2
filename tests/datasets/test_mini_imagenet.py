"""mini-ImageNet: every form gives the same arrays, episodes and digests; what is wrong in one is named."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets import DataNotFound, mini_imagenet
from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.errors import BadData
from datasets.core.image_pools import ImageDataset
from datasets.formats.mini_imagenet_files import plan_at
from datasets.splits.mini_imagenet import MINI_IMAGENET
from datasets.storage import cache
from tests.datasets import forms
from tests.datasets.storage.test_restricted_pickle import nested

pytestmark = pytest.mark.usefixtures("user_cache")

PIXELS = forms.make_pixels()


def prepare(path: Path, root: Path) -> ImageDataset:
    dataset = mini_imagenet.prepare(path, root, workers=1, expected=forms.EXPECTED)
    assert isinstance(dataset, ImageDataset)
    return dataset


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    return prepare(
        forms.class_dict_pickles(tmp_path_factory.mktemp("pickles"), PIXELS), tmp_path_factory.mktemp("root")
    )


def test_the_arrays_hold_the_pixels(reference: ImageDataset) -> None:
    for split in SPLITS:
        pool = reference.pools[split]
        assert [reference.class_names[c] for c in pool.class_ids] == sorted(forms.EXPECTED.classes[split])
        for c, name in enumerate(sorted(PIXELS[split])):
            stored = pool.images[pool.offsets[c] : pool.offsets[c + 1]]
            expected = PIXELS[split][name].transpose(0, 3, 1, 2)
            assert {image.tobytes() for image in stored} == {image.tobytes() for image in expected}


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_gives_the_same_dataset(form: str, reference: ImageDataset, tmp_path: Path) -> None:
    dataset = prepare(forms.FORMS[form](tmp_path / "source", PIXELS), tmp_path / "root")
    assert dataset.fingerprint == reference.fingerprint
    assert dataset.class_names == reference.class_names
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.pools[split].images, reference.pools[split].images)
        np.testing.assert_array_equal(dataset.pools[split].offsets, reference.pools[split].offsets)
        ours, theirs = (d.stream(split, Shape(2, 1, 2), 0) for d in (dataset, reference))
        assert digest(ours, 50) == digest(theirs, 50)
        np.testing.assert_array_equal(ours.batch([3, 1]).query_x, theirs.batch([3, 1]).query_x)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(protocol: int, reference: ImageDataset, tmp_path: Path) -> None:
    source = forms.class_dict_pickles(tmp_path / "source", PIXELS, protocol)
    assert prepare(source, tmp_path / "root").fingerprint == reference.fingerprint


def test_several_processes_give_the_same(reference: ImageDataset, tmp_path: Path) -> None:
    source = forms.class_folders(tmp_path / "source", PIXELS)
    dataset = mini_imagenet.prepare(source, tmp_path / "root", workers=2, expected=forms.EXPECTED)
    assert dataset.fingerprint == reference.fingerprint
    assert not list((tmp_path / "root").rglob("parts-*"))


def test_files_under_the_data_root_are_found(reference: ImageDataset, tmp_path: Path) -> None:
    forms.class_folders(tmp_path / "mini-imagenet", PIXELS)
    assert mini_imagenet.load(tmp_path, forms.EXPECTED).fingerprint == reference.fingerprint


def test_larger_images_are_reduced(tmp_path: Path) -> None:
    dataset = prepare(forms.class_folders(tmp_path / "source", forms.make_pixels(size=50)), tmp_path / "root")
    assert dataset.input_shape == (3, forms.SIZE, forms.SIZE)
    assert np.asarray(dataset.pools["train"].images).std() < 60  # averaging has narrowed the noise: antialiased


def test_an_interrupted_preparation_goes_on(reference: ImageDataset, tmp_path: Path) -> None:
    source = forms.class_folders(tmp_path / "source", PIXELS)
    broken = next(iter(sorted((source / "test").glob("*/*.jpg"), reverse=True)))
    whole = broken.read_bytes()
    stamp = broken.stat()
    broken.write_bytes(whole[:-200] + bytes(200))
    os.utime(broken, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    with pytest.raises(BadData, match=broken.name):
        prepare(source, tmp_path / "root")
    parts = list(cache.folders(mini_imagenet.RECIPE, tmp_path / "root")[0].glob("parts-*/*.npz"))
    assert 0 < len(parts) < 8
    broken.write_bytes(whole)
    os.utime(broken, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    written = {part: part.stat().st_mtime_ns for part in parts}
    seen: list[tuple[int, int | None]] = []
    mini_imagenet.prepare(
        source, tmp_path / "root", workers=1, expected=forms.EXPECTED, progress=lambda *done: seen.append(done)
    )
    assert seen[0] == (len(written) * forms.PER_CLASS, 8 * forms.PER_CLASS)
    assert seen[-1] == (8 * forms.PER_CLASS, 8 * forms.PER_CLASS)
    assert prepare(source, tmp_path / "root").fingerprint == reference.fingerprint


def test_the_class_lists_are_disjoint_and_complete() -> None:
    assert [len(MINI_IMAGENET.classes[split]) for split in SPLITS] == [64, 16, 20]
    assert len(frozenset().union(*MINI_IMAGENET.classes.values())) == 100


def test_nothing_there_names_both_commands(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"cache-train\.pkl; run: .*data fetch mini-imagenet, or: .*prepare"):
        mini_imagenet.load(tmp_path)


def test_an_unfinished_download_is_nothing_yet(tmp_path: Path) -> None:
    forms.write(tmp_path / "mini-imagenet" / ".mini-imagenet-cache-train.pkl.part", b"half")
    with pytest.raises(DataNotFound):
        mini_imagenet.load(tmp_path)


def test_two_of_three_pickles_name_the_third(tmp_path: Path) -> None:
    forms.class_dict_pickles(tmp_path / "mini-imagenet", PIXELS)
    (tmp_path / "mini-imagenet" / "mini-imagenet-cache-validation.pkl").unlink()
    with pytest.raises(DataNotFound, match=r"mini-imagenet-cache-validation\.pkl"):
        mini_imagenet.load(tmp_path, forms.EXPECTED)


NAME = sorted(forms.EXPECTED.classes["train"])[0]
CONTENT = {"image_data": np.zeros((10, 20, 20, 3), np.uint8), "class_dict": {NAME: [0, 1]}}


def with_places(names: Iterable[str], places: list[int]) -> dict[str, object]:
    return CONTENT | {"class_dict": dict.fromkeys(names, places)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"a": 1}, "holds 'a'; mini-ImageNet's pickles hold"),
        (CONTENT | {"image_data": np.zeros((10, 19, 20, 3), np.uint8)}, r"uint8 \(10, 19, 20, 3\), but must be"),
        (CONTENT | {"image_data": np.zeros((10, 20, 20, 3))}, "float64"),
        (CONTENT | {"class_dict": []}, "'class_dict' in .* is a list"),
        (CONTENT | {"class_dict": {NAME: "abc"}}, "not a list of integers"),
        (CONTENT | {"class_dict": {NAME: nested(list)}}, "not a list of integers, but of other things too"),
        (CONTENT, "lacks .* and 1 more|lacks .* of the 4 train classes"),
        (with_places(forms.EXPECTED.classes["val"], [0]), "lacks"),
        (with_places(forms.EXPECTED.classes["train"], [0, 1]), "2 images of .*has 5"),
        (with_places(forms.EXPECTED.classes["train"], [0, 1, 2, 3, 10]), "0 to 10"),
        (with_places(forms.EXPECTED.classes["train"], [0, 1, 2, 3, 3]), "twice"),
        (
            with_places(forms.EXPECTED.classes["train"] | {"n02110341"}, [0]),
            "n02110341 is not of this dataset|n02110341 is a test class",
        ),
    ],
)
def test_a_pickle_of_something_else_is_named(content: object, message: str, tmp_path: Path) -> None:
    source = forms.class_dict_pickles(tmp_path / "source", PIXELS)
    (source / "mini-imagenet-cache-train.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(BadData, match=message) as caught:
        prepare(source, tmp_path / "root")
    assert "mini-imagenet-cache-train.pkl" in str(caught.value)
    assert not list((tmp_path / "root").rglob("*.npy"))


def test_a_missing_class_folder_is_named(tmp_path: Path) -> None:
    source = forms.class_folders(tmp_path / "source", PIXELS)
    missing = sorted((source / "val").iterdir())[0]
    missing.rename(tmp_path / "elsewhere")
    with pytest.raises(BadData, match=f"lacks {missing.name} of the 2 val classes"):
        prepare(source, tmp_path / "root")


def test_a_missing_imagenet_class_is_named(tmp_path: Path) -> None:
    source = forms.imagenet(tmp_path / "source", PIXELS)
    missing = sorted((source / "train").iterdir())[0]
    missing.rename(tmp_path / "elsewhere")
    with pytest.raises(BadData, match=f"lacks 1 of 8 classes, such as {missing.name}"):
        prepare(source, tmp_path / "root")


def test_a_listed_image_that_is_absent_is_named(tmp_path: Path) -> None:
    source = forms.listed_images(tmp_path / "source", PIXELS)
    gone = sorted((source / "images").iterdir())[3]
    gone.unlink()
    with pytest.raises(BadData, match=f"lacks 1 of the listed images, such as {re.escape(gone.name)}"):
        prepare(source, tmp_path / "root")


LISTED_ALREADY = f"{sorted(forms.EXPECTED.classes['val'])[0]}00000001.jpg"


@pytest.mark.parametrize(
    ("row", "message"),
    [("a.jpg", "is not 'filename,label'"), (f"{LISTED_ALREADY},n02110341", "is listed twice"), ('"', "val.csv")],
)
def test_a_broken_list_is_named(row: str, message: str, tmp_path: Path) -> None:
    source = forms.listed_images(tmp_path / "source", PIXELS)
    with (source / "val.csv").open("a") as file:
        file.write(f"\n{row}")
    with pytest.raises(BadData, match=rf"val\.csv.*{message}|{message}"):
        prepare(source, tmp_path / "root")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(alphabet='n01",.\n\r\0jpgé', max_size=60).map(str.encode))
def test_any_list_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if not source.exists():
        forms.listed_images(source, PIXELS)
    (source / "val.csv").write_bytes(content)
    with pytest.raises(BadData):
        plan_at(source, forms.EXPECTED)


def test_a_folder_of_something_else_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("no")
    with pytest.raises(BadData, match="no form of mini-ImageNet that is read"):
        prepare(tmp_path / "source", tmp_path / "root")


def test_duplicates_across_splits_are_recorded_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = forms.class_folders(tmp_path / "source", PIXELS)
    original = sorted((source / "train").glob("*/*"))[0]
    copy = sorted((source / "test").glob("*/*"))[0]
    copy.write_bytes(original.read_bytes())
    prepare(source, tmp_path / "root")
    assert "1 images are in two splits" in caplog.text
    assert original.name in caplog.text
    assert copy.name in caplog.text
