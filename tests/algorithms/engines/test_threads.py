"""Parts on several threads: in order, each on one thread, with the same meta-gradient to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from algorithms.engines.threads import side_by_side
from algorithms.maml import GradientThroughAdaptation
from tests.algorithms.helpers import CONV, POOLED, THREE_WAY, made_episodes, make, start


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_parts_are_worked_on_at_the_same_time_and_come_back_in_order() -> None:
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=30)  # breaks if they came one after the other

    def work(part: int) -> tuple[int, int]:
        both.wait()
        return part, torch.get_num_threads()

    assert side_by_side(work, [3, 1]) == [(3, 1), (1, 1)]
    assert torch.get_num_threads() == 2


def test_one_thread_needs_no_other() -> None:
    torch.set_num_threads(1)
    assert side_by_side(lambda part: threading.current_thread(), [1, 2]) == [threading.main_thread()] * 2


def test_a_mistake_in_a_part_is_told_and_threads_stay_as_they_were() -> None:
    torch.set_num_threads(2)

    def work(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 1"):
        side_by_side(work, [1, 2])
    assert torch.get_num_threads() == 2
    assert side_by_side(lambda part: torch.get_num_threads(), [1]) == [2]


@pytest.mark.parametrize("engine", ["loop", "fused"])
@pytest.mark.parametrize("network", [CONV, POOLED], ids=["stride", "max-pool"])
def test_a_meta_gradient_does_not_depend_on_the_number_of_threads(
    network: object, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("algorithms.engines.fused.conv4.VALUES_AT_ONCE", 1)  # a task at once
    algorithm = make("maml", network, THREE_WAY, engine=engine, train_steps=2)  # type: ignore[arg-type]
    assert isinstance(algorithm, GradientThroughAdaptation)
    state, episodes = start(algorithm), made_episodes(algorithm.net.network, THREE_WAY, 5)
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        gradient, loss = algorithm.meta_gradient(state, episodes)
        found.append((loss, {name: value.numpy().tobytes() for name, value in gradient.items()}))
    assert found[0] == found[1] == found[2]
