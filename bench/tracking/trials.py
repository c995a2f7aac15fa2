"""Trials of a search as runs of a tracker, each logged when it has ended."""

from __future__ import annotations

from threading import Lock

from bench.tracking.tracker import Tracker, flat
from bench.tuning.ledger import EPISODES, MESSAGE, SECONDS, STATUS, VALIDATION
from bench.tuning.study import OnStudyEvent, StudyEvent, TrialEnded

LOST = "lost"  # status of a trial without one
NUMBERS = (EPISODES, SECONDS, "outer_steps", "selected_outer_step", "train_seconds", "adapt_ms", "peak_mib")


def tracking_trials(tracker: Tracker | None, on_event: OnStudyEvent) -> OnStudyEvent:
    """Return ``on_event`` with each trial's run in a tracker, if there is one."""
    if tracker is None:
        return on_event
    runs = _TrialRuns(tracker)

    def handle(event: StudyEvent) -> None:
        runs.handle(event)
        on_event(event)

    return handle


class _TrialRuns:
    """The runs of a search's trials; workers of several threads share it."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._lock = Lock()

    def handle(self, event: StudyEvent) -> None:
        """Log a trial: its cell and number, the validation after each measurement that was reported, and its end."""
        if not isinstance(event, TrialEnded):
            return
        plan, trial, attrs = event.plan, event.trial, event.trial.user_attrs
        cell = plan.with_values(trial.params)
        step = cell.train.eval_every * int(cell.hparams["meta_batch"])
        with self._lock:
            log = self._tracker.begin(
                f"{plan.study_name}--trial{trial.number}", flat(cell.content) | {"trial": trial.number}
            )
            for number, value in sorted(trial.intermediate_values.items()):
                log.numbers({f"val/{plan.metric}": value}, min(number * step, cell.train.episodes or number * step))
            numbers = {f"trial/{name}": float(attrs[name]) for name in NUMBERS if name in attrs}
            if VALIDATION in attrs:
                numbers |= {f"selected/{plan.metric}": float(attrs[VALIDATION])}
            log.end(attrs.get(STATUS, LOST), attrs.get(MESSAGE, ""), numbers)
