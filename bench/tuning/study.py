"""One study: created or opened in its storage, and run until its budget is used.

Any number of workers can share a study, in threads, processes or on several machines. To start a trial, a worker holds
the study's lock while it queues the trials of dead workers again, looks for a free slot, and takes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Event as Flag
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from bench.tuning.ledger import Ledger, mend, read
from bench.tuning.sampling import defaults, pruner, sampler
from bench.tuning.spec import Budget, Plan
from bench.tuning.storage import Lock, Place, close
from bench.tuning.trial import Attempt, TrialFailed, TrialOptions
from datasets import UserError

POLL_SECONDS = 1.0  # between two looks at the trials of other workers
SETTINGS = "settings"


@dataclass(frozen=True)
class TrialEnded:
    """A trial of this process ended; with the study's ledger at that time."""

    plan: Plan
    trial: FrozenTrial
    ledger: Ledger


@dataclass(frozen=True)
class WaitingForOthers:
    """No slot is free, and so many trials of other workers are still running."""

    plan: Plan
    running: int


StudyEvent = TrialEnded | WaitingForOthers
OnStudyEvent = Callable[[StudyEvent], None]


@dataclass(frozen=True)
class Opened(AbstractContextManager["Opened"]):
    """A study in its storage; ``close`` closes its connections."""

    plan: Plan
    storage: RDBStorage

    def close(self) -> None:
        """Let the connections go."""
        close(self.storage)

    def __exit__(self, *_: object) -> None:
        self.close()

    def study(self, slot: int = 0) -> optuna.Study:
        """The study with the sampler of that slot."""
        return optuna.load_study(
            study_name=self.plan.study_name,
            storage=self.storage,
            sampler=sampler(self.plan, slot),
            pruner=pruner(self.plan),
        )


def open_study(plan: Plan, place: Place) -> Opened:
    """Make the study, or find it.

    Raises:
        UserError: the storage does not work, or a study of that name searches something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # who watches is told by events
    with place.errors_explained(), place.lock("bench: tables"):
        storage = place.open(plan.method.heartbeat)
        try:
            _same_or_new(plan, place, storage)
        except BaseException:
            close(storage)
            raise
    return Opened(plan, storage)


def _same_or_new(plan: Plan, place: Place, storage: RDBStorage) -> None:
    """Make the study, or see that the one which is there searches the same."""
    study = optuna.create_study(
        study_name=plan.study_name, storage=storage, directions=plan.directions, load_if_exists=True
    )
    stored = study.user_attrs.get(SETTINGS)
    if stored is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(SETTINGS, plan.settings)
    elif stored != plan.settings:
        raise UserError(
            f"study '{plan.study_name}' in {place} searches something else ({_difference(stored, plan.settings)}); "
            "use another `out=` or `storage=`, or undo the change"
        )


def run_study(
    plan: Plan, budget: Budget, place: Place, options: TrialOptions, jobs: int, on_event: OnStudyEvent
) -> Opened:
    """Work on the study until its budget is used, by this process and others together.

    Raises:
        UserError: the storage does not work, or a study of that name searches something else.
    """
    opened = open_study(plan, place)
    try:
        with place.errors_explained():
            if jobs == 1:
                _Worker(opened, budget, place, options, on_event).run()
            else:
                _in_threads(opened, budget, place, options, jobs, on_event)
    except BaseException:
        opened.close()
        raise
    return opened


def _in_threads(
    opened: Opened, budget: Budget, place: Place, options: TrialOptions, jobs: int, on_event: OnStudyEvent
) -> None:
    """Some workers; the first to fail, or Ctrl-C, stops them all."""
    stop = Flag()
    shared = replace(options, stopping=lambda: stop.is_set() or options.stopping())
    workers = [_Worker(opened, budget, place, shared, on_event) for _ in range(jobs)]

    def work(worker: _Worker) -> None:
        try:
            worker.run()
        except BaseException:
            stop.set()
            raise
        finally:
            opened.storage.remove_session()  # this thread's

    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [pool.submit(work, worker) for worker in workers]
            while wait(futures, timeout=POLL_SECONDS).not_done:
                pass
        finally:
            stop.set()
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda raised: isinstance(raised, KeyboardInterrupt)):
        raise error


@dataclass
class _Worker:
    """A worker, which takes slots of a study one after the other."""

    opened: Opened
    budget: Budget
    place: Place
    options: TrialOptions
    on_event: OnStudyEvent

    def run(self) -> None:
        """Until the budget is used and no trial of another worker could still come back."""
        lock = self.place.lock(self.opened.plan.study_name)
        reported = 0
        while True:
            if self.options.stopping():
                raise KeyboardInterrupt
            with lock:
                ledger = mend(self.opened.study())
                if not ledger.trials:  # what is selected is never worse on validation than what was there before
                    self.opened.study().enqueue_trial(defaults(self.opened.plan))
                if ledger.may_start(self.budget):
                    self._one_trial(len(ledger.slots), lock)
                    continue
                running = ledger.count(TrialState.RUNNING)
            if not running:
                return
            if running != reported:
                self.on_event(WaitingForOthers(self.opened.plan, running))
                reported = running
            time.sleep(POLL_SECONDS)

    def _one_trial(self, slot: int, lock: Lock) -> None:
        """Start a trial and see it to its end; the lock is let go once the trial is registered."""
        study = self.opened.study(slot)
        attempt = Attempt(self.opened.plan, self.opened.storage, self.options, lock.release)
        numbers: list[int] = []

        def objective(trial: optuna.Trial) -> Any:
            numbers.append(trial.number)
            return attempt(trial)

        try:
            study.optimize(objective, n_trials=1, catch=(TrialFailed,))
        except (UpdateFinishedTrialError, ValueError):  # as Optuna says that a trial has ended already
            if not numbers or numbers[0] not in read(study).repeated:
                raise
            return  # others took this worker for dead, and the trial is theirs now
        ledger = read(study)
        self.on_event(TrialEnded(self.opened.plan, ledger.trials[numbers[0]], ledger))


def _difference(stored: Any, settings: dict[str, Any]) -> str:
    """The first setting that differs, with both values."""
    if not isinstance(stored, dict):
        return "it was not made by this bench"
    stored_leaves, leaves = _flat(stored), _flat(settings)
    for name in [*leaves, *stored_leaves]:
        if stored_leaves.get(name) != leaves.get(name):
            return f"{name} is {stored_leaves.get(name)!r} there, but {leaves.get(name)!r} here"
    return "its settings are of another version"


def _flat(settings: Any, before: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {before: settings}
    leaves: dict[str, Any] = {}
    for name, value in settings.items():
        leaves |= _flat(value, f"{before}.{name}" if before else name)
    return leaves
