"""Runs in TensorBoard and MLflow, read back from their files."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.execution.events import Abandoned, Failed, Progressed, Started, ignore
from bench.protocol.outcome import Progress
from bench.store.store import Failure, Store
from bench.tracking.cells import tracking_cells
from bench.tracking.tracker import TRACKERS, TrackerName, flat
from datasets import UserError
from tests.bench.cli.test_startup import imported
from tests.bench.helpers import FAILING, GLYPHS, SINUSOID, Main, one_cell, tiny, write_grid

pytestmark = [pytest.mark.usefixtures("without_figures"), pytest.mark.filterwarnings("default")]  # of their packages


@dataclass
class Read:
    """A run that was read back: curves by name as (step, value), parameters as text, and status."""

    curves: dict[str, list[tuple[int, float]]]
    parameters: dict[str, str]
    status: str

    def last(self, name: str) -> float:
        return self.curves[name][-1][1]


def tensorboard_runs(folder: Path) -> dict[str, Read]:
    pytest.importorskip("tensorboard", reason="uv sync --extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = {}
    for place in sorted((folder / "tensorboard").iterdir()):
        events = EventAccumulator(str(place), size_guidance={"tensors": 0, "scalars": 0}).Reload()
        curves = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        text = events.Tensors("status/text_summary")[-1].tensor_proto.string_val[0].decode()
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        session = HParamsPluginData.FromString(content).session_start_info
        values = {name: getattr(value, value.WhichOneof("kind")) for name, value in session.hparams.items()}
        runs[place.name] = Read(curves, {name: str(value) for name, value in values.items()}, text)
    return runs


def mlflow_runs(folder: Path) -> dict[str, Read]:
    pytest.importorskip("mlflow", reason="uv sync --extra mlflow")
    runs = {}
    with closing(sqlite3.connect(folder / "mlflow/mlflow.db")) as data:

        def rows(what: str, run: str) -> list[Any]:
            return data.execute(f"select {what} where run_uuid = ? order by rowid", [run]).fetchall()

        for run, name in data.execute("select run_uuid, name from runs").fetchall():
            curves: dict[str, list[tuple[int, float]]] = {}
            for key, step, value in rows("key, step, value from metrics", run):
                curves.setdefault(key, []).append((step, value))
            tags = dict(rows("key, value from tags", run))
            status = ": ".join(tags[tag] for tag in ("status", "message") if tag in tags)
            runs[name] = Read(
                {k: sorted(v) for k, v in curves.items()}, dict(rows("key, value from params", run)), status
            )
            ((state,),) = rows("status from runs", run)
            assert state == {"ok": "FINISHED", "pruned": "FINISHED"}.get(tags["status"], "FAILED")
    return runs


READ = {"tensorboard": tensorboard_runs, "mlflow": mlflow_runs}


@pytest.fixture(params=TRACKERS)
def tracker(request: pytest.FixtureRequest) -> TrackerName:
    pytest.importorskip(request.param, reason=f"uv sync --extra {request.param}")
    name: TrackerName = request.param
    return name


def test_each_cell_is_a_run_with_parameters_curve_score_time_and_status(
    main: Main, tmp_path: Path, tracker: TrackerName, failing: str
) -> None:
    path = tmp_path / "mine.yaml"
    train = {"episodes": 100, "n_query": 2, "eval_every": 10}
    write_grid(path, datasets=[dict(SINUSOID), dict(GLYPHS)], train=train)
    code, out, err = main("run", path, "--import", FAILING, "--algorithms", "maml,raises", "--track", tracker)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith(f"tracked; to see it: {tracker} ")
    folder = tmp_path / "results/mine"
    runs = READ[tracker](folder)
    rows = Store(folder).rows().set_index("cell")
    assert set(runs) == set(rows.index)
    board = bench.Results(folder).leaderboard.set_index(["algorithm", "dataset"])
    for name, row in rows.iterrows():
        run = runs[str(name)]
        assert run.parameters["algorithm"] == row["algorithm"]
        assert float(run.parameters["hparams.inner_lr"]) == json.loads(row["setting"])["hparams"]["inner_lr"]
        assert (run.parameters["seed"].split(".")[0], run.parameters["dataset"]) == ("0", row["dataset"])
        assert run.last("cell/seconds") > 0
        if row["algorithm"] == "raises":
            assert run.status.startswith("error: KeyError: 'a mistake in")
            assert not [tag for tag in run.curves if tag.startswith(("val/", "test/"))]
            continue
        assert run.status == "ok"
        metric = "mse" if row["dataset"] == "sinusoid" else "accuracy_transductive"
        curves = bench.Results(folder).curves
        curve = curves[curves["cell"] == name]
        for column in ("train_loss", f"val_{metric}"):
            expected = list(zip([40, 80, 100], curve[column], strict=True))
            assert run.curves[column.replace("_", "/", 1)] == [
                (step, pytest.approx(value, rel=1e-6)) for step, value in expected
            ]
        line = board.loc[(row["algorithm"], row["dataset"])]
        for end in ("", "_low", "_high"):
            assert run.last(f"test/{metric}{end}") == pytest.approx(line[f"{metric}{end}"], rel=1e-6)
        assert run.last("cell/train_seconds") == pytest.approx(row["train_seconds"], rel=1e-6)


def test_trials_and_what_is_reported_of_them_are_runs(tmp_path: Path, tracker: TrackerName) -> None:
    done = bench.tune(
        tiny(), tmp_path, trials=2, sampler="random", pruner="none", seed=2, report_seeds=[10], jobs=1, track=tracker
    )
    runs = READ[tracker](tmp_path)
    trials = {name: run for name, run in runs.items() if "--trial" in name}
    assert len(trials) == 2
    for number, row in done.trials.set_index("trial").iterrows():
        (run,) = (run for name, run in trials.items() if name.endswith(f"--trial{number}"))
        assert run.status == "ok"
        assert float(run.parameters["hparams.inner_lr"]) == pytest.approx(row["hparam.inner_lr"], rel=1e-6)
        assert run.last("selected/mse") == pytest.approx(row["validation"], rel=1e-6)
        ((step, value),) = run.curves["val/mse"]  # the last of its two measurements is not reported to the pruner
        assert (step, value >= run.last("selected/mse")) == (8, True)
    assert len(runs) - len(trials) == 1 + (tmp_path / "reported/tuned").is_dir()


@pytest.mark.parametrize("name", TRACKERS)
@pytest.mark.parametrize("verb", ["run", "tune"])
def test_a_missing_package_is_one_line(
    main: Main, tmp_path: Path, name: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_grid(tmp_path / "mine.yaml")
    monkeypatch.setitem(sys.modules, name, None)
    for module in [module for module in sys.modules if module.startswith((f"{name}.", f"bench.tracking.{name}_runs"))]:
        monkeypatch.delitem(sys.modules, module)
    code, out, err = main(verb, "mine.yaml", "--track", name)
    assert (code, out) == (2, "")
    assert err == f"error: --track: {name} is not installed; `uv sync --extra {name}` installs it\n"
    assert not list((tmp_path / "results").rglob("cell.json"))


def test_an_unknown_tracker_is_one_line(main: Main, tmp_path: Path) -> None:
    write_grid(tmp_path / "mine.yaml")
    code, _, err = main("run", "mine.yaml", "--track", "mlfow")
    assert (code, err) == (2, "error: --track: got 'mlfow', did you mean 'mlflow'?; use one of tensorboard, mlflow\n")


def test_a_database_that_cannot_be_used_is_one_line(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="uv sync --extra mlflow")
    write_grid(tmp_path / "mine.yaml")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at.all")
    code, _, err = main("run", "mine.yaml", "--track", "mlflow")
    assert code == 2
    assert err.startswith("error: --track: MLflow at nowhere://at.all: ")
    assert err.count("\n") == 1


def test_nothing_of_a_tracker_is_imported_unless_asked(tmp_path: Path) -> None:
    names = ("bench.cli.run", "bench.cli.tune", "bench.api", "bench.tracking.cells", "bench.tracking.trials")
    modules, _ = imported(["-c", f"import {', '.join(names)}"], tmp_path)
    assert "optuna" in modules
    assert not modules & {"tensorboard", "mlflow"}


@dataclass
class Recorder:
    """A tracker in memory."""

    runs: dict[str, Recorder] = field(default_factory=dict)
    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    status: str | None = None
    view: str = "nothing"

    def begin(self, name: str, parameters: Mapping[str, object]) -> Recorder:
        self.runs[name] = Recorder()
        return self.runs[name]

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self.logged.append((step, dict(values)))

    def end(self, status: str, message: str, values: Mapping[str, float]) -> None:
        assert self.status is None
        self.status = status


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def test_validation_is_logged_while_a_cell_trains_and_each_run_ends_once(recorder: Recorder, tmp_path: Path) -> None:
    train = {"episodes": 100, "n_query": 2, "eval_every": 10}  # 25 outer steps of 4 episodes
    cells = tiny(seeds=[0, 1, 2, 3], train=train).cells()
    with suppress(KeyboardInterrupt), tracking_cells(recorder, [Store(tmp_path)], ignore) as handle:
        for cell in cells[:3]:
            handle(Started(cell))
        for step, value in ((5, None), (10, 0.5), (15, 0.5), (20, 0.25), (25, 0.125)):
            handle(Progressed(cells[0], Progress(step, 25, value)))
        handle(Progressed(cells[1], Progress(20, 25, 0.25)))  # continued: the first measurement is not known here
        handle(Abandoned(cells[1]))
        handle(Failed(cells[2], Failure("nan", "diverged")))
        handle(Failed(cells[3], Failure("skipped", "no data")))  # never started
        raise KeyboardInterrupt
    first, second, third = recorder.runs.values()
    assert first.logged == [(40, {"val/mse": 0.5}), (80, {"val/mse": 0.25}), (100, {"val/mse": 0.125})]
    assert second.logged == []
    assert [run.status for run in (first, second, third)] == ["interrupted", "interrupted", "nan"]


def test_parameters_are_those_of_the_cell() -> None:
    cell = one_cell()
    assert flat(cell.content)["hparams.test_steps"] == 2
    assert flat(cell.content)["network.hidden"] == "8"


def test_python_refuses_an_unknown_tracker(tmp_path: Path) -> None:
    name: Any = "wandb"
    with pytest.raises(UserError, match="got 'wandb'"):
        bench.run(tiny(), tmp_path, track=name)
