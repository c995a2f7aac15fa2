"""Searches so small that a trial takes a fraction of a second."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from bench.process.plugins import import_plugins
from bench.spec.grid import Grid
from bench.spec.tuned_file import Tuned
from bench.tuning.ledger import STATUS, Ledger, read
from bench.tuning.search import DATABASE, plans, result
from bench.tuning.spec import Budget, Method, Plan
from bench.tuning.storage import Place, place
from bench.tuning.study import StudyEvent, TrialEnded, open_study, run_study
from bench.tuning.trial import TrialOptions
from tests.bench.helpers import FAILING, ROOT, command, environment, tiny, write_grid

NOWHERE = Path("/nowhere")
QUICK = Method(sampler="random", pruner="none", heartbeat=1)
SLOW: dict[str, Any] = {"episodes": 400, "n_query": 2, "eval_every": 25}  # "waits" takes two seconds at least
SHORT: dict[str, Any] = {"episodes": 160, "n_query": 2, "eval_every": 10}  # a second at least


def plan_of(method: Method = QUICK, seed: int = 2, **changes: Any) -> Plan:
    """Return the only study of a tiny grid; with this seed no trial of a few diverges."""
    (plan,) = plans(tiny(**changes), method, seed, NOWHERE).plans
    return plan


def sqlite(out: Path) -> Place:
    """The usual storage of the experiment in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    return place(None, out / DATABASE)


def run(plan: Plan, where: Place, trials: int, plugin: str = "", jobs: int = 1, **how: Any) -> list[StudyEvent]:
    """Work on the study until it has so many trials; what was told."""
    events: list[StudyEvent] = []
    options = TrialOptions(NOWHERE, plugins=(plugin,) if plugin else (), **how)
    run_study(plan, Budget(trials), where, options, jobs, events.append).close()
    return events


def ledger(plan: Plan, where: Place) -> Ledger:
    """The study's trials in its storage."""
    with open_study(plan, where) as opened:
        return read(opened.study())


def outcome(plan: Plan, where: Place) -> Tuned:
    """Return what the study selected."""
    with open_study(plan, where) as opened:
        return result(opened, where)


def found(ledger: Ledger) -> list[tuple[dict[str, Any], list[float] | None]]:
    """Hyper-parameters and values of each slot."""
    return [(trial.params, trial.values) for trial in ledger.slots]


def slow_grid(folder: Path, train: dict[str, Any] = SLOW) -> tuple[Path, Grid]:
    """A grid of one algorithm that takes its time, as a file and as a grid; the plugin must be imported."""
    changes: dict[str, Any] = {"algorithms": ["waits"], "train": train}
    return write_grid(folder / "slow.yaml", **changes), tiny(name="slow", **changes)


def slow_plan(folder: Path, train: dict[str, Any] = SLOW, method: Method = QUICK) -> tuple[Path, Plan]:
    """Return the file of a slow grid, and its only study as worker processes plan it."""
    import_plugins([FAILING])
    path, grid = slow_grid(folder, train)
    (plan,) = plans(grid, method, 0, NOWHERE).plans
    return path, plan


def worker(grid: Path, out: Path, trials: int, *more: str, cwd: Path, **changes: str) -> subprocess.Popen[str]:
    """``python -m bench tune`` on a slow grid, started, in an environment with ``changes``."""
    arguments: Sequence[str | Path] = (
        *("tune", grid, "--out", out, "--trials", str(trials), "--heartbeat", "1", "--sampler", "random"),
        *("--pruner", "none", "--import", FAILING, *more),
    )
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in background
    )


def ended(process: subprocess.Popen[str], seconds: float = 400) -> str:
    """Return what a worker that ended well printed."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return out + err


def wait_for_a_running_trial(plan: Plan, where: Place, seconds: float = 300) -> None:
    """Until some worker has registered a trial that is still running and was measured once."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        trials = ledger(plan, where).trials
        if any(trial.state == optuna.trial.TrialState.RUNNING and "episodes" in trial.user_attrs for trial in trials):
            return
        time.sleep(0.1)
    raise AssertionError("no trial was started")


def share_six_trials(path: Path, plan: Plan, where: Place, out: Path, *more: str) -> tuple[str, Ledger]:
    """Run a study of six trials here and in a worker process together; return what the worker printed, and the ledger.

    Args:
        path: the grid's file.
        plan: its study.
        where: the storage of both.
        out: the worker's experiment.
        more: further arguments of the worker.
    """
    process = worker(path, out, 6, *more, cwd=path.parent)
    wait_for_a_running_trial(plan, where)
    mine = [event for event in run(plan, where, 6, FAILING) if isinstance(event, TrialEnded)]
    printed = ended(process)
    after = ledger(plan, where)
    assert [trial.user_attrs[STATUS] in ("ok", "nan") for trial in after.trials] == [True] * 6
    assert len({str(trial.params) for trial in after.trials}) == 6
    assert len({trial.user_attrs["worker"] for trial in after.trials}) == 2
    assert mine
    assert len(mine) + printed.count(": trial ") == 6
    return printed, after


__all__ = ["FAILING", "ROOT"]
