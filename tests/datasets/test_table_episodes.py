"""Episodes and plain batches of tables: which rows are drawn, and which shapes are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.core.episodes import Shape
from datasets.core.errors import UserError
from datasets.core.randomness import choose_from_many, key_of
from datasets.formats.table import Columns
from tests.datasets.tables import BY_CLASS, BY_TASK, frame, load, write

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


def test_episodes_of_classes_hold_the_rows_of_their_classes(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()))
    batch = dataset.stream("train", Shape(4, 2, 3), 0).batch(range(50))
    pool = dataset.pools["train"]
    for i in range(50):
        for way, number in enumerate(batch.class_ids[i]):
            place = list(pool.class_ids).index(number)
            own = {tuple(row) for row in pool.rows[pool.offsets[place] : pool.offsets[place + 1]].tolist()}
            rows = torch.cat([batch.support.x[i][batch.support.y[i] == way], batch.query_x[i][batch.query_y[i] == way]])
            drawn = {tuple(row) for row in rows.tolist()}
            assert len(drawn) == 5  # without replacement
            assert drawn <= own
    alone = dataset.stream("train", Shape(4, 2, 3), 0).batch([7])
    assert torch.equal(alone.support.x[0], batch.support.x[7])


def test_episodes_of_tasks_hold_one_task_each_and_its_targets(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()), BY_TASK)
    assert (dataset.kind, dataset.input_shape) == ("regression", (2,))
    batch = dataset.stream("test", Shape(1, 2, 4), 0).batch(range(40))
    assert batch.support.y.shape == (40, 2, 1)
    assert batch.query_x.shape == (40, 4, 2)
    assert set(batch.class_ids.flat) == {0, 1}
    rows = {tuple(row) for row in dataset.pools["test"].rows.tolist()}
    drawn = torch.cat(
        [torch.cat([batch.support.x, batch.support.y], 2), torch.cat([batch.query_x, batch.query_y], 2)], 1
    )
    for episode, number in zip(drawn.tolist(), batch.class_ids[:, 0], strict=True):
        start, end = dataset.pools["test"].offsets[number : number + 2]
        assert {tuple(row) for row in episode} == {tuple(row) for row in dataset.pools["test"].rows[start:end].tolist()}
        assert {tuple(row) for row in episode} <= rows


@pytest.mark.parametrize("choice", [BY_CLASS, BY_TASK])
def test_plain_batches_give_every_training_row_once_an_epoch(choice: Columns, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()), choice)
    examples = dataset.examples(0)
    whole, parts = examples.batch(0, 36), [examples.batch(0, 20), examples.batch(20, 16)]
    assert torch.equal(whole.x, torch.cat([part.x for part in parts]))
    assert sorted(whole.x.tolist()) == sorted(dataset.pools["train"].rows[:, :2].tolist())
    assert whole.n_classes == (6 if choice is BY_CLASS else 1)
    if choice is BY_TASK:
        np.testing.assert_allclose(whole.y[:, 0], whole.x[:, 0], atol=1e-5)  # the target is a line in the first feature


@pytest.mark.parametrize(
    ("choice", "shape", "message"),
    [
        (BY_CLASS, Shape(3, 1, 1), "3-way episodes need 3 classes, but the test split of mine has 2"),
        (BY_CLASS, Shape(2, 3, 4), "3 shots and 4 queries need 7 rows per class, but class00 of the test .* has 6"),
        (BY_TASK, Shape(1, 3, 4), "3 shots and 4 queries need 7 rows per task, but class00 of the test .* has 6"),
        (BY_TASK, Shape(2, 1, 1), "one function each: n_way must be 1, got 2"),
    ],
)
def test_episodes_that_cannot_be_are_refused(choice: Columns, shape: Shape, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, frame())
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: .*{message}") as caught:
        load(path, choice).stream("test", shape, 0)
    assert "\n" not in str(caught.value)


def test_large_classes_are_drawn_from_without_numbering_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape(2, 1, 3)
    small = load(write(tmp_path, frame())).stream("test", shape, 0)
    before = small.identity(range(20))
    monkeypatch.setattr("datasets.core.table_pools.FEW", 5)
    after = small.identity(range(20))
    assert (before != after).any()
    assert all(len(set(row[2:])) == 4 for row in after.reshape(-1, 6).tolist())
    assert after[..., 2:].max() < 6


def test_rows_are_chosen_without_replacement_and_all_alike() -> None:
    keys = np.array([key_of("test", i) for i in range(4000)])
    drawn = choose_from_many(keys, 6, 3)
    assert all(len(set(row)) == 3 for row in drawn)
    for place in range(3):
        shares = np.bincount(drawn[:, place], minlength=6) / len(drawn)
        assert np.abs(shares - 1 / 6).max() < 0.03  # 5 standard deviations
    pairs = {(a, b) for a, b, _ in drawn.tolist()}
    assert len(pairs) == 30
    assert sorted(choose_from_many(keys[:1], 5, 5)[0]) == [0, 1, 2, 3, 4]
    assert choose_from_many(keys[:2], 2**31, 20).max() > 2**20
    with pytest.raises(ValueError, match="size=4, population=3"):
        choose_from_many(keys, 3, 4)
