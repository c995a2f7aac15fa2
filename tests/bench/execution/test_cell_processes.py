"""Processes of cells: they leave no process and no file, and only the ends of long output are kept."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.execution import local
from bench.execution.captured_output import KEPT_BYTES, CapturedOutput
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, Finished
from bench.execution.local import LocalExecutor
from bench.execution.ray import SESSION_BYTES
from bench.process import scratch
from bench.process.identity import end_families, is_running
from bench.process.plugins import import_plugins
from bench.process.scratch import base_for_sockets
from bench.store.store import Store
from tests.bench.helpers import command, environment, tiny, write_grid


def execute(out: Path, plugin: str, *algorithms: str, **options: Any) -> list[Event]:
    """Run a cell of each algorithm into a new store; what was told."""
    import_plugins([plugin])
    store = Store(out)
    store.create()
    events: list[Event] = []
    cells = tiny(algorithms=list(algorithms)).cells()
    LocalExecutor(RunCell(store), Path("/nowhere"), plugins=(plugin,), **options).run(cells, events.append)
    return events


def children_in(text: str) -> list[int]:
    """The processes that the algorithms said to have started."""
    return [int(found) for found in re.findall(r"^child (\d+)$", text, re.MULTILINE)]


def gone(pid: int, seconds: float = 100) -> bool:
    """Return whether a process is gone, or is within a moment."""
    deadline = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_running(pid)


def test_a_cell_that_ends_takes_its_children_with_it(out: Path, failing: str) -> None:
    execute(out, failing, "leaves-a-child")
    (child,) = children_in(next(out.glob("cells/*/log.txt")).read_text())
    assert not is_running(child)


def test_a_cell_that_dies_takes_its_children_with_it(out: Path, failing: str) -> None:
    (failed,) = [event for event in execute(out, failing, "leaves-a-child-and-dies") if isinstance(event, Failed)]
    assert failed.failure.kind == "killed"
    (child,) = children_in(failed.failure.log)
    assert not is_running(child)


@pytest.mark.parametrize("end", ["interrupted", "abandoned"])
def test_a_cell_that_is_ended_takes_its_children_with_it(
    out: Path, failing: str, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    import_plugins([failing])
    seen: list[local._Running] = []
    start = LocalExecutor._start

    def remembered(self: LocalExecutor, *arguments: Any) -> local._Running:
        seen.append(start(self, *arguments))
        return seen[-1]

    def has_a_child() -> bool:
        return bool(seen) and bool(children_in(seen[0].printed.text()))

    monkeypatch.setattr(LocalExecutor, "_start", remembered)
    store = Store(out)
    store.create()
    executor = LocalExecutor(RunCell(store), Path("/nowhere"), plugins=(failing,))
    cells = tiny(algorithms=["leaves-a-child-and-sleeps"]).cells()
    if end == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            replace(executor, stopping=has_a_child).run(cells, lambda event: None)
    else:
        replace(executor, wanted=lambda cell: not has_a_child()).run(cells, lambda event: None)
    (child,) = children_in(seen[0].printed.text())
    assert not is_running(child)


def test_a_cell_that_prints_much_keeps_the_ends(out: Path, failing: str) -> None:
    assert isinstance(execute(out, failing, "talks")[-1], Finished)
    text = next(out.glob("cells/*/log.txt")).read_text(encoding="utf-8")
    assert text.startswith("the first line ±\nooo")
    assert text.endswith("\0the last line\n")
    total = 2**25 + len("the first line ±\nthe last line\n".encode())
    assert f"\n[{total - 2 * KEPT_BYTES} of {total} bytes that were printed are left out here]\n" in text
    assert len(text) < 2 * KEPT_BYTES + 100


@pytest.mark.parametrize("size", [0, 10, 2 * KEPT_BYTES, 2 * KEPT_BYTES + 1, 9 * KEPT_BYTES])
def test_what_is_kept_of_what_is_printed_is_bounded_meanwhile(size: int) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    printed = CapturedOutput(reader)
    content = bytes(ord("a") + number % 23 for number in range(size))
    held = 0
    with writer:
        for start in range(0, size, 2**20):
            left = memoryview(content)[start : start + 2**20]
            while left:
                left = left[os.write(writer.fileno(), left) :]
            held = max(held, len(printed._head) + len(printed._tail))
    text = printed.text()
    printed.close()
    assert held <= 4 * KEPT_BYTES
    if size <= 2 * KEPT_BYTES:
        assert text == content.decode()
    else:
        left_out = size - 2 * KEPT_BYTES
        note = f"\n[{left_out} of {size} bytes that were printed are left out here]\n"
        assert text == content[:KEPT_BYTES].decode() + note + content[-KEPT_BYTES:].decode()


def test_a_family_is_ended_to_the_last_member() -> None:
    """Also those that lead sessions of their own, start others all the time, and heed no other signal."""
    script = "trap '' INT TERM; while :; do setsid sh -c 'trap \"\" INT TERM; sleep 60 & wait' & sleep 0.02; done"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL)
    mark = f"/proc/{process.pid}/stat"
    try:
        time.sleep(0.5)
        before = _descendants(process.pid)
        end_families([process.pid])
    finally:
        process.kill()
        process.wait()
    assert len(before) > 3, mark
    assert [pid for pid in before if is_running(pid)] == []


def _descendants(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


# the command, with a TMPDIR whose path is too long for a socket


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for temporary files with a path of 130 characters."""
    folder = tmp_path / ("x" * max(1, 130 - len(str(tmp_path)) - 1))
    folder.mkdir()
    return folder


def ours(process: int) -> list[Path]:
    """The folders for sockets that this process made."""
    return [lock.parent for lock in Path("/tmp").glob("bench-run-*/lock") if _holds(process, lock)]


def _holds(process: int, lock: Path) -> bool:
    try:
        return any(lock.samefile(held) for held in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def start(grid: Path, temporary: Path, cwd: Path, *options: str) -> subprocess.Popen[str]:
    """``python -m bench run``, at work on its first cell."""
    process = subprocess.Popen(
        command("run", grid, "--out", "out", "--jobs", "1", "--import", "failing_algorithms", *options),
        cwd=cwd,
        env=environment(TMPDIR=str(temporary), PYTHONWARNINGS="ignore"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "started" in line:
            return process
    raise AssertionError(process.communicate()[1])


def test_a_command_that_is_ended_by_a_signal_leaves_nothing(tmp_path: Path, temporary: Path, failing: str) -> None:
    """SIGTERM is an interruption; after SIGKILL a folder without anything but a socket stays until the next command."""
    import_plugins([failing])
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["leaves-a-child-and-sleeps"])
    checkpointed = ("--checkpoint-every", "0")
    process = start(grid, temporary, tmp_path, *checkpointed)
    folders = ours(process.pid)
    assert len(folders) == 1
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (143, "interrupted; what is finished is kept, the same command continues\n")
    assert list(temporary.iterdir()) == []
    assert not folders[0].exists()

    process = start(grid, temporary, tmp_path, *checkpointed)
    folders = ours(process.pid)
    cells = _descendants(process.pid)
    assert len(cells) >= 2
    process.kill()
    process.communicate()
    assert [pid for pid in cells if not gone(pid)] == []
    assert list(temporary.iterdir()) == []
    assert folders[0].exists()
    scratch.remove_left()  # as the next one does before it makes its own
    assert not folders[0].exists()


def test_sockets_lie_where_their_paths_are_short(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert base_for_sockets(SESSION_BYTES) == Path("/tmp")
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert base_for_sockets(SESSION_BYTES) == Path("/var/tmp")


def test_the_folder_of_a_process_that_lives_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine, others = tmp_path / "bench-run-mine", tmp_path / "bench-run-others"
    for folder in (mine, others):
        folder.mkdir()
    scratch._hold(mine)
    (others / "lock").touch()  # which nobody holds
    (tmp_path / "bench-run-new").mkdir()  # without a lock yet
    scratch.remove_left()
    assert {path.name for path in tmp_path.iterdir()} == {"bench-run-mine", "bench-run-new"}
