"""Runs under faults that are injected for real: whatever happens, the same command ends with the undisturbed results.

Each test compares with an undisturbed run byte by byte, and looks for what is left half-written.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from bench.execution.events import Event, Finished
from bench.execution.local import _context as cell_context
from bench.process.plugins import import_plugins
from bench.reproducibility.diff import differences
from bench.spec.grid import Grid
from bench.store.atomic import CannotWrite
from bench.store.store import Store
from datasets import UserError
from tests.bench import helpers
from tests.bench.helpers import PLUGINS, Faults, is_whole, tiny, write_grid
from tests.bench.store.store_writers import run_here

FORKSERVER = cell_context()  # whose server has imported everything


def run_inside(root: Path, grid: Grid, plugin: str = "", call: int = 0) -> int | str | None:
    """Run a grid in a process of its own, cells and all, that is killed in the ``call``-th step of writing.

    Returns:
        the steps that it took, why it could not go on, or None where it was killed.
    """
    ours, theirs = FORKSERVER.Pipe(duplex=False)
    with ours, theirs:
        process = FORKSERVER.Process(target=run_here, args=(root, grid, plugin, call, theirs))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        process.close()
        return ours.recv() if ours.poll() else None


def assert_same(one: Path, other: Path) -> None:
    """The same results, and nothing that a run should have removed."""
    assert differences(one, other) == []
    assert is_whole(other)
    left = [path for path in other.rglob("*") if path.name.startswith((".tmp", ".over", ".experiment"))]
    assert left == []
    for name in (".leases", ".checkpoints"):
        assert not (other / "cells" / name).exists() or not list((other / "cells" / name).iterdir())


def test_a_run_killed_at_any_step_of_writing_is_continued(tmp_path: Path, failing: str, faults: Faults) -> None:
    """The experiment, leases, checkpoints, a result and a failure: each call that touches the disk is the last once."""
    import_plugins([failing])
    grid = tiny(algorithms=["maml", "raises"], train={"episodes": 4, "n_query": 2, "eval_every": 2})
    steps = run_inside(tmp_path / "undisturbed", grid, failing)
    assert isinstance(steps, int)
    assert steps > 50
    for call in itertools.count(1, faults.stride(12)):
        out = tmp_path / f"out-{call}"
        if run_inside(out, grid, failing, call) is not None:  # it had fewer steps: a slow run renews its leases
            break
        with faults("run killed at a step of writing"):
            assert not (out / "cells").exists() or is_whole(out)
            assert isinstance(run_inside(out, grid, failing), int)
            assert_same(tmp_path / "undisturbed", out)
        shutil.rmtree(out)
    assert call > 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path, pages_left: int) -> Path:
    """Fill the disk with a file, but for some pages."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    filler.write_bytes(bytes((free.f_bavail - pages_left) * free.f_frsize))
    return filler


def test_a_run_on_a_disk_that_fills_up_at_any_page_is_continued(
    tmp_path: Path, small_disk: Path, faults: Faults
) -> None:
    grid = tiny(seeds=[0, 1])
    run_inside(tmp_path / "undisturbed", grid)
    for pages in itertools.count(0, faults.stride(6)):
        out = small_disk / f"out-{pages}"
        filler = fill(small_disk, pages)
        said = run_inside(out, grid)
        filler.unlink()
        if isinstance(said, int):
            break
        with faults("disk full after some pages"):
            assert said is not None
            assert said.startswith(f"cannot write results to {out}: No space left on device; ")
            assert not (out / "cells").exists() or is_whole(out)
            assert isinstance(run_inside(out, grid), int)
            assert_same(tmp_path / "undisturbed", out)
        shutil.rmtree(out)
    assert pages > 10
    assert_same(tmp_path / "undisturbed", out)


def test_a_full_disk_is_one_line_and_the_same_command_continues(
    tmp_path: Path, small_disk: Path, faults: Faults
) -> None:
    grid = write_grid(tmp_path / "mine.yaml", seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    with faults("disk full under the command line"):
        filler = fill(small_disk, 8)
        arguments = ("run", grid, "--out", small_disk / "out", "--jobs", "1")
        done = helpers.bench(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: cannot write results to {small_disk / 'out'}: No space left on device; what is finished is kept, "
            "and the same command continues once that is fixed\n"
        )
        filler.unlink()
        bench.run(grid, small_disk / "out", jobs=1)
        assert_same(tmp_path / "undisturbed", small_disk / "out")


def test_a_report_on_a_full_disk_is_one_line(tmp_path: Path, small_disk: Path, faults: Faults) -> None:
    bench.run(tiny(), small_disk / "out", jobs=1)
    with faults("disk full under a report"):
        fill(small_disk, 2)
        done = helpers.bench("report", small_disk / "out", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: cannot write")
        assert "No space left on device; fix that, and start the same command again\n" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_folder_that_is_read_only_is_said_and_read(tmp_path: Path, small_disk: Path, faults: Faults) -> None:
    grid = tiny(seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    out = small_disk / "out"
    bench.run(tiny(seeds=[0]), out, jobs=1)
    before = bench.load(out)
    with faults("folder made read-only"):
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        with pytest.raises(UserError, match=r"cannot write results to .*out: no permission; choose another folder"):
            bench.run(grid, out, jobs=1)
        assert bench.load(out).equals(before)
        assert len(bench.Results(out).leaderboard) == 1
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        bench.run(grid, out, jobs=1)
        assert_same(tmp_path / "undisturbed", out)


def test_a_clock_that_is_set_back_changes_nothing(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    """In the run and in its cells; and files of before are of the future."""
    grid = tiny(seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    bench.run(tiny(seeds=[0]), out, jobs=1)
    for path in out.rglob("*"):
        os.utime(path, (2**32, 2**32))
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, getattr(time, name))  # set back after the test
    monkeypatch.syspath_prepend(str(PLUGINS))
    with faults("clock set back"):
        bench.run(grid, out, jobs=1, plugins=["clock_set_back"], timeout=60, checkpoint_every=1e-9)
        assert time.time() > time.time()
        assert_same(tmp_path / "undisturbed", out)


def test_a_folder_that_is_moved_between_two_runs_is_continued(tmp_path: Path, out: Path, faults: Faults) -> None:
    grid = tiny(seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    bench.run(tiny(seeds=[0]), out, jobs=1)
    moved = tmp_path / "elsewhere/under another name"
    moved.parent.mkdir()
    with faults("folder moved"):
        out.rename(moved)
        bench.run(grid, moved, jobs=1)
        assert_same(tmp_path / "undisturbed", moved)
        assert not out.exists()


def test_a_folder_that_is_moved_during_a_run_is_said_and_continued(tmp_path: Path, out: Path, faults: Faults) -> None:
    grid = tiny(seeds=[0, 1, 2])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)

    def move(event: Event) -> None:
        if isinstance(event, Finished) and out.exists():
            out.rename(tmp_path / "moved")

    with faults("folder moved during a run"):
        with pytest.raises(CannotWrite, match=r"cannot write .*: No such file or directory; what is finished"):
            bench.run(grid, out, jobs=1, on_event=move)
        assert len(list(Store(tmp_path / "moved").folders())) == 1
        bench.run(grid, tmp_path / "moved", jobs=1)
        assert_same(tmp_path / "undisturbed", tmp_path / "moved")
