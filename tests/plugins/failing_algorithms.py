"""Algorithms that end in every way but well, for the tests of the executor: each fails in its first outer step."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.base import Metrics
from algorithms.maml import MAML, MAMLHyperParameters
from algorithms.state import State
from datasets.episodes import Episodes, Examples

FOREVER = 600.0


class Raises(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        raise KeyError("a mistake in\ntwo lines")


class Diverges(MAML):
    """Its loss is NaN from the third outer step on (the warm-up is one call more)."""

    calls = 0

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        state, metrics = super().outer_step(state, batch)
        self.calls += 1
        return state, metrics if self.calls <= 3 else {"loss": float("nan")}


class Hungry(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        raise MemoryError("1 TiB was wanted")


class Sleeps(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        time.sleep(FOREVER)
        raise AssertionError("nobody ended this process")


class Stubborn(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(FOREVER)
        raise AssertionError("nobody ended this process")


class Killed(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


class Exits(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        os._exit(3)


class FailsOnceHyperParameters(MAMLHyperParameters):
    flag: str = "a file"


class FailsOnce(MAML):
    """Fails while the file ``flag`` is missing, and makes it."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        flag = Path(self.hparams.flag)
        if not flag.exists():
            flag.touch()
            raise RuntimeError("the first time")
        return super().outer_step(state, batch)


class Waits(MAML):
    """MAML that takes its time, so that a run can be ended in the middle of it."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        time.sleep(0.02)
        return super().outer_step(state, batch)


ENTRIES = {
    "raises": Raises,
    "diverges": Diverges,
    "hungry": Hungry,
    "sleeps": Sleeps,
    "stubborn": Stubborn,
    "killed": Killed,
    "exits": Exits,
    "fails-once": FailsOnce,
    "waits": Waits,
}
for name, factory in ENTRIES.items():
    hparams = FailsOnceHyperParameters if factory is FailsOnce else MAMLHyperParameters
    ALGORITHMS.add(AlgorithmEntry(name, factory, hparams, "none", f"a test: {name}"))
