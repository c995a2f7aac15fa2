"""Cells on a Ray cluster of two nodes on this machine: one store, the same bytes, whatever happens to a node."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench
from bench.execution.events import Event, Failed, Finished, Planned, Progressed, Started
from bench.execution.ray import Ray
from bench.process.plugins import import_plugins
from bench.reproducibility.diff import differences
from bench.store.store import Store
from datasets import UserError
from tests.bench.execution.cluster.helpers import SLOW, cells_at_work, marked_processes, slow_grid
from tests.bench.helpers import ROOT, is_whole, statuses, tables, tiny

pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


QUIETLY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # 15 by default: beside other tests the cells would hardly get a processor
}


class TwoNodes:
    """A head without processors, on which the run is, and two nodes with one each."""

    def __init__(self) -> None:
        cluster_utils = importlib.import_module("ray.cluster_utils")
        self.ray = importlib.import_module("ray")
        self.cluster = cluster_utils.Cluster()
        options = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
        self.cluster.add_node(num_cpus=0, **options)
        self.nodes = [self.cluster.add_node(num_cpus=1, **options) for _ in range(2)]
        self.ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")

    def lose_one(self) -> None:
        """Kill a node with all of its processes."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def replace_one(self) -> None:
        """Give the cluster its second node back."""
        if len(self.nodes) < 2:
            self.nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20))

    def end(self) -> None:
        self.ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    with marked_processes(**QUIETLY):
        nodes = TwoNodes()
        yield nodes
        nodes.end()


@pytest.fixture
def cluster(two_nodes: TwoNodes) -> TwoNodes:
    two_nodes.replace_one()
    return two_nodes


def test_a_grid_whose_node_is_lost_ends_as_if_nothing_had_happened(
    cluster: TwoNodes, tmp_path: Path, failing: str
) -> None:
    bench.run(slow_grid(6), tmp_path / "undisturbed", jobs=2, plugins=[failing])
    events: list[Event] = []

    def losing(event: Event) -> None:
        events.append(event)
        if isinstance(event, Finished) and len(cluster.nodes) == 2:
            cluster.lose_one()

    disturbed = bench.run(slow_grid(6), tmp_path / "disturbed", plugins=[failing], cluster=Ray(), on_event=losing)
    assert len(cluster.nodes) == 1
    assert differences(tmp_path / "undisturbed", tmp_path / "disturbed") == []
    assert set(disturbed.cells["status"]) == {"ok"}
    assert is_whole(disturbed.path)
    for cell in slow_grid(6).cells():
        own = [type(event) for event in events if getattr(event, "cell", None) == cell]
        assert own[0] is Started
        assert own[-1] is Finished
        assert own.count(Started) == own.count(Finished) == 1
    board = disturbed.leaderboard
    undisturbed = bench.Results(tmp_path / "undisturbed").leaderboard
    assert board[["algorithm", "mse", "seeds"]].equals(undisturbed[["algorithm", "mse", "seeds"]])


def test_a_cell_that_no_node_survives_is_a_row(cluster: TwoNodes, out: Path, failing: str) -> None:
    """The Ray process that waits for the cell is killed each time."""

    def killing(event: Event) -> None:
        if isinstance(event, Started):
            for process in psutil.process_iter(["cmdline"]):
                if (process.info["cmdline"] or [""])[0].startswith("ray::_task"):
                    process.kill()

    import_plugins([failing])
    grid = tiny(algorithms=["sleeps"])
    results = bench.run(grid, out, plugins=[failing], cluster=Ray(retries=0), on_event=killing)
    (row,) = results.cells.to_dict("records")
    assert row["status"] == "killed"
    assert row["message"].startswith("its node or Ray process was lost 1 times (")
    assert cells_at_work() == []


def test_cells_end_on_a_node_as_they_end_here(cluster: TwoNodes, out: Path, failing: str) -> None:
    import_plugins([failing])
    grid = tiny(algorithms=["maml", "raises", "killed"])
    for attempt in (1, 2):
        events: list[Event] = []
        results = bench.run(grid, out, plugins=[failing], cluster=Ray(), on_event=events.append)
        assert statuses(out) == {"maml": "ok", "raises": "error", "killed": "killed"}
        told = {event.cell.algorithm: event.failure for event in events if isinstance(event, Failed)}
        assert told["raises"].message.startswith("KeyError: 'a mistake in")
        assert "outer_step" in told["raises"].traceback
        for cell in grid.cells()[1:]:
            assert Store(out).failure(cell) == told[cell.algorithm]
            assert told[cell.algorithm].attempt == attempt
    assert isinstance(events[0], Planned)
    assert [cell.algorithm for cell in events[0].finished] == ["maml"]
    assert results.cells.set_index("algorithm").loc["maml", "jobs"] == 1


def test_a_cell_over_its_time_on_a_node_is_ended(cluster: TwoNodes, out: Path, failing: str) -> None:
    import_plugins([failing])
    (cell,) = tiny(algorithms=["sleeps"]).cells()
    bench.run(tiny(algorithms=["sleeps"]), out, plugins=[failing], timeout=1.5, cluster=Ray())
    failure = Store(out).failure(cell)
    assert failure is not None
    assert (failure.kind, failure.message, failure.attempt) == ("timeout", "over the time limit of 1.5 s", 1)


def test_an_interruption_cancels_what_runs_and_leaves_nothing(cluster: TwoNodes, out: Path, failing: str) -> None:
    def interrupting(event: Event) -> None:
        if isinstance(event, Progressed):
            raise KeyboardInterrupt

    import_plugins([failing])
    grid = tiny(algorithms=["waits"], seeds=[0, 1, 2], train=SLOW | {"episodes": 40_000})  # minutes
    with pytest.raises(KeyboardInterrupt):
        bench.run(grid, out, plugins=[failing], cluster=Ray(), on_event=interrupting)
    assert cells_at_work() == []
    assert list((out / "cells").glob("[!.]*")) == []
    bench.run(slow_grid(3), out, plugins=[failing], cluster=Ray())
    assert len(tables(out)) == 3


def test_data_that_a_node_lacks_is_a_row_with_the_command_that_fetches_it(
    cluster: TwoNodes, out: Path, tmp_path: Path
) -> None:
    grid = tiny(datasets=[{"name": "omniglot-small", "shots": [1]}])
    (row,) = bench.run(grid, out, data_root=tmp_path, cluster=Ray()).cells.to_dict("records")
    assert row["status"] == "skipped"
    assert row["message"].startswith("data not found: omniglot-small needs ")


def test_no_more_than_jobs_cells_are_with_the_cluster(cluster: TwoNodes, out: Path, failing: str) -> None:
    at_work = most = 0

    def counting(event: Event) -> None:
        nonlocal at_work, most
        at_work += isinstance(event, Started) - isinstance(event, Finished)
        most = max(most, at_work)

    bench.run(slow_grid(3), out, jobs=1, plugins=[failing], cluster=Ray(), on_event=counting)
    assert most == 1


# without a cluster


ADDRESSES = {
    "127.0.0.1:1": "no cluster answers at '127.0.0.1:1'",
    "ray://127.0.0.1:10001": "use host:port",
    "host:port": "use host:port",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_cluster_that_does_not_answer_is_a_users_mistake(out: Path, address: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.import_module("ray"), "is_initialized", lambda: False)
    with pytest.raises(UserError, match=ADDRESSES[address]):
        bench.run(tiny(), out, cluster=Ray(address))


def test_ray_does_not_start_its_processes_in_a_copy_of_the_working_folder() -> None:
    """Under ``uv run`` it would, and removes the copy while they are in it."""
    code = "import bench.execution.ray as ours; ours._library(); import ray._private.ray_constants as ray; "
    code += "print(ray.RAY_ENABLE_UV_RUN_RUNTIME_ENV)"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain, cwd=ROOT)
    assert done.stdout == "False\n"
