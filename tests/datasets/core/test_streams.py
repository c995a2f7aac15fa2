"""Properties of every stream of images: what an episode may hold, and what it may depend on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.core.episodes import SPLITS, Shape, Split, digest
from datasets.core.errors import UserError
from datasets.core.image_pools import ImageDataset, pools_from_classes
from datasets.core.randomness import choose, key_of
from datasets.splits.omniglot import RANDOM_SPLIT, split_at_random, split_officially

COUNTS = (9, 7, 12, 8, 10, 7, 9, 8, 7, 11)


def make_dataset() -> ImageDataset:
    """Each image is constant but for a corner mark: its value tells which it is, the mark how it was turned."""
    classes, value = [], 0
    for count in COUNTS:
        images = np.zeros((count, 1, 4, 4), np.uint8)
        images[:] = np.arange(value, value + count, dtype=np.uint8)[:, None, None, None]
        images[:, :, 0, 0] = 255
        classes.append(images)
        value += count
    splits: dict[Split, list[int]] = {"train": [7, 1, 2, 9, 0], "val": [3, 5], "test": [4, 6, 8]}
    names = tuple(f"class{i}" for i in range(len(COUNTS)))
    return ImageDataset("toy", "f" * 64, pools_from_classes(classes, splits, rotate_train=True), names)


DATASET = make_dataset()
FIRST = np.concatenate([[0], np.cumsum(COUNTS)])
shapes = st.builds(Shape, n_way=st.integers(1, 2), n_shot=st.integers(1, 3), n_query=st.integers(0, 4))


@settings(max_examples=60, deadline=None)
@given(
    split=st.sampled_from(SPLITS),
    shape=shapes,
    seed=st.integers(0, 2**31),
    indices=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
)
def test_what_an_episode_holds(split: Split, shape: Shape, seed: int, indices: list[int]) -> None:
    batch = DATASET.stream(split, shape, seed).batch(indices)
    support = batch.support.x.reshape(len(indices), shape.n_way, shape.n_shot, 4, 4)
    query = batch.query_x.reshape(len(indices), shape.n_way, shape.n_query, 4, 4)
    pixels = (torch.cat([support, query], dim=2) * 255).round().numpy()
    for e in range(len(indices)):
        classes, turns, members = batch.identity[e, :, 0], batch.identity[e, :, 1], batch.identity[e, :, 2:]
        assert len(set(classes)) == shape.n_way, "classes are distinct"
        assert set(classes) <= set(DATASET.pools[split].class_ids), "classes are of the split"
        np.testing.assert_array_equal(classes, batch.class_ids[e])
        for c in range(shape.n_way):
            assert len(set(members[c])) == shape.n_shot + shape.n_query, "no example twice, in support and query"
            assert turns[c] == 0 or split == "train"
            for image, member in zip(pixels[e, c], members[c], strict=True):
                upright = np.rot90(image, -turns[c])  # one turn for the whole class
                assert upright[0, 0] == 255
                assert upright[1, 1] == FIRST[classes[c]] + member, "the pixels are those that the identity names"
    expected = torch.arange(shape.n_way).repeat_interleave(shape.n_shot).expand(len(indices), -1)
    assert torch.equal(batch.support.y, expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes, indices=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), others=st.lists(st.integers(0, 99))
)
def test_an_episode_is_the_same_alone_in_a_batch_and_after_others(
    shape: Shape, indices: list[int], others: list[int]
) -> None:
    stream = DATASET.stream("train", shape, 3)
    if others:
        stream.batch(others)
    batch = stream.batch(indices)
    np.testing.assert_array_equal(batch.identity, stream.identity(indices))
    for place, index in enumerate(indices):
        alone = DATASET.stream("train", shape, 3).batch([index])
        assert torch.equal(alone.support.x[0], batch.support.x[place])
        assert torch.equal(alone.query_x[0], batch.query_x[place])
        assert alone.support.seeds[0] == batch.support.seeds[place]


def test_another_process_draws_the_same() -> None:
    code = (
        "from tests.datasets.core.test_streams import DATASET; from datasets.core.episodes import Shape, digest;"
        "print(digest(DATASET.stream('train', Shape(5, 2, 3), 1), 100))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == digest(DATASET.stream("train", Shape(5, 2, 3), 1), 100)


def test_the_episodes_are_pinned() -> None:
    """A change here changes every result that was ever stored: it needs a reason and a note in the changelog."""
    found = digest(DATASET.stream("train", Shape(5, 2, 3), 1), 100)
    assert found == "666c10b3d3851e647abc52807cc85751df1b68530cfa9a7ab8c8b4368ade6572"


def test_streams_differ_by_everything_in_their_name() -> None:
    digests = {
        digest(DATASET.stream(split, shape, seed), 20)
        for split in SPLITS
        for shape in (Shape(2, 1, 1), Shape(2, 1, 2))
        for seed in (0, 1)
    }
    assert len(digests) == 12


def test_every_class_and_turn_is_drawn_alike() -> None:
    identity = DATASET.stream("train", Shape(2, 1, 1), 0).identity(range(4000))
    classes, turns = Counter(identity[:, :, 0].ravel().tolist()), Counter(identity[:, :, 1].ravel().tolist())
    assert all(abs(n - 1600) < 4 * (8000 * 0.2 * 0.8) ** 0.5 for n in classes.values())
    assert all(abs(n - 2000) < 4 * (8000 * 0.25 * 0.75) ** 0.5 for n in turns.values())
    assert (len(classes), len(turns)) == (5, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Shape(4, 1, 1), "4-way episodes need 4 classes, but the test split of toy has 3"),
        (Shape(2, 5, 4), "5 shots and 4 queries need 9 images per class, but class8 of the test split of toy has 7"),
    ],
)
def test_infeasible_shapes_are_refused_with_the_numbers(shape: Shape, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DATASET.stream("test", shape, 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), population=st.integers(1, 60), data=st.data())
def test_choices_are_without_replacement(seed: int, population: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, population))
    chosen = choose(np.array([key_of(seed, i) for i in range(4)]), population, size)
    assert chosen.shape == (4, size)
    assert all(len(set(row)) == size for row in chosen)
    assert chosen.min() >= 0
    assert chosen.max() < population


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_omniglots_splits_do_not_depend_on_the_order_of_listing(seed: int) -> None:
    background = [f"alphabet{a}/character{c:02d}" for a in range(30) for c in range(33)][:964]
    evaluation = [f"other{a}/character{c:02d}" for a in range(20) for c in range(33)][:659]
    both = [*background, *evaluation]
    shuffled = [both[i] for i in np.random.default_rng(seed).permutation(len(both))]
    split = split_at_random(shuffled)
    assert split == split_at_random(both)
    assert {name: len(split[name]) for name in SPLITS} == dict(RANDOM_SPLIT)
    assert len(set().union(*split.values())) == 1623
    official = split_officially(background, evaluation)
    alphabets = {name: {character.split("/")[0] for character in official[name]} for name in SPLITS}
    assert len(alphabets["val"]) == 5
    assert not alphabets["train"] & alphabets["val"]
    assert official["test"] == sorted(evaluation)
    assert sorted([*official["train"], *official["val"]]) == sorted(background)
