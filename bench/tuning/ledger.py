"""The ledger of a study: how much of its budget is used, counted from its storage alone.

The budget is a number of slots. A trial takes a slot; where its worker dies or is interrupted, the trial is queued
again under a new number and keeps its slot. Slots are taken under the study's lock, so that all workers together never
take more than the budget. The cost of every attempt is counted, repeated ones too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from bench.tuning.spec import Budget
from bench.tuning.storage import experimental, retry

WORKER = "worker"  # who runs the trial; set before the lock is let go
STATUS = "status"  # how it ended: ok, pruned, or a kind of failure
EPISODES, SECONDS = "episodes", "seconds"  # used so far
VALIDATION, MESSAGE = "validation", "message"  # the selected meta-state's value, or what went wrong


@dataclass(frozen=True)
class Ledger:
    """The trials of a study.

    Attributes:
        trials: all attempts, by number.
    """

    trials: Sequence[FrozenTrial]

    @property
    def repeated(self) -> set[int]:
        """The numbers of the attempts that were queued again."""
        return {number for trial in self.trials for number in trial.system_attrs.get("retry_history", [])}

    @property
    def slots(self) -> list[FrozenTrial]:
        """The last attempt at each slot of the budget, in the order in which the slots were taken."""
        again = self.repeated
        latest = [trial for trial in self.trials if trial.number not in again]
        return sorted(latest, key=lambda trial: trial.system_attrs.get("failed_trial", trial.number))

    def count(self, *states: TrialState) -> int:
        """Return how many slots are in one of these states."""
        return sum(trial.state in states for trial in self.slots)

    @property
    def ended(self) -> int:
        """Slots whose trial has ended."""
        return self.count(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

    @property
    def episodes(self) -> int:
        """Meta-train episodes of all attempts."""
        return int(sum(trial.user_attrs.get(EPISODES, 0) for trial in self.trials))

    @property
    def seconds(self) -> float:
        """Wall seconds of all attempts, added up."""
        return float(sum(trial.user_attrs.get(SECONDS, 0.0) for trial in self.trials))

    def best(self, maximize: bool) -> FrozenTrial | None:
        """Return the complete trial with the best first objective, the earliest of equals; None where there is none."""
        sign = -1.0 if maximize else 1.0
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return min(complete, key=lambda trial: (sign * trial.values[0], trial.number), default=None)

    def may_start(self, budget: Budget) -> bool:
        """Return whether a trial may start: one is queued, or a slot is free."""
        return self.count(TrialState.WAITING) > 0 or self.has_free(budget)

    def has_free(self, budget: Budget) -> bool:
        """Return whether the budget holds a slot that nobody has taken."""
        if budget.trials is not None:
            return len(self.slots) < budget.trials
        return self.seconds < (budget.seconds or 0.0)


def read(study: optuna.Study) -> Ledger:
    """The study's trials as they are in the storage now."""
    return Ledger(study.get_trials(deepcopy=False))


def mend(study: optuna.Study) -> Ledger:
    """Queue again what dead and interrupted workers left; the caller holds the study's lock.

    Three things can be left: a running trial without a sign of life, of a worker that died; a running trial without a
    worker, whose worker died before it let go of the lock; and a failed trial without a status, of a worker that was
    interrupted.
    """
    with experimental():
        fail_stale_trials(study)
    for trial in read(study).slots:
        if trial.state == TrialState.RUNNING and WORKER not in trial.user_attrs:
            study.tell(trial.number, state=TrialState.FAIL)
    ledger = read(study)
    lost = [slot for slot in ledger.slots if slot.state == TrialState.FAIL and STATUS not in slot.user_attrs]
    for trial in lost:
        retry(study, trial)
    return read(study) if lost else ledger
