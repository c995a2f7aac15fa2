"""CIFAR-FS and FC100: every form gives the same arrays, episodes and digests; what is wrong in one is named."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets import DATASETS, DataNotFound, load
from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.errors import BadData
from datasets.core.image_pools import ImageDataset
from datasets.drawing import contact_sheet
from datasets.formats.cifar100_edition import Edition
from datasets.maintenance import catalog
from datasets.splits.cifar100 import CIFAR_FS, FC100, FC100_SUPERCLASSES, SUPERCLASSES
from datasets.storage import compressed, publishers
from datasets.storage.download import DownloadError
from tests.datasets import cifar_forms as forms
from tests.datasets.faulty_server import QUICK, Server, serving
from tests.datasets.forms import write

pytestmark = pytest.mark.usefixtures("user_cache")

PIXELS = forms.make_pixels()
EDITION = Edition("cifar-fs", forms.EXPECTED)


def prepare(path: Path, root: Path) -> ImageDataset:
    return EDITION.prepare(path, root, workers=1)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    return prepare(forms.zipped(tmp_path_factory.mktemp("zip") / "source", PIXELS), tmp_path_factory.mktemp("root"))


def test_the_arrays_hold_the_pixels_upright_and_in_colour(reference: ImageDataset) -> None:
    for split in SPLITS:
        pool = reference.pools[split]
        names = [reference.class_names[c] for c in pool.class_ids]
        assert names == sorted(forms.EXPECTED.classes[split])
        for c, name in enumerate(names):
            stored = pool.images[pool.offsets[c] : pool.offsets[c + 1]]
            assert {image.tobytes() for image in stored} == {
                image.tobytes() for image in PIXELS[name].transpose(0, 3, 1, 2)
            }


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_gives_the_same_dataset(form: str, reference: ImageDataset, tmp_path: Path) -> None:
    dataset = prepare(forms.FORMS[form](tmp_path / "source", PIXELS), tmp_path / "root")
    assert dataset.fingerprint == reference.fingerprint
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.pools[split].images, reference.pools[split].images)
        ours, theirs = (d.stream(split, Shape(2, 1, 2), 0) for d in (dataset, reference))
        assert digest(ours, 50) == digest(theirs, 50)
    assert not list((tmp_path / "root").rglob("parts-*"))


@pytest.mark.parametrize(
    ("form", "place"),
    [
        (forms.zipped, "cifar-fs"),
        (forms.unzipped, "cifar-fs"),
        (forms.unzipped, "."),
        (forms.gzipped_tar, "cifar100"),
        (forms.torchvision_folder, "."),
    ],
)
def test_files_under_the_data_root_are_found(
    form: Callable[[Path, forms.Pixels], Path], place: str, reference: ImageDataset, tmp_path: Path
) -> None:
    form(tmp_path / "root" / place, PIXELS)
    assert EDITION.load(tmp_path / "root").fingerprint == reference.fingerprint


def test_torchvisions_archive_serves_where_its_folder_is_incomplete(reference: ImageDataset, tmp_path: Path) -> None:
    folder = forms.torchvision_folder(tmp_path, PIXELS)
    (folder / "cifar-100-python" / "meta").unlink()
    assert EDITION.load(tmp_path).fingerprint == reference.fingerprint


@pytest.mark.parametrize("name", ["cifar-fs", "fc100"])
def test_absent_files_name_the_commands(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=rf"cifar-100-python\.tar\.gz; run: .*fetch {name}, or: .*prepare {name} "):
        load(name, tmp_path)


def test_the_lists_are_disjoint_and_complete() -> None:
    every = {name for members in SUPERCLASSES.values() for name in members}
    assert len(every) == 100
    assert {len(members) for members in SUPERCLASSES.values()} == {5}
    for expected, sizes in ((CIFAR_FS, [64, 16, 20]), (FC100, [60, 20, 20])):
        assert [len(expected.classes[split]) for split in SPLITS] == sizes
        assert expected.all_classes == every
    assert sorted(s for split in SPLITS for s in FC100_SUPERCLASSES[split]) == sorted(SUPERCLASSES)


def real(path: str) -> Path:
    """A file of the folder that BENCH_DATA names; skips the test where it is missing."""
    found = Path(os.environ.get("BENCH_DATA", "/nowhere")) / path
    if not found.exists():
        pytest.skip(f"BENCH_DATA names no folder with {path}")
    return found


def test_the_lists_are_the_published_ones() -> None:
    """Against torchmeta's, and against the authors' own in their archive."""
    folder = real("splits/torchmeta/cifar100")
    for split in SPLITS:
        cifar_fs = json.loads((folder / "cifar-fs" / f"{split}.json").read_text())
        assert {name for _, name in cifar_fs} == CIFAR_FS.classes[split]
        assert all(name in SUPERCLASSES[superclass] for superclass, name in cifar_fs)
        assert json.loads((folder / "fc100" / f"{split}.json").read_text()) == list(FC100_SUPERCLASSES[split])
        with zipfile.ZipFile(real("cifar-fs/cifar-fs.zip")) as archive:
            listed = archive.read(f"cifar100/splits/bertinetto/{split}.txt").decode().split()
        assert set(listed) == CIFAR_FS.classes[split]


def test_the_entries_take_mini_imagenets_network_and_presets() -> None:
    for name in ("cifar-fs", "fc100"):
        assert (DATASETS[name].family, DATASETS[name].input_shape) == ("mini-imagenet", (3, 32, 32))


def test_a_missing_a_foreign_and_a_short_class_are_named(tmp_path: Path) -> None:
    source = forms.unzipped(tmp_path / "source", PIXELS)
    gone = source / "data" / sorted(forms.EXPECTED.classes["val"])[0]
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(BadData, match=f"lacks {gone.name} of the 3 val classes"):
        prepare(source, tmp_path / "root")
    (tmp_path / "elsewhere").rename(source / "data" / "unicorn")
    with pytest.raises(BadData, match=r"images in 'unicorn', which is no class of CIFAR-100"):
        prepare(source, tmp_path / "root")
    (source / "data" / "unicorn").rename(gone)
    next(gone.iterdir()).unlink()
    with pytest.raises(BadData, match=f"has 5 images of {gone.name}, but each class has 6"):
        prepare(source, tmp_path / "root")


def test_an_image_of_another_size_is_refused_and_not_resized(tmp_path: Path) -> None:
    source = forms.unzipped(tmp_path / "source", PIXELS)
    odd = sorted((source / "data").glob("*/*.png"))[3]
    Image.new("RGB", (20, 16)).save(odd)
    with pytest.raises(BadData, match=rf"{odd.name} is 20 x 16, but must be 16 x 16"):
        prepare(source, tmp_path / "root")
    assert not list((tmp_path / "root").rglob("*.npy"))


def test_a_folder_of_something_else_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(BadData, match=r"no form of CIFAR-100 that is read: .*cifar-100-python\.tar\.gz"):
        prepare(tmp_path / "source", tmp_path / "root")


def content_of(file: str) -> dict[str, Any]:
    return dict(pickle.loads(forms.pickles(PIXELS)[file]))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("meta", {"fine_label_names": None}, "no list of distinct names 'fine_label_names'"),
        ("meta", {"fine_label_names": ["bee", "bee"]}, "no list of distinct names"),
        ("meta", {"fine_label_names": ["unicorn", *sorted(PIXELS)[1:]]}, "class 'unicorn', which is not one"),
        ("train", {"data": None}, r"'data' in .* is NoneType, but must be uint8 \(N, 768\)"),
        ("train", {"data": np.zeros((50, 767), np.uint8)}, r"uint8 \(50, 767\), but must be"),
        ("train", {"data": np.zeros((50, 768))}, "float64"),
        ("test", {"fine_labels": [0]}, "'fine_labels' in .* must be 10 whole numbers from 0 to 9"),
        ("test", {"fine_labels": [10] * 10}, "must be 10 whole numbers from 0 to 9"),
        ("test", {"fine_labels": [0.5] * 10}, "must be 10 whole numbers"),
        ("test", {"fine_labels": [0] * 10}, "15 images of|5 images of"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_a_pickle_of_something_else_is_named(
    packed: bool, file: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    contents = forms.pickles(PIXELS) | {file: pickle.dumps(content_of(file) | changes, 2)}
    source = forms.make_archive(tmp_path / "source" / forms.gzipped_tar.__name__ / "x.tar.gz", contents)
    if not packed:
        source = tmp_path / "folder"
        for name, content in contents.items():
            write(source / name, content)
    with pytest.raises(BadData, match=message) as caught:
        prepare(source, tmp_path / "root")
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "root").rglob("*.npy"))


class Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch pwned",)


def test_a_pickle_in_the_archive_that_runs_something_is_refused(tmp_path: Path) -> None:
    source = forms.make_archive(tmp_path / "x.tar.gz", forms.pickles(PIXELS) | {"meta": pickle.dumps(Attack())})
    with pytest.raises(BadData, match=r"'meta' in .*x\.tar\.gz is not read: as a pickle it asks to run .*system"):
        prepare(source, tmp_path / "root")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (tarfile.REGTYPE, "../train", "leaves the folder"),
        (tarfile.SYMTYPE, "cifar-100-python/sly", "which is a link or a device"),
        (tarfile.CHRTYPE, "cifar-100-python/sly", "which is a link or a device"),
        (tarfile.REGTYPE, "other/train", "two files called train"),
        (tarfile.REGTYPE, "cifar-100-python/train", "'cifar-100-python/train' twice"),
    ],
)
def test_dangerous_members_are_refused(kind: bytes, name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member_name, content in {f"cifar-100-python/{n}": c for n, c in forms.pickles(PIXELS).items()}.items():
            member = tarfile.TarInfo(member_name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BadData, match=message):
        prepare(path, tmp_path / "root")


def test_a_bomb_is_not_unfolded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = forms.gzipped_tar(tmp_path, PIXELS)
    monkeypatch.setattr(compressed, "MAX_BYTES", 20_000)
    with pytest.raises(BadData, match="unfolds to more than 20,000 bytes"):
        prepare(path, tmp_path / "root")


def test_an_archive_without_one_of_the_files_is_named(tmp_path: Path) -> None:
    contents = forms.pickles(PIXELS)
    del contents["meta"]
    with pytest.raises(BadData, match=r"x\.tar\.gz lacks meta; it is not CIFAR-100's python archive"):
        prepare(forms.make_archive(tmp_path / "x.tar.gz", contents), tmp_path / "root")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), keep=st.floats(0.3, 1))
def test_a_damaged_archive_is_refused_or_whole(
    where: float, bit: int, keep: float, reference: ImageDataset, tmp_path: Path
) -> None:
    """One flipped bit and a cut: the same dataset, or BadData that names the archive; nothing half-written."""
    path = forms.gzipped_tar(tmp_path, PIXELS)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content[: max(1, int(keep * len(content)))])
    told = f"{path}: {reference.fingerprint}"
    try:
        told = f"{path}: {prepare(path, tmp_path / 'root').fingerprint}"
    except BadData as error:
        told = f"{error} {reference.fingerprint}"
    assert str(path) in told
    assert reference.fingerprint in told
    assert not list((tmp_path / "root").rglob(".part-*"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(["train", "test", "meta"]), content=st.binary(max_size=40))
def test_any_pickle_is_read_or_refused(file: str, content: bytes, tmp_path: Path) -> None:
    folder = forms.pickle_folder(tmp_path, PIXELS)
    (folder / file).write_bytes(content)
    with pytest.raises(BadData, match=file):
        prepare(folder, tmp_path / "root")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves CIFAR-100's own archive of ten classes in the place of its home."""
    content = forms.gzipped_tar(tmp_path / "home", PIXELS).read_bytes()
    monkeypatch.setitem(catalog.MANAGED, "cifar-fs", catalog.of_cifar100(EDITION))
    with serving() as server:
        server.behaviour.content = content
        (published,) = publishers.PUBLICATIONS["cifar-fs"].files
        file = dataclasses.replace(published, url=server.url, md5=hashlib.md5(content).hexdigest())
        publication = dataclasses.replace(publishers.PUBLICATIONS["cifar-fs"], files=(file,), fingerprint=None)
        monkeypatch.setitem(publishers.PUBLICATIONS, "cifar-fs", publication)
        yield server


def test_its_own_archive_is_fetched_in_pieces_and_gives_the_same_dataset(
    archive: Server, reference: ImageDataset, tmp_path: Path
) -> None:
    archive.behaviour.cut_after = [len(archive.behaviour.content) // 3, None]
    fetched = catalog.fetch("cifar-fs", tmp_path / "root", patience=QUICK)
    assert archive.behaviour.seen[0] is None
    assert archive.behaviour.seen[1] == f"bytes={len(archive.behaviour.content) // 3}-"
    assert (tmp_path / "root" / "cifar100" / "cifar-100-python.tar.gz").read_bytes() == archive.behaviour.content
    assert fetched.fingerprint == reference.fingerprint
    catalog.fetch("cifar-fs", tmp_path / "root", patience=QUICK)  # what is there is good
    assert len(archive.behaviour.seen) == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 404}, "404"),
        ({"status": 503}, "503"),
        ({"cut_after": [10, 20, 30], "ranges": False}, r"in 3 attempts \(30 of [\d,]+ bytes came\)"),
        ({"content": b"\x1f\x8b another archive"}, "md5"),
        ({"cut_after": [10, 10, 10], "stall": True}, "timed out"),
    ],
)
def test_a_fault_on_the_way_leaves_no_archive_and_no_cache(
    fault: dict[str, object], message: str, archive: Server, tmp_path: Path, user_cache: Path
) -> None:
    for name, value in fault.items():
        setattr(archive.behaviour, name, value)
    with pytest.raises(DownloadError, match=message) as caught:
        catalog.fetch("cifar-fs", tmp_path / "root", patience=QUICK)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "root").rglob("*.tar.gz"))
    assert not list(user_cache.rglob("*.npy"))


def test_a_picture_shows_the_images_upright_and_in_colour(reference: ImageDataset) -> None:
    shape = Shape(2, 1, 1)
    batch = reference.stream("test", shape, 0).batch([0])
    pool, shown = reference.pools["test"], contact_sheet.picture(batch, 0, shape)
    number, _, image, _ = batch.identity[0, 1]  # the second column: class, quarter turns, support and query image
    expected = pool.images[pool.offsets[list(pool.class_ids).index(number)] + image].transpose(1, 2, 0)
    factor = contact_sheet.SHOWN_AT_LEAST // forms.SIZE
    left = forms.SIZE * factor + contact_sheet.GAP
    np.testing.assert_array_equal(
        shown[: forms.SIZE * factor : factor, left : left + forms.SIZE * factor : factor], expected
    )
