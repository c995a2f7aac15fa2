"""Reading straight from folders, zips and tars: the same files, and hostile or damaged archives refused by name."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.errors import BadData
from datasets.storage import tree
from datasets.storage.tree import open_tree

FILES = {"a/1.png": b"one", "a/2.png": b"two", "b.txt": b"three" * 50}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {".zip": make_zip, ".tar": make_tar, "": make_folder}


def read_all(path: Path) -> dict[str, bytes]:
    with open_tree(path) as opened:
        return {name: opened.read(name) for name in opened.sizes}


@pytest.mark.parametrize("suffix", MAKERS)
def test_every_kind_reads_the_same(suffix: str, tmp_path: Path) -> None:
    path = MAKERS[suffix](tmp_path / f"files{suffix}", FILES)
    assert read_all(path) == FILES
    with open_tree(path) as opened:
        assert opened.sizes == {name: len(content) for name, content in FILES.items()}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/etc/passwd", "c:/x.png", "a\\..\\x.png"])
def test_a_name_that_leaves_the_folder_is_refused(suffix: str, name: str, tmp_path: Path) -> None:
    path = MAKERS[suffix](tmp_path / f"files{suffix}", {"good.png": b"", name: b"bad"})
    with pytest.raises(BadData, match="leaves the folder") as caught:
        read_all(path)
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "files.tar", "w") as archive:
        member = tarfile.TarInfo("sly.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BadData, match=r"'sly\.png', which is a link or a device"):
        read_all(tmp_path / "files.tar")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "files.zip", "w") as archive:
        member = zipfile.ZipInfo("sly.png")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BadData, match=r"'sly\.png', which is a link or a device"):
        read_all(tmp_path / "files.zip")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_name_that_stands_twice_is_refused(suffix: str, tmp_path: Path) -> None:
    path = MAKERS[suffix](tmp_path / f"files{suffix}", {"a/x.png": b"1", "./a/x.png": b"2"})
    with pytest.raises(BadData, match=r"'a/x\.png' twice"):
        read_all(path)


@pytest.mark.parametrize("suffix", MAKERS)
def test_a_bomb_is_not_read(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_MEMBER_BYTES", 1000)
    path = MAKERS[suffix](tmp_path / f"files{suffix}", {"bomb.png": bytes(1001)})
    with pytest.raises(BadData, match=r"'bomb\.png' .* 1,001 bytes"):
        read_all(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_truncated_archive_is_named(suffix: str, tmp_path: Path) -> None:
    path = MAKERS[suffix](tmp_path / f"files{suffix}", {"a.png": np.random.default_rng(0).bytes(2000)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadData, match=f"files{suffix}"):
        read_all(path)


def test_a_tar_cut_while_it_is_open_is_named(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "files.tar", {"a.png": bytes(20_000), "b.png": bytes(20_000)})
    with open_tree(path) as opened:
        path.write_bytes(path.read_bytes()[:25_000])
        with pytest.raises(BadData, match=r"files\.tar is damaged at 'b\.png'"):
            opened.read("b.png")


def test_a_compressed_tar_asks_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "files.tar.gz").write_bytes(b"")
    with pytest.raises(BadData, match="unpack it"):
        read_all(tmp_path / "files.tar.gz")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_archives_are_read_or_refused(suffix: str, edits: list[tuple[float, int]], tmp_path: Path) -> None:
    """Whatever the damage: the files, or BadData; never another error and never a file written."""
    path = MAKERS[suffix](tmp_path / f"fuzzed{suffix}", FILES)
    content = bytearray(path.read_bytes())
    for where, value in edits:
        content[int(where * len(content))] = value
    path.write_bytes(content)
    told = f"{path} was read"
    try:
        read_all(path)
    except BadData as error:
        told = str(error)
    assert str(path) in told
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    path.unlink()


def _tar_of_headers(path: Path) -> tuple[Path, list[int]]:
    """A tar of three files, and where their headers are."""
    make_tar(path, FILES)
    with tarfile.open(path) as archive:
        return path, [member.offset for member in archive.getmembers()]


@pytest.mark.parametrize("member", [1, 2])
def test_one_flipped_bit_in_a_members_header_is_refused(member: int, tmp_path: Path) -> None:
    path, headers = _tar_of_headers(tmp_path / "files.tar")
    content = bytearray(path.read_bytes())
    content[headers[member] + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadData, match=rf"files\.tar is cut or damaged after {member} members"):
        read_all(path)


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_tar_without_its_end_is_refused(blocks: int, tmp_path: Path) -> None:
    """Cut between members or behind the last one, where the library finds nothing amiss."""
    path, headers = _tar_of_headers(tmp_path / "files.tar")
    whole = path.read_bytes()
    path.write_bytes(whole[: headers[2]] + bytes(512 * blocks))
    with pytest.raises(BadData, match="cut or damaged after 2 members"):
        read_all(path)
    path.write_bytes(whole[: headers[2]] + bytes(1024) + whole[headers[2] :])  # a hole that looks like the end
    with pytest.raises(BadData, match=r"holds more after its end, behind 2 members"):
        read_all(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), keep=st.floats(0.1, 1))
def test_a_damaged_tar_is_never_read_short(where: float, bit: int, keep: float, tmp_path: Path) -> None:
    """One flipped bit and a cut: the same names as before with as many bytes, or BadData."""
    path = make_tar(tmp_path / "fuzzed.tar", FILES)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    path.write_bytes(content[: int(keep * len(content))])
    try:
        found = {name: len(data) for name, data in read_all(path).items()}
    except BadData:
        found = {name: len(data) for name, data in FILES.items()}
    assert found == {name: len(data) for name, data in FILES.items()}


@pytest.mark.parametrize("comment", [b"", b"made by hand"])
def test_a_zip_that_lists_fewer_than_it_announces_is_refused(comment: bytes, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "files.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert read_all(path) == FILES
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\5\6")
    content[end + 10] += 1
    path.write_bytes(content)
    with pytest.raises(BadData, match="lists 3 of 4 members"):
        read_all(path)


def test_a_zip_of_many_members_is_counted_in_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = make_zip(tmp_path / "files.zip", FILES)
    assert b"PK\6\6" in path.read_bytes()
    assert read_all(path) == FILES


@pytest.mark.parametrize("target", [".", "/", "..", "a"])
def test_a_link_to_a_folder_is_refused_and_not_followed(target: str, tmp_path: Path) -> None:
    path = make_folder(tmp_path / "files", FILES)
    (path / "sly").symlink_to(target)
    with pytest.raises(BadData, match=r"files/sly is a symbolic link to a folder, which is not followed"):
        read_all(path)


def test_a_link_to_a_file_is_the_file_and_one_to_nowhere_is_named(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "files", FILES)
    (path / "linked.png").symlink_to("a/1.png")
    assert read_all(path) == FILES | {"linked.png": b"one"}
    (path / "broken.png").symlink_to("nowhere")
    with pytest.raises(BadData, match=r"broken\.png is a symbolic link that leads nowhere"):
        read_all(path)


def test_a_pipe_or_device_in_a_folder_is_named(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "files", FILES)
    os.mkfifo(path / "a" / "pipe.png")
    with pytest.raises(BadData, match=r"a/pipe\.png is a named pipe \(FIFO\)"):
        read_all(path)
    (path / "a" / "pipe.png").unlink()
    (path / "a" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(BadData, match=r"a/zero\.png is a device"):
        read_all(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_pipe_in_an_archives_place_is_named(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"files{suffix}")
    with pytest.raises(BadData, match=rf"files{suffix} is a named pipe \(FIFO\), but must be a regular file"):
        read_all(tmp_path / f"files{suffix}")


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "files", FILES)
    (path / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    with pytest.raises(BadData, match=r"files/a holds 'caf\\udce9\.png', a name that is not UTF-8"):
        read_all(path)
    with tarfile.open(tmp_path / "files.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("caf\xe9.png"))
    with pytest.raises(BadData, match=r"files\.tar holds 'caf\\udce9\.png', a name that is not UTF-8"):
        read_all(tmp_path / "files.tar")


@pytest.mark.parametrize("shut", ["a", "a/1.png"])
def test_what_may_not_be_read_is_named(shut: str, tmp_path: Path, without_rights: Callable[[Path], None]) -> None:
    path = make_folder(tmp_path / "files", FILES)
    without_rights(path / shut)
    with pytest.raises(
        BadData, match=rf"files/{shut} cannot be read: Permission denied; fix the file or its permissions"
    ):
        read_all(path)
