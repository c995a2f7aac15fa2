"""Algorithms that give what they must not, for the tests of what a cell makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from torch import Tensor

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.algorithm import Metrics, Mode
from algorithms.core.meta_state import State
from algorithms.maml import MAML, MAMLHyperParameters
from algorithms.networks.network import Weights
from datasets.core.episodes import Episodes, Examples, Support


class OneForAll(MAML):
    """One output for all queries of an episode."""

    def predict(self, weights: Weights, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        return super().predict(weights, support, query_x, mode).mean(dim=1, keepdim=True)


class OneTask(MAML):
    """The weights of one episode for all of them."""

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        for step, weights in super().adapt(state, support, n_steps):
            yield step, {name: value[:1] for name, value in weights.items()}


class StopsEarly(MAML):
    """No weights after the last step."""

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        yield from list(super().adapt(state, support, n_steps))[:-1]


class Surrogate(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        print("printed \udcff before".encode("utf-8", "surrogateescape"), flush=True)
        raise RuntimeError("x\ud800y")


class Speechless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("no words")


class Unspeakable(MAML):
    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        raise Speechless


class Wanders(MAML):
    """Makes another folder the working directory."""

    def outer_step(self, state: State, batch: Episodes | Examples) -> tuple[State, Metrics]:
        os.chdir("/")
        return super().outer_step(state, batch)


ENTRIES = {
    "one-for-all": OneForAll,
    "one-task": OneTask,
    "stops-early": StopsEarly,
    "surrogate": Surrogate,
    "unspeakable": Unspeakable,
    "wanders": Wanders,
}
for name, factory in ENTRIES.items():
    ALGORITHMS.add(AlgorithmEntry(name, factory, MAMLHyperParameters, "none", f"a test: {name}"))
os.chdir("/")
