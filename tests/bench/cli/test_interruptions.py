"""Whole runs that are killed, interrupted or shared: the same command ends with the undisturbed results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from bench import api
from bench.execution.events import Elsewhere, EndedElsewhere, Event, Started
from bench.process.plugins import import_plugins
from tests.bench.conftest import _plugin
from tests.bench.helpers import FAILING, command, environment, is_whole, statuses, tables, write_grid


def slow_grid(path: Path) -> Path:
    """Six cells of a bit less than half a second."""
    train = {"episodes": 60, "n_query": 2, "eval_every": 10}
    return write_grid(path, algorithms=["waits"], seeds=[0, 1, 2, 3, 4, 5], train=train)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of the slow grid, run without interruption with one job."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        for module in _plugin(FAILING, patch):
            import_plugins([module])
            api.run(slow_grid(folder / "slow.yaml"), folder / "out", jobs=1, plugins=[module])
    return tables(folder / "out")


def start(folder: Path, jobs: str = "2", **changes: str) -> subprocess.Popen[str]:
    grid = slow_grid(folder / "slow.yaml")
    return subprocess.Popen(
        command("run", grid, "--import", FAILING, "--out", folder / "out", "--jobs", jobs),
        cwd=folder,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in background
    )


def after_lines(process: subprocess.Popen[str], word: str, count: int) -> None:
    """Wait until the run has printed ``count`` lines with ``word``."""
    assert process.stdout is not None
    for line in process.stdout:
        count -= word in line
        if count == 0:
            return
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


@pytest.mark.usefixtures("failing")
def test_a_run_that_is_killed_and_one_that_is_interrupted_are_continued_with_the_same_results(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    process = start(tmp_path, PYTHONHASHSEED="3")
    after_lines(process, " ok ", 1)
    process.kill()
    process.communicate()
    _wait_until_gone(process.pid)
    killed = tables(tmp_path / "out")
    assert 1 <= len(killed) < 6
    assert is_whole(tmp_path / "out")

    # what the standard library leaves open when it is interrupted is not ours to say
    process = start(tmp_path, jobs="1", PYTHONHASHSEED="4", PYTHONWARNINGS="ignore")
    after_lines(process, f"6 cells, {len(killed)} finished before", 1)
    after_lines(process, " ok ", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole process group
    _, err = process.communicate(timeout=300)
    expected = "interrupted; what is finished is kept, the same command continues\n"
    assert (process.returncode, err) == (130, expected)
    _wait_until_gone(process.pid)
    interrupted = tables(tmp_path / "out")
    assert len(killed) < len(interrupted) < 6
    assert set(statuses(tmp_path / "out").values()) == {"ok"}
    assert is_whole(tmp_path / "out")

    import_plugins([FAILING])
    api.run(tmp_path / "slow.yaml", tmp_path / "out", plugins=[FAILING])
    assert tables(tmp_path / "out") == undisturbed
    assert is_whole(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/cells").glob(".tmp-*")] == []


@pytest.mark.usefixtures("failing")
def test_two_runs_into_one_store_at_once_end_with_one_whole_store(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    import_plugins([FAILING])
    other = start(tmp_path, jobs="1")
    after_lines(other, " started ", 1)
    events: list[Event] = []
    api.run(tmp_path / "slow.yaml", tmp_path / "out", jobs=1, plugins=[FAILING], on_event=events.append)
    out, err = other.communicate(timeout=300)
    assert (other.returncode, err) == (0, "")
    mine = [event.cell.id for event in events if isinstance(event, Started)]
    theirs = 1 + out.count(" started ")
    assert len(mine) + theirs == 6  # no cell ran twice
    assert {type(event) for event in events} >= {Elsewhere, EndedElsewhere}
    assert all(f" ok {cell} (in another run)" in out for cell in mine)
    assert tables(tmp_path / "out") == undisturbed
    assert is_whole(tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out/report/leaderboard.csv")) == 1


def _wait_until_gone(group: int) -> None:
    """Until no process of the group is left; they end by themselves when their run is gone."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("processes of an ended run are still at work")


def test_a_script_without_a_main_guard_can_call_run(tmp_path: Path) -> None:
    """Cells must not import the script that runs them: it would start the run again in each of them."""
    grid = write_grid(tmp_path / "mine.yaml")
    script = tmp_path / "script.py"
    script.write_text(f"import bench\nprint(bench.run({str(grid)!r}, 'out').cells['status'].tolist())\n")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert (done.stdout, done.stderr) == ("['ok']\n", "")
    assert done.returncode == 0
