"""Workers in processes of their own share a study on one SQLite file; one that is killed loses nothing but time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from bench.tuning import study as study_module
from bench.tuning.ledger import STATUS
from tests.bench.tuning.helpers import (
    FAILING,
    SHORT,
    ledger,
    run,
    share_six_trials,
    slow_plan,
    sqlite,
    wait_for_a_running_trial,
    worker,
)


@pytest.mark.usefixtures("failing")
def test_two_processes_together_finish_exactly_the_trials(tmp_path: Path) -> None:
    path, plan = slow_plan(tmp_path, SHORT)
    out = tmp_path / "out"
    _, after = share_six_trials(path, plan, sqlite(out), out)
    assert all(trial.user_attrs["episodes"] == 160 for trial in after.trials if trial.user_attrs[STATUS] == "ok")
    assert (out / "tuned/waits--sinusoid-5-shot.yaml").is_file()


@pytest.mark.usefixtures("failing")
def test_a_killed_workers_trial_is_retried_once_its_heartbeat_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "POLL_SECONDS", 0.2)
    path, plan = slow_plan(tmp_path)
    out = tmp_path / "out"
    where = sqlite(out)
    first = worker(path, out, 2, cwd=tmp_path)
    wait_for_a_running_trial(plan, where)
    children = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    killed = ledger(plan, where).trials[0]
    assert killed.state == TrialState.RUNNING
    run(plan, where, 2, FAILING)
    after = ledger(plan, where)
    assert [trial.state for trial in after.slots] == [TrialState.COMPLETE] * 2
    assert [trial.state for trial in after.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert after.repeated == {0}
    assert after.slots[0].params == killed.params
    assert after.slots[0].system_attrs["failed_trial"] == 0
    assert after.episodes == 800 + after.trials[0].user_attrs["episodes"]
    assert not _alive(children)  # the trial's process noticed that its worker was gone


@pytest.mark.usefixtures("failing")
def test_ctrl_c_is_one_line_and_the_same_command_continues(tmp_path: Path) -> None:
    path, plan = slow_plan(tmp_path)
    out = tmp_path / "out"
    # what the standard library leaves open when it is interrupted is not ours to say
    process = worker(path, out, 2, cwd=tmp_path, PYTHONWARNINGS="ignore")
    wait_for_a_running_trial(plan, sqlite(out))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole process group
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err == "interrupted; what is finished is kept, the same command continues\n"
    run(plan, sqlite(out), 2, FAILING, jobs=2)
    after = ledger(plan, sqlite(out))
    assert [trial.state for trial in after.slots] == [TrialState.COMPLETE] * 2
    assert len(after.trials) == 3


def _alive(processes: list[psutil.Process], seconds: float = 60) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return []
        time.sleep(0.1)
    return left
