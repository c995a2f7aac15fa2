"""Fetching, verifying and listing datasets of texts, from a server on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from bench.cli.data import app
from datasets import DataNotFound, UserError, cldr_names
from datasets.core.errors import BadData
from datasets.maintenance import catalog
from datasets.maintenance.verify import verify
from datasets.storage import cache, publishers
from datasets.storage.download import DownloadError, md5_of
from tests.datasets.text.toy import write_arsc, write_banking, write_clinc

pytestmark = pytest.mark.usefixtures("user_cache")
NAMES = ("clinc150", "banking77", "arsc-small")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The three datasets in miniature on a server; returns the folder that it serves."""
    folder = tmp_path / "served"
    for write in (write_clinc, write_banking, write_arsc):
        write(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    for name in NAMES:
        publication = publishers.PUBLICATIONS[name]
        files = tuple(
            dataclasses.replace(
                file, url=f"{address}/{file.path}", md5=md5_of(folder / file.path) if file.md5 is not None else None
            )
            for file in publication.files
        )
        changed = dataclasses.replace(publication, files=files, fingerprint=None)
        monkeypatch.setitem(publishers.PUBLICATIONS, name, changed)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", NAMES)
def test_fetched_files_are_verified_and_ready(name: str, served: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(DataNotFound, match=f"run: python -m bench data fetch {name}"):
        verify(name, root)
    dataset = catalog.fetch(name, root)
    assert (
        dataset.fingerprint == catalog.managed(name).prepare(served, tmp_path / "other", None, None, None).fingerprint
    )
    checks = verify(name, root)
    assert all(check.ok for check in checks), checks
    assert "texts in two splits" in {check.what for check in checks}
    assert catalog.status(name, root).state == "ready"
    array = next(cache.folders(catalog.MANAGED[name].recipe, root)[0].glob("test-*.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert any("holds other texts than were written" in check.finding for check in verify(name, root))


def test_a_file_with_another_md5_is_not_kept(served: Path, tmp_path: Path) -> None:
    path = served / "text" / "banking77" / "test.csv"
    path.write_text(path.read_text() + "more,intent_0\n")
    with pytest.raises(DownloadError, match=r"banking77/test.csv came whole, but its md5 is"):
        catalog.fetch("banking77", tmp_path / "root")
    assert not (tmp_path / "root" / "text" / "banking77" / "test.csv").exists()


def test_what_is_missing_is_listed_and_what_cannot_be_prepared_refused(tmp_path: Path) -> None:
    output = CliRunner().invoke(app, ["list", "--data-root", str(tmp_path)], env={"COLUMNS": "200"}).output
    assert "clinc150 lacks text/clinc150/data_full.json, text/clinc150/domains.json; run: python -m" in output
    assert "and 71 more; run: python -m bench data fetch arsc-small" in output
    with pytest.raises(BadData, match=r"lacks text/banking77/train.csv; give the folder that holds the files"):
        catalog.prepare("banking77", tmp_path, tmp_path / "root")
    with pytest.raises(UserError, match="banking77 has no lists"):
        catalog.prepare("banking77", tmp_path, tmp_path / "root", lists_at=tmp_path)


@pytest.mark.skipif(find_spec("babel") is None, reason="babel is not installed: uv sync --extra text")
def test_names_are_those_of_babel() -> None:
    from babel import Locale

    assert cldr_names.find(Path("/nowhere")) is not None
    names = set(cldr_names._names(Locale("de")))
    assert {"Deutschland", "Französisch"} <= names
    assert cldr_names.script_of(cldr_names._names(Locale("ka"))) == "Georgian"
