"""Cells in processes of their own: however one ends, it becomes a row of its kind and the rest of the grid goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench
from bench.execution import local
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, Finished, Planned, Progressed, Started
from bench.execution.local import LocalExecutor
from bench.process.plugins import import_plugins
from bench.process.resources import available_cpus
from bench.spec.cell import Cell
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import environment, is_whole, statuses, tables, tiny

KINDS = {
    "raises": ("error", "KeyError: 'a mistake in"),
    "diverges": ("nan", "Diverged: the training loss is nan at outer step 3"),
    "hungry": ("oom", "MemoryError: 1 TiB was wanted"),
    "killed": ("killed", "killed by SIGKILL"),
    "exits": ("killed", "exit code 3"),
}


def execute(cells: list[Cell], out: Path, plugin: str = "", **options: Any) -> list[Event]:
    """Run cells into a new store; returns what was told."""
    store = Store(out)
    store.create()
    events: list[Event] = []
    plugins = (plugin,) if plugin else ()
    LocalExecutor(RunCell(store), Path("/nowhere"), plugins=plugins, **options).run(cells, events.append)
    return events


def cells_of(plugin: str, *algorithms: str, **changes: Any) -> list[Cell]:
    import_plugins([plugin])
    return tiny(algorithms=list(algorithms), **changes).cells()


def failure_of(out: Path, cell: Cell) -> Failure:
    found = Store(out).failure(cell)
    assert found is not None
    return found


def test_a_cell_gives_a_result_and_events_in_order(out: Path) -> None:
    train = {"episodes": 80, "n_query": 2, "eval_every": 2}
    cells = tiny(train=train, seeds=[0, 1]).cells()
    events = execute(cells, out)
    for cell in cells:
        own = [event for event in events if getattr(event, "cell", None) == cell]
        assert isinstance(own[0], Started)
        assert [(one.progress.done, one.progress.total) for one in own if isinstance(one, Progressed)] == [
            (10, 20),
            (20, 20),
        ]
        assert isinstance(own[-1], Finished)
        row = Store(out).rows().set_index("cell").loc[cell.id]
        assert own[-1].score == row["test_mse"]
        assert own[-1].seconds > 0
        assert row["peak_mib"] > row["peak_rise_mib"] >= 0
        assert row["cell_seconds"] > 0
        assert row["jobs"] == 1
    assert is_whole(out)


def test_every_way_to_fail_is_a_row_of_its_kind_and_the_rest_goes_on(out: Path, failing: str) -> None:
    cells = cells_of(failing, *KINDS, "maml")
    events = execute(cells, out, failing, jobs=2)
    assert statuses(out) == {"maml": "ok", **{name: kind for name, (kind, _) in KINDS.items()}}
    assert is_whole(out)
    told = {event.cell.algorithm: event.failure for event in events if isinstance(event, Failed)}
    for cell in cells[:-1]:
        kind, message = KINDS[cell.algorithm]
        found = failure_of(out, cell)
        assert found == told[cell.algorithm]
        assert found.kind == kind
        assert message in found.message
        assert "\n" not in found.message
        assert found.attempt == 1
        assert found.elapsed_seconds > 0
        if kind == "killed":
            assert found.traceback == ""
        else:
            assert "Traceback" in found.traceback
            assert "outer_step" in found.traceback or kind == "nan"
            assert found.peak_mib is not None
            assert found.peak_mib > 50


@pytest.mark.parametrize("algorithm", ["sleeps", "stubborn"])
def test_a_cell_over_its_time_is_ended_even_if_it_does_not_want_to(
    out: Path, failing: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.5)
    before = _cells_at_work()
    events = execute(cells_of(failing, algorithm, "maml"), out, failing, timeout=6)
    assert statuses(out) == {algorithm: "timeout", "maml": "ok"}
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.failure.message == "over the time limit of 6 s"
    assert failed.failure.elapsed_seconds >= 6
    assert _cells_at_work() == before


def test_attempts_are_counted_and_a_later_result_ends_the_count(out: Path, failing: str, tmp_path: Path) -> None:
    settings = [{"set": {"meta_batch": 4}}, {"algorithms": ["fails-once"], "set": {"flag": str(tmp_path / "flag")}}]
    once, always = cells_of(failing, "fails-once", "raises", settings=settings)
    execute([once, always], out, failing)
    assert (failure_of(out, once).attempt, failure_of(out, always).attempt) == (1, 1)
    execute([once, always], out, failing)
    assert Store(out).has_result(once)
    assert failure_of(out, always).attempt == 2
    execute([always], out, failing)
    assert failure_of(out, always).attempt == 3


def test_a_skip_is_not_an_attempt(out: Path, failing: str) -> None:
    (cell,) = cells_of(failing, "raises")
    Store(out).create()
    Store(out).write_failure(cell, Failure("skipped", "no data"))
    execute([cell], out, failing)
    assert failure_of(out, cell).attempt == 1


def test_results_do_not_depend_on_how_many_cells_are_at_work(tmp_path: Path) -> None:
    cells = tiny(algorithms=["maml", "reptile", "finetune"], seeds=[0, 1]).cells()
    execute(cells, tmp_path / "one", jobs=1)
    execute(cells[::-1], tmp_path / "three", jobs=3)
    for name in ("episodes.parquet", "curve.parquet", "weights.safetensors"):
        assert tables(tmp_path / "one", name) == tables(tmp_path / "three", name)
    assert len(tables(tmp_path / "one")) == 6


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_no_more_than_jobs_cells_are_at_work(out: Path, jobs: int) -> None:
    cells = tiny(seeds=[0, 1, 2, 3]).cells()
    at_work = most = 0
    for event in execute(cells, out, jobs=jobs):
        at_work += isinstance(event, Started) - isinstance(event, Finished)
        most = max(most, at_work)
    assert most == jobs


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_ends_the_cells_and_leaves_nothing_of_them(
    out: Path, failing: str, interruption: type[BaseException]
) -> None:
    before = _cells_at_work()
    store = Store(out)
    store.create()

    def interrupting(event: Event) -> None:
        if isinstance(event, Finished):
            raise interruption

    executor = LocalExecutor(RunCell(store), Path("/nowhere"), jobs=2, plugins=(failing,))
    with pytest.raises(interruption):
        executor.run(cells_of(failing, "sleeps", "maml"), interrupting)
    assert statuses(out) == {"maml": "ok"}
    assert is_whole(out)
    assert _cells_at_work() == before


INTERRUPTED_START = """
import multiprocessing.forkserver as server, os, signal, sys
from pathlib import Path
from bench.execution.local import LocalExecutor
from bench.execution.cell_process import RunCell
from bench.store.store import Store
from tests.bench.helpers import one_cell

signal.signal(signal.SIGINT, signal.default_int_handler)
connect = server.connect_to_new_process

def interrupted(*arguments):
    pipes = connect(*arguments)
    os.kill(os.getpid(), signal.SIGINT)  # the new process has not been told yet what to do
    return pipes

server.connect_to_new_process = interrupted
store = Store(sys.argv[1])
store.create()
try:
    LocalExecutor(RunCell(store), Path("/nowhere")).run([one_cell()], lambda event: None)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_while_a_cell_starts_leaves_no_half_started_process(out: Path) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", INTERRUPTED_START, str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=environment(), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
    assert not list((out / "cells").iterdir())


def test_nothing_to_do_is_done_at_once(out: Path) -> None:
    assert execute([], out) == []


def test_a_cells_process_ignores_ctrl_c_and_its_run_does_not(out: Path, failing: str) -> None:
    """As a terminal does, the signal goes to everyone: to the cells, and to the run after them."""
    sent: list[int] = []

    def at_progress(event: Event) -> None:
        if isinstance(event, Progressed) and not sent:
            for process in psutil.Process().children(recursive=True):
                if "forkserver" in " ".join(process.cmdline()):
                    sent.append(process.pid)
                    process.send_signal(signal.SIGINT)

    store = Store(out)
    store.create()
    cells = cells_of(failing, "waits", train={"episodes": 80, "n_query": 2, "eval_every": 10})
    LocalExecutor(RunCell(store), Path("/nowhere"), plugins=(failing,)).run(cells, at_progress)
    assert len(sent) >= 2  # the fork server and the cell
    assert statuses(out) == {"waits": "ok"}


def _cells_at_work() -> int:
    """Processes of cells that are still there; those that were just ended get a moment to be gone."""

    def count() -> int:
        servers = [p for p in psutil.Process().children() if "forkserver" in " ".join(p.cmdline())]
        return sum(len(server.children()) for server in servers)

    deadline = time.monotonic() + 5
    while count() and time.monotonic() < deadline:
        time.sleep(0.05)
    return count()


# bench.run: the same, with the store's memory


def test_a_run_gives_what_was_planned_and_what_came_of_it(out: Path) -> None:
    events: list[Event] = []
    results = bench.run(tiny(algorithms=["maml", "finetune"]), out, on_event=events.append)
    planned = events[0]
    assert isinstance(planned, Planned)
    assert [cell.algorithm for cell in planned.cells] == ["maml", "finetune"]
    assert planned.finished == ()
    assert results.path == out
    assert results.cells["status"].tolist() == ["ok", "ok"]
    assert len(results.episodes) == 2 * 4 * 3
    assert results.cells["digest.test"].nunique() == 1
    assert bench.load(out).equals(results.cells)
    (asked,) = Store(out).experiment()["grids"]
    assert asked["algorithms"] == ["maml", "finetune"]


def test_finished_cells_are_not_run_again(out: Path) -> None:
    bench.run(tiny(), out)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("cells/*/*")}
    events: list[Event] = []
    bench.run(tiny(seeds=[0, 1]), out, on_event=events.append)
    assert [event.cell.seed for event in events if isinstance(event, Started)] == [1]
    planned = events[0]
    assert isinstance(planned, Planned)
    assert [cell.seed for cell in planned.finished] == [0]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before


def test_failed_cells_are_tried_again(out: Path, failing: str) -> None:
    import_plugins([failing])
    grid = tiny(algorithms=["raises", "maml"])
    for attempt in (1, 2):
        results = bench.run(grid, out, plugins=[failing])
        assert dict(zip(results.cells["algorithm"], results.cells["status"], strict=True)) == {
            "maml": "ok",
            "raises": "error",
        }
        (cell,) = [cell for cell in grid.cells() if cell.algorithm == "raises"]
        assert failure_of(out, cell).attempt == attempt


def test_a_changed_specification_is_a_different_cell(out: Path) -> None:
    bench.run(tiny(), out)
    changed = tiny(settings=[{"set": {"meta_batch": 4, "test_steps": 3}}])
    results = bench.run(changed, out, other_settings="beside")
    assert len(results.cells) == 2
    assert results.cells["cell"].nunique() == 2


def test_missing_data_is_a_row_with_the_command_that_fetches_it(out: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    grid = tiny(datasets=[{"name": "omniglot-small", "shots": [1]}, {"name": "sinusoid", "shots": [5]}])
    events: list[Event] = []
    results = bench.run(grid, out, data_root=tmp_path / "data", on_event=events.append)
    assert dict(zip(results.cells["dataset"], results.cells["status"], strict=True)) == {
        "omniglot-small": "skipped",
        "sinusoid": "ok",
    }
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.failure.message.startswith("data not found: omniglot-small needs ")
    assert "python -m bench data fetch omniglot-small" in failed.failure.message
    assert is_whole(out)


def test_a_shape_that_cannot_be_sampled_is_said_before_anything_runs(out: Path) -> None:
    for use, words in (
        ({"name": "glyphs", "ways": [5000], "shots": [1]}, "5000-way episodes need 5000 classes"),
        ({"name": "glyphs", "shots": [30]}, "30 shots"),
    ):
        with pytest.raises(UserError, match=words):
            bench.run(tiny(datasets=[{"name": "sinusoid", "shots": [5]}, use]), out)
        assert not out.exists()


@pytest.mark.parametrize("device", ["quantum", "cuda:77", "", "meta"])
def test_a_device_that_cannot_be_used_is_said_before_anything_runs(out: Path, device: str) -> None:
    with pytest.raises(UserError, match=rf"device: cannot use '{device}'.*doctor"):
        bench.run(tiny(), out, device=device)
    assert not out.exists()


@pytest.mark.parametrize("jobs", [0, -1])
def test_a_run_needs_a_job(out: Path, jobs: int) -> None:
    with pytest.raises(UserError, match=f"jobs.*{jobs}"):
        bench.run(tiny(), out, jobs=jobs)


def test_a_data_root_that_is_no_folder_is_a_users_mistake(out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data_root: .* is not a folder"):
        bench.run(tiny(), out, data_root=tmp_path / "file")
    assert not out.exists()


@pytest.mark.parametrize("module", ["nowhere_to_be_found", "nowhere.deeper", "nowhere/file.py", ".relative", "a..b"])
def test_a_plugin_that_is_not_there_is_a_users_mistake(out: Path, module: str) -> None:
    with pytest.raises(UserError, match=f"'{module}'"):
        bench.run(tiny(), out, plugins=[module])
    assert not out.exists()


def test_a_plugin_whose_own_import_fails_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("import something_that_it_needs")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="something_that_it_needs"):
        import_plugins(["broken_plugin"])


def test_the_defaults_of_this_machine_are_its_processors() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
