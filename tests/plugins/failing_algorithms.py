"""Algorithms that end in every way but well, for the tests of the executor: each fails in its first outer step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.algorithm import Metrics
from algorithms.core.meta_state import State
from algorithms.maml import MAML, MAMLHyperParameters
from datasets.core.episodes import Episodes, Examples

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


class LeavesAChild(MAML):
    """Starts a process that nobody waits for in its first outer step, and says which."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        if not hasattr(self, "child"):
            self.child = subprocess.Popen(["sleep", str(FOREVER)], process_group=0)
            print(f"child {self.child.pid}")
        return super().outer_step(state, batch)


class LeavesAChildAndSleeps(LeavesAChild):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        super().outer_step(state, batch)
        time.sleep(FOREVER)
        raise AssertionError("nobody ended this process")


class LeavesAChildAndDies(LeavesAChild):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        super().outer_step(state, batch)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


class Talks(MAML):
    """Prints 32 MiB, to both outputs and from a program of its own too, and a letter that ASCII lacks."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        if not hasattr(self, "said"):
            self.said = True
            print("the first line ±")
            for _ in range(16):
                sys.stdout.write("o" * 2**20)
            sys.stdout.flush()
            subprocess.run(["head", "-c", str(2**24), "/dev/zero"], check=True)
            print("the last line", file=sys.stderr)
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
    "leaves-a-child": LeavesAChild,
    "leaves-a-child-and-sleeps": LeavesAChildAndSleeps,
    "leaves-a-child-and-dies": LeavesAChildAndDies,
    "talks": Talks,
}
for name, factory in ENTRIES.items():
    hparams = FailsOnceHyperParameters if factory is FailsOnce else MAMLHyperParameters
    ALGORITHMS.add(AlgorithmEntry(name, factory, hparams, "none", f"a test: {name}"))
