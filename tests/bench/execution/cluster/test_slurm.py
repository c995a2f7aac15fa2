"""Cells as Slurm jobs, by submitit's local mode: jobs are processes of this machine, all else is as there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from bench.execution import slurm
from bench.execution.cell_process import RunCell
from bench.execution.events import Event, Failed, Finished, Started
from bench.execution.local import LocalExecutor
from bench.execution.slurm import Slurm
from bench.process.plugins import import_plugins
from bench.reproducibility.diff import differences
from bench.store.store import Store
from datasets import UserError
from tests.bench.execution.cluster.helpers import cells_there, marked, marked_processes
from tests.bench.helpers import is_whole, statuses, tiny

pytest.importorskip("submitit", reason="submitit is not installed (the extra `slurm`)")
# what submitit's processes leave open when they are cancelled is not ours to say
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HERE = Slurm(mode="local")


@pytest.fixture(autouse=True)
def _marked() -> Iterator[None]:
    with marked_processes():
        yield


def test_jobs_give_the_same_bytes_and_leave_nothing(tmp_path: Path) -> None:
    grid, events = tiny(algorithms=["maml", "reptile"]), list[Event]()
    bench.run(grid, tmp_path / "here")
    bench.run(grid, tmp_path / "there", cluster=HERE, on_event=events.append)
    assert differences(tmp_path / "here", tmp_path / "there") == []
    assert is_whole(tmp_path / "there")
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"cells", "experiment.json"}
    for cell in grid.cells():
        own = [type(event) for event in events if getattr(event, "cell", None) == cell]
        assert own == [Started, Finished]


@pytest.mark.parametrize(
    ("expected", "timeout"), [({"raises": "error", "fomaml": "skipped"}, None), ({"sleeps": "timeout"}, 1.5)]
)
def test_cells_end_in_a_job_as_they_end_here(
    expected: dict[str, str], timeout: float | None, out: Path, failing: str, tmp_path: Path
) -> None:
    import_plugins([failing])
    own = [name for name in expected if name != "fomaml"]
    nowhere = [{"name": "omniglot-small", "shots": [1], "algorithms": ["fomaml"]}] if "fomaml" in expected else []
    datasets = [{"name": "sinusoid", "shots": [5], "algorithms": own}, *nowhere]
    grid, events = tiny(algorithms=list(expected), datasets=datasets), list[Event]()
    bench.run(grid, out, plugins=[failing], timeout=timeout, data_root=tmp_path, cluster=HERE, on_event=events.append)
    assert statuses(out) == expected
    told = {event.cell.id: event.failure for event in events if isinstance(event, Failed)}
    assert told == {cell.id: Store(out).failure(cell) for cell in grid.cells()}


def test_a_job_that_cannot_run_its_cell_is_a_row(out: Path, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes do not find the plugin, which this process knows."""
    import_plugins([failing])
    monkeypatch.setenv("PYTHONPATH", str(Path(bench.__file__).parents[1]))
    (row,) = bench.run(tiny(algorithms=["waits"]), out, plugins=[failing], cluster=HERE).cells.to_dict("records")
    assert row["status"] == "error"
    assert row["message"].endswith(f"no module '{failing}' to import; it must be importable from here")


def test_an_interruption_cancels_the_jobs_and_leaves_nothing(tmp_path: Path, failing: str) -> None:
    def interrupting(event: Event) -> None:
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    import_plugins([failing])
    grid = tiny(algorithms=["maml", "sleeps"])
    with pytest.raises(KeyboardInterrupt):
        bench.run(grid, tmp_path / "out", plugins=[failing], cluster=HERE, on_event=interrupting)
    assert marked() == []  # of the jobs no process is there any more, at once
    assert statuses(tmp_path / "out") == {"maml": "ok"}
    assert is_whole(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".slurm")] == []


class Job:
    """A job that ends some looks after it was cancelled."""

    def __init__(self, looks: float) -> None:
        self.job_id, self.looks, self.cancelled = "7_1", looks, 0
        self.state = "RUNNING"

    def cancel(self, check: bool) -> None:
        self.cancelled += 1

    def done(self, force_check: bool = False) -> bool:
        self.looks -= bool(self.cancelled)
        return self.looks < 0


def cancel(job: Job, out: Path) -> None:
    """As a run on Slurm does when it is interrupted."""
    local = LocalExecutor(RunCell(Store(out)), Path("/nowhere"))
    slurm._Array(None, slurm.run_in_temporary_store, local, Store(out), lambda event: None)._cancel([job])


def test_cancelled_jobs_are_waited_for(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.01)
    job = Job(looks=3)
    cancel(job, out)
    assert (job.cancelled, job.looks) == (1, -1)


def test_a_job_that_does_not_go_is_said_with_the_command_that_ends_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(slurm, "CANCEL_SECONDS", 0.05)
    with pytest.raises(UserError, match=r"still there 0.05 s after they were cancelled; `scancel 7_1`"):
        cancel(Job(looks=1e9), out)


def test_a_job_ends_with_a_run_that_is_killed(out: Path, failing: str) -> None:
    code = (
        "import sys, bench; from bench.execution.slurm import Slurm; from bench.process.plugins import import_plugins; "
    )
    code += f"from tests.bench.helpers import tiny; import_plugins(['{failing}']); "
    code += f"bench.run(tiny(algorithms=['sleeps']), sys.argv[1], plugins=['{failing}'], cluster=Slurm(mode='local'))"
    run = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, str(out)])
    deadline = time.monotonic() + 300
    while not cells_there() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert cells_there()
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while marked() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert marked() == []


MISTAKES = {
    "parts of a GPU": (Slurm(gpus_per_cell=0.5), "whole processors and GPUs.*0.5"),
    "unknown option": (Slurm(options={"partitoin": "gpu"}, mode="local"), "partitoin"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_the_users(out: Path, name: str) -> None:
    cluster, words = MISTAKES[name]
    with pytest.raises(UserError, match=words):
        bench.run(tiny(), out, cluster=cluster)
    assert [path.name for path in out.iterdir() if path.name.startswith(".slurm")] == []


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a Slurm cluster here")
def test_a_machine_without_slurm_is_a_users_mistake(out: Path) -> None:
    with pytest.raises(UserError, match=r"cluster: .*srun"):
        bench.run(tiny(), out, cluster=Slurm())
