"""Datasets listed, fetched, verified and prepared, through the functions and the command line."""

from __future__ import annotations

import dataclasses
import io
import shutil
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.cli.data import app
from datasets import omniglot
from datasets.core.episodes import SPLITS
from datasets.core.errors import UserError
from datasets.core.image_pools import ImageDataset
from datasets.maintenance import catalog
from datasets.maintenance.verify import _check_published_contents
from datasets.omniglot import Edition, OfficialArchive
from datasets.storage import cache, publishers
from datasets.storage.contents import digest_of_images
from datasets.storage.download import md5_of

pytestmark = pytest.mark.usefixtures("user_cache")


def make_part(path: Path, alphabets: dict[str, int], seed: int = 0) -> Path:
    """A zip like Omniglot's, of noise."""
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for alphabet, characters in alphabets.items():
            for c in range(1, characters + 1):
                for drawing in range(1, 21):
                    buffer = io.BytesIO()
                    Image.fromarray(rng.random((105, 105)) > 0.1).save(buffer, "PNG")
                    name = f"{path.stem}/{alphabet}/character{c:02d}/{c:04d}_{drawing:02d}.png"
                    archive.writestr(name, buffer.getvalue())
    return path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The official split in miniature, published by a server on this machine; returns the folder that it serves."""
    served = tmp_path / "served"
    served.mkdir()
    make_part(served / "images_background.zip", dict.fromkeys("ABCDEF", 1), seed=1)
    make_part(served / "images_evaluation.zip", {"Y": 2}, seed=2)
    edition = Edition(
        "omniglot-official",
        (OfficialArchive("images_background", 6), OfficialArchive("images_evaluation", 2)),
        omniglot.OFFICIAL.split,
    )
    monkeypatch.setitem(catalog.MANAGED, edition.name, catalog.of_omniglot(edition))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    files = tuple(
        dataclasses.replace(file, url=f"http://127.0.0.1:{server.server_address[1]}/{path.name}", md5=md5_of(path))
        for file in publishers.PUBLICATIONS[edition.name].files
        for path in [served / Path(file.path).name]
    )
    publication = dataclasses.replace(publishers.PUBLICATIONS[edition.name], files=files)
    monkeypatch.setitem(publishers.PUBLICATIONS, edition.name, publication)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and output; a user's mistake is what ``bench.cli.main`` makes of it: its line and code 2."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if isinstance(result.exception, UserError):
        return 2, f"{result.output}{result.exception}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_fetch_verify_list_and_show(published: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    code, output = run("list", "--data-root", root)
    assert code == 0
    assert "omniglot-official lacks omniglot/images_background.zip, omniglot/images_evaluation.zip" in output
    code, output = run("verify", "omniglot-official", "--data-root", root)
    assert code == 2
    assert "run: python -m bench data fetch omniglot-official" in output
    code, output = run("fetch", "omniglot-official", "--data-root", root)
    assert code == 0, output
    assert "omniglot-official is ready: fingerprint " in output
    fingerprint = output.split("fingerprint ")[-1].strip()
    code, output = run("list", "--data-root", root)
    assert fingerprint[:12] in output
    assert "ready" in output
    code, output = run("verify", "omniglot-official", "--data-root", root)
    assert (code, "wrong" in output) == (0, False)
    assert fingerprint in output
    picture = tmp_path / "sheet.png"
    code, output = run(
        "show", "omniglot-official", "--data-root", root, "--split", "test", "--ways", "2", "--out", str(picture)
    )
    assert code == 0, output
    with Image.open(picture) as image:
        assert image.size[0] > 300


def test_verify_finds_damage(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    catalog.fetch("omniglot-official", root)
    array = next(cache.folders(catalog.MANAGED["omniglot-official"].recipe, root)[0].glob("test-*.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    code, output = run("verify", "omniglot-official", "--data-root", str(root))
    assert code == 1
    assert f"wrong {array}" in output


def test_verify_compares_the_pixels_of_files_without_a_cache_and_writes_nothing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root = "omniglot-official", tmp_path / "root"
    fingerprint = catalog.fetch(name, tmp_path / "elsewhere").fingerprint
    publication = publishers.PUBLICATIONS[name]
    known = dataclasses.replace(publication, files=(), fingerprint=fingerprint)
    monkeypatch.setitem(publishers.PUBLICATIONS, name, known)
    shutil.copytree(published, root / "omniglot")
    before = sorted(tmp_path.rglob("*"))
    code, output = run("verify", name, "--data-root", str(root))
    assert code == 0, output
    assert f"160 images, fingerprint {fingerprint}" in output
    assert "ok pixels: those of the published dataset" in output
    assert sorted(tmp_path.rglob("*")) == before
    make_part(root / "omniglot" / "images_evaluation.zip", {"Y": 2}, seed=3)
    code, output = run("verify", name, "--data-root", str(root))
    assert (code, "wrong pixels: not those of the published dataset" in output) == (1, True), output
    (root / "omniglot" / "images_evaluation.zip").write_bytes(b"PK")
    code, output = run("verify", name, "--data-root", str(root))
    assert (code, f"wrong {root}" in output) == (1, True), output


def test_verify_says_that_a_prepared_dataset_is_not_made_from_the_files(published: Path, tmp_path: Path) -> None:
    name, root = "omniglot-official", tmp_path / "root"
    catalog.prepare(name, published, root)
    shutil.copytree(published, root / "omniglot")
    code, output = run("verify", name, "--data-root", str(root))
    assert code == 0, output
    assert "images_evaluation.zip: not read: the dataset was prepared from " in output


def repacked(path: Path, changed: str | None = None) -> None:
    """Pack a zip anew in another order, without compression, with one byte of one drawing changed where asked."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(contents, reverse=True):
            content = bytearray(contents[name])
            if name == changed:
                content[-1] ^= 1
            archive.writestr(name, bytes(content))


def test_verify_tells_the_drawings_from_their_packing(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root = "omniglot-official", tmp_path / "root"
    publication = publishers.PUBLICATIONS[name]
    images = [digest_of_images(published / Path(file.path).name)[0] for file in publication.files]
    files = tuple(dataclasses.replace(f, images=digest) for f, digest in zip(publication.files, images, strict=True))
    monkeypatch.setitem(publishers.PUBLICATIONS, name, dataclasses.replace(publication, files=files))
    catalog.fetch(name, root)
    repacked(root / "omniglot" / "images_background.zip")
    code, output = run("verify", name, "--data-root", str(root))
    assert code == 0, output
    assert "the same 120 drawings, each the right bytes, packed differently" in output
    catalog.fetch(name, root)  # what is there is good: nothing is asked for again
    archive = root / "omniglot" / "images_evaluation.zip"
    with zipfile.ZipFile(archive) as opened:
        victim = opened.namelist()[3]
    repacked(archive, victim)
    code, output = run("verify", name, "--data-root", str(root))
    assert code == 1
    assert "images_evaluation.zip: md5" in output
    assert "its 40 drawings are not the published ones" in output
    with pytest.raises(UserError, match=r"images_evaluation\.zip is there, but its md5 is"):
        catalog.fetch(name, root)


def test_verify_reads_drawings_that_were_unpacked(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, root = "omniglot-official", tmp_path / "root"
    publication = publishers.PUBLICATIONS[name]
    files = []
    for file in publication.files:
        path = published / Path(file.path).name
        files.append(dataclasses.replace(file, images=digest_of_images(path)[0]))
        with zipfile.ZipFile(path) as archive:
            archive.extractall(root / "omniglot")
    monkeypatch.setitem(publishers.PUBLICATIONS, name, dataclasses.replace(publication, files=tuple(files)))
    code, output = run("verify", name, "--data-root", str(root))
    assert (code, output.count("unpacked: the same")) == (0, 2), output
    next((root / "omniglot" / "images_evaluation").glob("*/*/*.png")).write_bytes(b"")
    code, output = run("verify", name, "--data-root", str(root))
    assert (code, "are not the published ones" in output) == (1, True), output


def test_images_in_two_splits_are_no_fault_of_a_dataset_that_is_as_published() -> None:
    entry = cache.SplitIndex("f", "0", (), ())
    index = cache.Index(
        1, "x", 1, "", "", False, (1, 1, 1), "abc", dict.fromkeys(SPLITS, entry), ("a (train) = b (test)",)
    )
    known, other, unknown = (
        {check.what: check for check in _check_published_contents(index, published)}
        for published in ("abc", "def", None)
    )
    double, pixels = "images in two splits", "pixels"
    assert [checks[double].ok for checks in (known, other, unknown)] == [True, False, False]
    assert known[double].finding == "1 (as published): a (train) = b (test)"
    assert (known[pixels].ok, other[pixels].ok, pixels in unknown) == (True, False, False)


def test_prepare_from_extracted_folders_gives_the_same(published: Path, tmp_path: Path) -> None:
    fetched = catalog.fetch("omniglot-official", tmp_path / "fetched")
    folders = tmp_path / "folders"
    for path in published.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folders / "omniglot-py")
    code, output = run("prepare", "omniglot-official", "--from", str(folders), "--data-root", str(tmp_path / "root"))
    assert code == 0, output
    assert fetched.fingerprint in output
    status = catalog.status("omniglot-official", tmp_path / "root")
    assert (status.state, status.fingerprint) == ("ready", fetched.fingerprint)


def test_fetch_says_what_failed_in_one_line(published: Path, tmp_path: Path) -> None:
    (published / "images_evaluation.zip").unlink()
    code, output = run("fetch", "omniglot-official", "--data-root", str(tmp_path / "root"))
    assert code == 2
    assert "images_evaluation.zip: the server answered 404" in output
    assert not (tmp_path / "root" / "omniglot" / "images_evaluation.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "omnigloth"], "did you mean 'omniglot'?"),
        (["fetch", "sinusoid"], "'sinusoid' is built in: it has no files"),
        (["prepare", "mini-imagenet", "--from", "/nowhere"], "there is nothing at /nowhere"),
        (["prepare", "omniglot", "--from", "."], "lacks images_background.zip, images_evaluation.zip"),
        (["prepare", "omniglot", "--from", ".", "--lists", "."], "omniglot has no lists"),
        (["show", "sinusoid", "--split", "dev"], "--split: got 'dev'; use one of train, val, test"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    code, output = run(*arguments, "--data-root", str(tmp_path))
    assert code == 2
    assert message in output
    assert len(output.strip().splitlines()) == 1


def test_sinusoids_are_drawn_as_curves(tmp_path: Path) -> None:
    code, output = run("show", "sinusoid", "--shots", "10", "--queries", "20", "--out", str(tmp_path / "curves.png"))
    assert code == 0, output
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (900, 300)


def test_fetch_says_that_cifar_fs_comes_as_cifar_100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object) -> None:
        raise UserError("no server")

    monkeypatch.setattr(catalog, "fetch", stop)
    code, output = run("fetch", "cifar-fs", "--data-root", str(tmp_path))
    assert code == 2
    assert "a file host without direct downloads; this is CIFAR-100's, of the same images" in output
    assert "file host" not in run("fetch", "fc100", "--data-root", str(tmp_path))[1]


def test_a_prepared_cache_outlives_other_files(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    catalog.prepare("omniglot-official", published, root)
    (root / "omniglot").mkdir(parents=True)
    make_part(root / "omniglot" / "images_background.zip", {"Q": 1})
    make_part(root / "omniglot" / "images_evaluation.zip", {"Q": 1})
    assert catalog.status("omniglot-official", root).state == "ready"


def test_incomplete_sets_are_named(published: Path, tmp_path: Path) -> None:
    make_part(published / "images_background.zip", dict.fromkeys("ABCDE", 1))
    with pytest.raises(UserError, match="holds 5 characters, but images_background has 6"):
        catalog.prepare("omniglot-official", published, tmp_path / "root")


def test_a_missing_drawing_is_named(published: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(published / "images_evaluation.zip") as archive:
        archive.extractall(tmp_path / "folders")
        (tmp_path / "folders" / archive.namelist()[0]).unlink()
    (published / "images_background.zip").rename(tmp_path / "folders" / "images_background.zip")
    with pytest.raises(UserError, match="holds 19 drawings of Y/character01, but each character has 20"):
        catalog.prepare("omniglot-official", tmp_path / "folders", tmp_path / "root")


def test_splits_are_disjoint_and_upright(published: Path, tmp_path: Path) -> None:
    dataset = catalog.fetch("omniglot-official", tmp_path / "root")
    assert isinstance(dataset, ImageDataset)
    ids = [set(dataset.pools[split].class_ids.tolist()) for split in SPLITS]
    assert [len(i) for i in ids] == [1, 5, 2]
    assert len(set().union(*ids)) == 8
