"""A trial: trains and validates one cell in a process of its own, through the executor of the cells."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage

from bench.execution.cell_process import ValidateCell
from bench.execution.events import Event, Failed, Finished, Progressed
from bench.execution.local import LocalExecutor
from bench.protocol.outcome import Measurement, Validated
from bench.spec.cell import Cell
from bench.store.store import Failure
from bench.tuning.ledger import EPISODES, MESSAGE, SECONDS, STATUS, VALIDATION, WORKER
from bench.tuning.sampling import draw
from bench.tuning.spec import Plan
from datasets import UserError


class TrialFailed(Exception):
    """Raised when a trial ended without a value; its cost is stored."""


@dataclass(frozen=True)
class TrialOptions:
    """Options of trials that do not belong to the study.

    Attributes:
        data_root: where the datasets lie.
        timeout: wall seconds that a trial may take; None for no limit.
        memory: bytes of resident memory that a trial's process may have; None for no limit.
        plugins: modules that each trial's process imports first.
        stopping: whether the worker is to stop.
    """

    data_root: Path
    timeout: float | None = None
    memory: int | None = None
    plugins: tuple[str, ...] = ()
    stopping: Callable[[], bool] = lambda: False


@dataclass
class Attempt:
    """One attempt at a trial, as Optuna's objective.

    Attributes:
        plan: of the study.
        storage: of the study.
        options: of the trials.
        started: called once the attempt is registered, so that others may take slots.
    """

    plan: Plan
    storage: RDBStorage
    options: TrialOptions
    started: Callable[[], None]
    began: float = field(default_factory=time.monotonic)
    ended: Finished | Failed | None = None
    episodes: int = 0

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        """The objectives' values; what was used is stored with the trial whatever happens.

        Raises:
            optuna.TrialPruned: the pruner ended it, or it diverged.
            TrialFailed: it ended otherwise.
        """
        values = draw(trial, self.plan)
        self._register(trial)
        self.started()
        self.began = time.monotonic()
        cell = self.plan.with_values(values)
        options = self.options
        executor = LocalExecutor(
            ValidateCell(),
            options.data_root,
            1,
            options.timeout,
            options.memory,
            options.plugins,
            lambda cell, measurement: self._go_on(trial, measurement),
            options.stopping,
        )
        try:
            executor.run([cell], self._handle)
        except BaseException:
            self._used(trial, self.episodes)
            raise
        if isinstance(self.ended, Finished) and isinstance(self.ended.result, Validated):
            return self._finished(trial, self.ended.result)
        assert isinstance(self.ended, Failed)
        return self._failed(trial, cell, self.ended.failure)

    def _register(self, trial: optuna.Trial) -> None:
        """Leave a sign of life and this worker's name: a worker that dies from here on is found by its silence."""
        study = self.storage.get_study_id_from_name(self.plan.study_name)
        number = self.storage.get_trial_id_from_study_id_trial_number(study, trial.number)
        self.storage.record_heartbeat(number)
        trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")

    def _handle(self, event: Event) -> None:
        if isinstance(event, Finished | Failed):
            self.ended = event
        elif isinstance(event, Progressed):
            self.episodes = max(self.episodes, event.progress.done * int(self.plan.cell.hparams["meta_batch"]))

    def _go_on(self, trial: optuna.Trial, measurement: Measurement) -> bool:
        self._used(trial, measurement.episodes)
        if len(self.plan.method.names) > 1:
            return True
        trial.report(measurement.value, measurement.number)
        return not trial.should_prune()

    def _used(self, trial: optuna.Trial, episodes: int, seconds: float | None = None) -> None:
        """Store what was used so far; the seconds since the attempt began where its process does not say."""
        self.episodes = episodes
        trial.set_user_attr(EPISODES, episodes)
        trial.set_user_attr(SECONDS, round(time.monotonic() - self.began if seconds is None else seconds, 3))

    def _finished(self, trial: optuna.Trial, result: Validated) -> float | tuple[float, ...]:
        if result.digests["val"] != self.plan.validation:
            raise UserError(
                f"trial {trial.number} of {self.plan.study_name} was validated on other episodes than the study's "
                f"({result.digests['val'][:12]}, not {self.plan.validation[:12]}); is the dataset being changed?"
            )
        self._used(trial, int(result.summary["train_episodes"]), float(result.summary["cell_seconds"]))
        for name in ("outer_steps", "selected_outer_step", "train_seconds", "adapt_ms", "peak_mib"):
            trial.set_user_attr(name, result.summary[name])
        trial.set_user_attr(VALIDATION, result.value)
        if result.stopped:
            trial.set_user_attr(STATUS, "pruned")
            raise optuna.TrialPruned
        trial.set_user_attr(STATUS, "ok")
        numbers: dict[str, Any] = {"accuracy": result.value, **result.summary}
        values = tuple(float(numbers[name]) for name in self.plan.method.names)
        return values if len(values) > 1 else values[0]

    def _failed(self, trial: optuna.Trial, cell: Cell, failure: Failure) -> float:
        """A trial that diverged is pruned as far as the sampler goes, which so learns to keep away."""
        self._used(trial, min(self.episodes, cell.train.episodes or self.episodes))
        trial.set_user_attr(MESSAGE, failure.message)
        trial.set_user_attr(STATUS, failure.kind)
        if failure.kind == "nan" and len(self.plan.method.names) == 1:
            raise optuna.TrialPruned
        raise TrialFailed(failure.message)
