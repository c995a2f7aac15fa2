"""Live progress of a search: a line per trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from rich.console import Console

from bench.cli.common import below_here, counted
from bench.cli.progress import value_text
from bench.tuning.ledger import MESSAGE, SECONDS, STATUS, VALIDATION
from bench.tuning.spec import Budget, Plan
from bench.tuning.study import StudyEvent, TrialEnded
from datasets import UserError

MOST_NAMED = 3  # studies in a line


class TrialLines:
    """Prints a line per event; nothing but the written files where ``quiet``."""

    def __init__(self, console: Console, quiet: bool, budget: Budget) -> None:
        self._console, self._quiet, self._budget = console, quiet, budget
        self._lock = Lock()

    def started(self, studies: Sequence[tuple[Plan, int]]) -> None:
        """Print what the search will do, and which studies continue after how many trials."""
        if self._quiet:
            return
        count = f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}"
        self._print(f"{count} x {self._budget}: {_few([plan.title for plan, _ in studies])}")
        before = [f"{plan.title} (after {counted(ended, 'trial')})" for plan, ended in studies if ended]
        if before:
            self._print(f"continued: {_few(before)}")

    def handle(self, event: StudyEvent) -> None:
        """Print an event of a study."""
        if self._quiet:
            return
        if isinstance(event, TrialEnded):
            self._print(self._line(event))
        else:
            self._print(f"{event.plan.title}: waiting for {counted(event.running, 'running trial')} of other workers")

    def waiting(self, why: str) -> None:
        """Print what a search waits for."""
        if not self._quiet:
            self._print(f"waiting: {why}")

    def result(self, plan: Plan, outcome: Path | UserError) -> None:
        """Print where a study's result is, or why it has none."""
        self._print(f"{plan.title}: {below_here(outcome) if isinstance(outcome, Path) else outcome}")

    def _line(self, event: TrialEnded) -> str:
        attrs, cell = event.trial.user_attrs, event.plan.cell
        if self._budget.trials is not None:
            done = f"{event.ledger.ended}/{self._budget.trials}"
        else:
            done = f"{event.ledger.seconds / 3600:.2f}/{(self._budget.seconds or 0.0) / 3600:g} h"
        value = value_text(cell, attrs.get(VALIDATION)) or attrs.get(MESSAGE, "")
        status = attrs.get(STATUS, "lost")
        return (
            f"[{done}] {event.plan.title}: trial {event.trial.number} {status} {value}, "
            f"{attrs.get(SECONDS, 0.0):.1f} s; {_best_so_far(event)}"
        )

    def _print(self, line: str) -> None:
        with self._lock:
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def _few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are.

    >>> _few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _best_so_far(event: TrialEnded) -> str:
    """``best mse 0.412 (trial 3)``; ``no value yet`` before the first complete trial."""
    plan = event.plan
    best = event.ledger.best(plan.directions[0] == "maximize")
    return "no value yet" if best is None else f"best {value_text(plan.cell, best.values[0])} (trial {best.number})"
