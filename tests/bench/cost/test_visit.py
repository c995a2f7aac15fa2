"""The measurements of one process of a setting."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.cost import visit
from bench.cost.visit import LEAST_LAPS, MOST_LAPS, measure
from bench.process import load
from bench.process.load import OtherLoad, busy_seconds
from bench.protocol import evaluation
from bench.store.cost_file import Round
from tests.bench.helpers import GLYPHS, one_cell


def test_a_round_is_what_is_stored_of_it() -> None:
    cell = one_cell(datasets=[dict(GLYPHS)])
    measured = measure(cell, cell.entry.load(Path("/nowhere")), 0.0, True)
    stored = Round.model_validate(measured)
    assert len(stored.outer_step_seconds) == len(stored.adapt_seconds) == LEAST_LAPS
    assert sum(stored.outer_step_seconds) + sum(stored.adapt_seconds) == pytest.approx(stored.timed_seconds, rel=1e-3)
    assert stored.timed_cpu_seconds > 0
    assert stored.numerics["algorithm maml"] >= 1


def test_more_time_gives_more_repetitions_up_to_a_number() -> None:
    cell = one_cell()
    dataset = cell.entry.load(Path("/nowhere"))
    assert len(measure(cell, dataset, 60.0, False)["outer_step_seconds"]) == MOST_LAPS


def test_the_test_batch_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = one_cell()
    dataset = cell.entry.load(Path("/nowhere"))
    seen: list[int] = []
    real = evaluation.episode_batches

    def watched(*arguments: object) -> object:
        seen.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(visit, "episode_batches", watched)
    measure(cell, dataset, 0.0, False)
    assert seen == []
    measure(cell, dataset, 0.0, True)
    assert seen == [1]


def test_the_load_of_others_is_all_but_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert busy_seconds() > 0
    clock, busy, own = iter([100.0, 110.0]), iter([1000.0, 1025.0]), iter([5.0, 15.0])
    with monkeypatch.context() as patched:
        patched.setattr(time, "perf_counter", lambda: next(clock))
        patched.setattr(time, "process_time", lambda: next(own))
        patched.setattr(load, "busy_seconds", lambda: next(busy))
        others = OtherLoad().reading()
    assert others == pytest.approx(1.5)  # of 2.5 processors one was this process
