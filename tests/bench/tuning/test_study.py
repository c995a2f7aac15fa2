"""A study ends with exactly its budget, whoever works on it, and goes on where it stopped."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from optuna.trial import TrialState

from bench.execution import local
from bench.process.plugins import import_plugins
from bench.tuning import study as study_module
from bench.tuning.ledger import STATUS, WORKER, mend
from bench.tuning.search import plans, search
from bench.tuning.spec import Budget, Method
from bench.tuning.storage import RETRIES, Place
from bench.tuning.study import TrialEnded, open_study, run_study
from bench.tuning.trial import TrialOptions
from datasets import UserError
from tests.bench.helpers import tiny
from tests.bench.tuning.helpers import NOWHERE, QUICK, found, ledger, outcome, plan_of, run, sqlite


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(local, "POLL_SECONDS", 0.1)


def test_a_study_has_exactly_its_trials_and_the_same_again_runs_none(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    events = run(plan, where, 3)
    assert [event.trial.number for event in events if isinstance(event, TrialEnded)] == [0, 1, 2]
    trials = ledger(plan, where).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    for trial in trials:
        assert trial.user_attrs[STATUS] == "ok"
        assert trial.user_attrs["episodes"] == 10
        assert trial.user_attrs["seconds"] > 0
        assert trial.user_attrs["peak_mib"] > 50
        assert trial.user_attrs["adapt_ms"] > 0
        assert trial.values == [trial.user_attrs["validation"]]
    assert run(plan, where, 3) == []


def test_the_first_trial_has_the_settings_of_the_grid(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    run(plan, where, 2)
    first, second = (trial.params for trial in ledger(plan, where).trials)
    assert first == {name: plan.cell.hparams[name] for name in first}
    assert "inner_lr" in first
    assert second != first


def test_a_resumed_study_is_the_one_that_was_never_interrupted(tmp_path: Path) -> None:
    plan = plan_of(Method(sampler="tpe", pruner="none", heartbeat=1))
    once, twice = sqlite(tmp_path / "once"), sqlite(tmp_path / "twice")
    run(plan, once, 4)
    run(plan, twice, 1)
    run(plan, twice, 4)
    assert len(ledger(plan, twice).trials) == 4
    assert found(ledger(plan, twice)) == found(ledger(plan, once))
    assert len({str(params) for params, _ in found(ledger(plan, once))}) == 4


def test_an_interrupted_trial_is_queued_again_and_does_not_count_twice(
    out: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_plugins([failing])
    plan, where = plan_of(algorithms=["waits"], train={"episodes": 120, "n_query": 2, "eval_every": 5}), sqlite(out)

    def at_work() -> bool:
        return any("episodes" in trial.user_attrs for trial in ledger(plan, where).trials)

    with pytest.raises(KeyboardInterrupt):
        run(plan, where, 2, failing, stopping=at_work)
    (first,) = ledger(plan, where).trials
    assert first.state == TrialState.FAIL
    assert STATUS not in first.user_attrs
    assert "seconds" in first.user_attrs
    run(plan, where, 2, failing)
    after = ledger(plan, where)
    assert [trial.state for trial in after.slots] == [TrialState.COMPLETE] * 2
    assert len(after.trials) == 3
    assert after.repeated == {0}
    assert after.slots[0].params == first.params
    assert after.episodes == 240 + first.user_attrs["episodes"]
    budget = outcome(plan, where).budget
    assert (budget.trials, budget.complete, budget.repeated, budget.episodes) == (2, 2, 1, after.episodes)


def test_a_worker_that_died_before_its_trial_was_registered_leaves_nothing_behind(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    with open_study(plan, where) as opened:  # as killed between asking and the first sign of life
        opened.storage.create_new_trial(opened.storage.get_study_id_from_name(plan.study_name))
    assert WORKER not in ledger(plan, where).trials[0].user_attrs
    run(plan, where, 2)
    after = ledger(plan, where)
    assert [trial.state for trial in after.slots] == [TrialState.COMPLETE] * 2
    assert after.repeated == {0}


def test_a_trial_whose_worker_dies_again_and_again_is_given_up_and_counted(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    with open_study(plan, where) as opened:
        study = opened.study()
        opened.storage.create_new_trial(opened.storage.get_study_id_from_name(plan.study_name))
        for _ in range(RETRIES):
            assert mend(study).count(TrialState.WAITING) == 1
            study._pop_waiting_trial_id()  # and its worker dies
        assert mend(study).count(TrialState.WAITING) == 0
    assert run(plan, where, 1) == []
    after = ledger(plan, where)
    assert [trial.state for trial in after.slots] == [TrialState.FAIL]
    assert len(after.trials) == RETRIES + 1


def test_nobody_starts_a_trial_while_another_holds_the_lock(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    open_study(plan, where).close()
    other = threading.Thread(target=run, args=(plan, where, 1))
    with where.lock(plan.study_name):
        other.start()
        time.sleep(0.5)
        assert trials_in(where) == 0
    other.join()
    assert len(ledger(plan, where).trials) == 1


def trials_in(where: Place) -> int:
    """Return how many trials there are, read without the lock."""
    engine = sqlalchemy.create_engine(where.url, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        return int(connection.execute(sqlalchemy.text("SELECT COUNT(*) FROM trials")).scalar() or 0)


def test_several_jobs_share_the_budget(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    run(plan, where, 7, jobs=3)
    after = ledger(plan, where)
    assert [trial.state for trial in after.trials] == [TrialState.COMPLETE] * 7
    assert len({str(trial.params) for trial in after.trials}) == 7


def test_failed_trials_cost_what_they_used_and_are_counted(out: Path, failing: str) -> None:
    import_plugins([failing])
    for name, kind, state, episodes in (
        ("raises", "error", TrialState.FAIL, 0),
        ("killed", "killed", TrialState.FAIL, 0),
        ("hungry", "oom", TrialState.FAIL, 0),
        ("diverges", "nan", TrialState.PRUNED, 8),
    ):
        plan, where = plan_of(algorithms=[name]), sqlite(out / name)
        run(plan, where, 2, failing)
        after = ledger(plan, where)
        assert [trial.state for trial in after.trials] == [state] * 2, name
        assert [trial.user_attrs[STATUS] for trial in after.trials] == [kind] * 2
        assert all(trial.user_attrs["seconds"] > 0 for trial in after.trials)
        assert all(trial.user_attrs["message"] for trial in after.trials)
        assert after.episodes == 2 * episodes, name
        with pytest.raises(UserError, match=f"all 2 trials ended as {kind}"):
            outcome(plan, where)


def test_a_trial_over_its_time_is_ended_and_counted(out: Path, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.5)
    import_plugins([failing])
    plan, where = plan_of(algorithms=["sleeps"]), sqlite(out)
    run(plan, where, 1, failing, timeout=1.0)
    (trial,) = ledger(plan, where).trials
    assert trial.user_attrs[STATUS] == "timeout"
    assert trial.user_attrs["seconds"] >= 1.0


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruned_trial_costs_what_it_used(out: Path, pruner: Any) -> None:
    method = Method(sampler="random", pruner=pruner, heartbeat=1)
    plan, where = plan_of(method, train={"episodes": 80, "n_query": 2, "eval_every": 2}), sqlite(out)
    run(plan, where, 9)
    after = ledger(plan, where)
    pruned = [trial for trial in after.trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert len(after.trials) == 9
    for trial in pruned:
        last = max(trial.intermediate_values)
        assert trial.user_attrs[STATUS] == "pruned"
        assert trial.user_attrs["episodes"] == 8 * last < 80  # two outer steps of four episodes a measurement
    budget = outcome(plan, where).budget
    assert (budget.trials, budget.pruned) == (9, len(pruned))
    assert budget.episodes == sum(trial.user_attrs["episodes"] for trial in after.trials) < 9 * 80


def test_two_objectives(out: Path) -> None:
    plan, where = plan_of(Method("accuracy,adapt_ms", "tpe", "none", 1)), sqlite(out)
    run(plan, where, 3)
    for trial in ledger(plan, where).trials:
        assert trial.values == [trial.user_attrs["validation"], trial.user_attrs["adapt_ms"]]
    best = min(ledger(plan, where).trials, key=lambda trial: trial.values[0])
    assert outcome(plan, where).search.trial == best.number


def test_a_budget_in_hours_is_of_trial_seconds(out: Path) -> None:
    plan, where = plan_of(), sqlite(out)
    run_study(plan, Budget(seconds=0.3), where, TrialOptions(NOWHERE), 1, lambda event: None).close()
    after = ledger(plan, where)
    assert after.seconds >= 0.3
    assert after.seconds - after.trials[-1].user_attrs["seconds"] < 0.3  # none started once it was used


def test_every_algorithm_of_a_grid_gets_the_same_budget(out: Path) -> None:
    grid = tiny(algorithms=["maml", "reptile", "finetune"])
    where = sqlite(out)
    planned = plans(grid, QUICK, 0, NOWHERE)
    done = search(
        planned.plans, Budget(3), where, out, TrialOptions(NOWHERE), 2, lambda event: None, lambda plan, found: None
    )
    counts = {one.plan.cell.algorithm: len(ledger(one.plan, where).slots) for one in done}
    assert counts == {"maml": 3, "reptile": 3, "finetune": 3}
    assert {ledger(one.plan, where).episodes for one in done} == {30}
    assert len({one.plan.validation for one in done}) == 1
    for one in done:
        one.close()


def test_other_settings_under_the_same_name_are_refused(out: Path) -> None:
    where = sqlite(out)
    open_study(plan_of(), where).close()
    with pytest.raises(UserError, match=r"cell\.seed is 2 there, but 1 here"):
        open_study(plan_of(seed=1), where)
    with pytest.raises(UserError, match=r"sampler is 'random' there, but 'tpe' here"):
        open_study(plan_of(Method(pruner="none", heartbeat=1)), where)
    open_study(plan_of(), where).close()
