"""Downloads from a real HTTP server on this machine, with every fault that a transfer meets."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.storage.download import DownloadError, Patience, fetch
from datasets.storage.publishers import PUBLICATIONS, Remote
from tests.datasets.faulty_server import CONTENT, MD5, QUICK, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def remote(server: Server, md5: str | None = MD5) -> Remote:
    return Remote(server.url, "omniglot/file.zip", md5)


def nothing_left(root: Path) -> bool:
    return not [path for path in (root / "omniglot").iterdir() if not path.name.endswith(".lock")]


def test_a_file_comes_whole_with_its_progress(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = fetch(remote(server), tmp_path, lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {path.name for path in target.parent.iterdir()} == {"file.zip", ".file.zip.lock"}


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch(remote(server), tmp_path)
    fetch(remote(server), tmp_path)
    assert len(server.behaviour.seen) == 1


def test_what_is_there_and_wrong_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / "file.zip").write_bytes(b"other")
    with pytest.raises(DownloadError, match=rf"file\.zip is there, but its md5 is \w+, not {MD5}; delete it"):
        fetch(remote(server), tmp_path)


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', ""])
def test_a_cut_connection_is_taken_up_again(server: Server, etag: str, tmp_path: Path) -> None:
    server.behaviour.cut_after = [1_000_000, 500_000]
    server.behaviour.etag = etag
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert server.behaviour.seen == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after = [1_000_000]
    with pytest.raises(DownloadError, match=r"1,000,000 of 3,145,728 bytes came.*1,000,000 bytes are kept"):
        fetch(remote(server), tmp_path, patience=Patience(attempts=1))
    assert not (tmp_path / "omniglot" / "file.zip").exists()
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.behaviour.seen == [None, "bytes=1000000-"]


def test_without_ranges_it_begins_anew(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after, server.behaviour.ranges = [1_000_000], False
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_a_file_that_changed_between_is_begun_anew(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after = [1_000_000]
    server.behaviour.content = CONTENT[::-1]
    with pytest.raises(DownloadError):
        fetch(remote(server, None), tmp_path, patience=Patience(attempts=1))
    server.behaviour.content, server.behaviour.etag = CONTENT, '"two"'
    assert fetch(remote(server, None), tmp_path).read_bytes() == CONTENT


def test_halves_that_nothing_vouches_for_are_not_joined(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after, server.behaviour.etag = [1_000_000], ""
    assert fetch(remote(server, None), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert server.behaviour.seen == [None, None]


def test_another_range_than_asked_for_is_not_joined(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after, server.behaviour.range_shift = [1_000_000], 7
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert server.behaviour.seen == [None, "bytes=1000000-", None]


def test_a_kept_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / ".file.zip.part").write_bytes(bytes(len(CONTENT) + 1))
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_a_kept_part_with_wrong_bytes_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    (tmp_path / "omniglot" / ".file.zip.part").write_bytes(b"wrong")
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_wrong_bytes_leave_nothing(server: Server, tmp_path: Path) -> None:
    server.behaviour.content = CONTENT[:-1] + b"\0"
    with pytest.raises(DownloadError, match=rf"came whole, but its md5 is \w+, not {MD5}; nothing was kept"):
        fetch(remote(server), tmp_path)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("claim", [1000, 0])
def test_a_wrong_or_absent_length(server: Server, claim: int, tmp_path: Path) -> None:
    server.behaviour.claim = claim
    if claim:  # the client stops at what was claimed, and the checksum tells
        with pytest.raises(DownloadError, match="md5"):
            fetch(remote(server), tmp_path)
        assert nothing_left(tmp_path)
    else:
        assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_claimed_length_that_never_comes(server: Server, tmp_path: Path) -> None:
    server.behaviour.claim, server.behaviour.ranges = len(CONTENT) + 1000, False
    with pytest.raises(DownloadError, match=r"3 attempts \(3,145,728 of 3,146,728 bytes came\)"):
        fetch(remote(server), tmp_path, patience=QUICK)
    assert not (tmp_path / "omniglot" / "file.zip").exists()


def test_a_silent_server_is_given_up_and_taken_up(server: Server, tmp_path: Path) -> None:
    server.behaviour.cut_after, server.behaviour.stall = [1_000_000], True
    start = time.monotonic()
    assert fetch(remote(server), tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert time.monotonic() - start < 4  # the server would have been silent for 5
    server.released.set()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_missing_file_is_named_at_once(server: Server, status: int, tmp_path: Path) -> None:
    server.behaviour.status = status
    with pytest.raises(DownloadError, match=rf"file\.zip: the server answered {status} .*put it at omniglot/file\.zip"):
        fetch(remote(server), tmp_path)
    assert nothing_left(tmp_path)
    assert len(server.behaviour.seen) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, status: int, tmp_path: Path) -> None:
    server.behaviour.status = status
    with pytest.raises(DownloadError, match=rf"3 attempts.*answered {status}.*nothing was kept"):
        fetch(remote(server), tmp_path, patience=QUICK)
    assert len(server.behaviour.seen) == 3
    assert nothing_left(tmp_path)


def test_no_server_is_named(tmp_path: Path) -> None:
    closed = Remote("http://127.0.0.1:9/file.zip", "omniglot/file.zip", MD5)
    with pytest.raises(DownloadError, match=r"no connection: .*refused"):
        fetch(closed, tmp_path, patience=QUICK)


def test_a_full_disk_leaves_nothing(server: Server, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # the system refuses the write, as a full disk does
    try:
        with pytest.raises(DownloadError, match=r"no room for .*File too large; nothing was kept: free some space"):
            fetch(remote(server), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert nothing_left(tmp_path)


def test_too_little_room_is_seen_beforehand(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(DownloadError, match="3,145,728 bytes are to come, but 1,000 are free"):
        fetch(remote(server), tmp_path)
    assert nothing_left(tmp_path)


def test_an_unwritable_root_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"cannot write .*choose another `data_root=`"):
        fetch(remote(server), tmp_path / "file")


def test_two_calls_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fetch(remote(server), tmp_path), range(2))
    assert first == second
    assert len(server.behaviour.seen) == 1


def test_the_publishers_are_as_the_datasets_need() -> None:
    for publication in PUBLICATIONS.values():
        assert publication.licence
        for file in publication.files:
            assert file.url.startswith("https://")
            assert file.url.endswith(Path(file.path).name)
            assert file.md5 is None or len(file.md5) == 32
