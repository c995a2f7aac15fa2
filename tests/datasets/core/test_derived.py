"""Datasets derived from others by name: tested across domains, and episodes within one alphabet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.protocol.cell_run import run_cell
from bench.spec.grid import parse_grid
from datasets import DATASETS, UserError, load
from datasets.core.derived import AcrossDomains, restricted
from datasets.core.episodes import Shape, Split, digest
from datasets.core.image_pools import ImageDataset, pools_from_classes
from datasets.sinusoid import Sinusoid
from tests.bench.helpers import ROOT, tiny

SPLITS: dict[Split, range] = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
NAMES = tuple(
    f"{alphabet}/{c}" for alphabet, size in (("A", 2), ("B", 4), ("C", 3), ("D", 1), ("E", 2)) for c in range(size)
)


def made(name: str, seed: int, side: int = 28) -> ImageDataset:
    """Noise of twelve classes in five alphabets."""
    rng = np.random.default_rng(seed)
    classes = [rng.integers(0, 256, (4, 1, side, side), dtype=np.uint8) for _ in range(12)]
    return ImageDataset(name, f"noise {seed}", pools_from_classes(classes, SPLITS), NAMES)


def test_across_domains_each_split_is_that_of_its_dataset() -> None:
    trained, tested, shape = made("a", 0), made("b", 1), Shape(2, 1, 1)
    pair = AcrossDomains("a-to-b", trained, tested)
    for split, dataset in (("train", trained), ("val", trained), ("test", tested)):
        assert digest(pair.stream(split, shape, 3), 20) == digest(dataset.stream(split, shape, 3), 20)
    assert len({pair.fingerprint, trained.fingerprint, tested.fingerprint}) == 3
    np.testing.assert_array_equal(pair.examples(0).batch(0, 9).x, trained.examples(0).batch(0, 9).x)
    assert pair.class_names == NAMES


def cell_of(**use: Any) -> Any:
    content = {
        "algorithms": ["maml"],
        "seeds": [0],
        "train": {"episodes": 2, "n_query": 1, "eval_every": 1},
        "evaluation": {"val_episodes": 1, "test_episodes": 2, "n_query": 1},
        "settings": [{"set": {"meta_batch": 1, "train_steps": 1, "test_steps": 1}}],
        "datasets": [{"name": "omniglot", "shots": [1], "ways": [2], "network": {"channels": 2}, **use}],
    }
    (cell,) = parse_grid(content).cells()
    return cell


def test_a_cell_across_domains_trains_as_alone_and_tests_elsewhere() -> None:
    trained, tested = made("omniglot", 0), made("glyphs", 1)
    cell = cell_of(test_on="glyphs")
    assert cell.dataset == "omniglot-to-glyphs"
    assert "omniglot-to-glyphs-2-way-1-shot" in cell.id
    outcome = run_cell(cell, AcrossDomains(cell.dataset, trained, tested))
    alone, there = run_cell(cell_of(), trained), run_cell(cell_of(name="glyphs"), tested)
    assert {name: outcome.digests[name] for name in ("train", "val")} == {
        name: alone.digests[name] for name in ("train", "val")
    }
    assert outcome.digests["test"] == there.digests["test"] != alone.digests["test"]
    assert outcome.curve["val_accuracy_inductive"].tolist() == alone.curve["val_accuracy_inductive"].tolist()


def test_the_specification_names_the_derived_dataset() -> None:
    assert cell_of(episodes={"within": "alphabet"}).dataset == "omniglot-within-alphabet"
    both = cell_of(episodes={"within": "alphabet"}, test_on="glyphs-within-alphabet")
    assert both.dataset == "omniglot-within-alphabet-to-glyphs-within-alphabet"
    assert both.entry.input_shape == (1, 28, 28)
    assert cell_of(name="omniglot-to-glyphs").content == cell_of(test_on="glyphs").content


@pytest.mark.parametrize(
    ("use", "of_settings", "reached"),
    [
        ({"episodes": {"within": "alphabet"}}, "omniglot", True),
        ({"test_on": "glyphs"}, "omniglot", True),
        ({"episodes": {"within": "alphabet"}, "test_on": "glyphs"}, "omniglot", True),
        ({"episodes": {"within": "alphabet"}, "test_on": "glyphs"}, "omniglot-within-alphabet", True),
        ({"test_on": "glyphs"}, "glyphs", False),
        ({"test_on": "glyphs"}, "omniglot-within-alphabet", False),
        ({}, "omniglot-within-alphabet", False),
        ({}, "omniglot", True),
    ],
)
def test_settings_of_a_dataset_reach_those_that_train_on_it(
    use: dict[str, Any], of_settings: str, reached: bool
) -> None:
    def rates(*settings: dict[str, Any]) -> set[float]:
        grid = tiny(datasets=[{"name": "omniglot", "shots": [1], **use}], settings=list(settings))
        return {cell.hparams["inner_lr"] for cell in grid.cells()}

    mine: dict[str, Any] = {"datasets": [of_settings], "set": {"inner_lr": 0.123}}
    assert (rates(mine) == {0.123}) == reached
    assert rates(mine, {"datasets": ["omniglot"], "set": {"inner_lr": 0.2}}) == {0.2}  # the last one wins


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            {"test_on": "cifar-fs"},
            r"0\.test_on: omniglot has inputs of shape \(1, 28, 28\) and cifar-fs of \(3, 32, 32\)",
        ),
        ({"test_on": "sinusoid"}, r"0\.test_on: omniglot is classification and sinusoid regression"),
        ({"test_on": "glyfs"}, r"0\.test_on: unknown dataset 'glyfs', did you mean 'glyphs'"),
        ({"name": "omniglott", "test_on": "glyphs"}, r"0\.name: unknown dataset 'omniglott', did you mean 'omniglot'"),
        (
            {"name": "cifar-fs", "episodes": {"within": "alphabet"}},
            r"0\.episodes\.within: the classes of cifar-fs have no alphabets",
        ),
        ({"episodes": {"within": "script"}}, r"0\.episodes\.within: the classes of omniglot have no scripts"),
        ({"episodes": {"within": "class"}}, r"0\.episodes: got .*; allowed is {within: alphabet} or {within: script}"),
        ({"name": "x", "kind": "image-folder", "path": ".", "test_on": "glyphs"}, "are for registered datasets"),
    ],
)
def test_impossible_pairs_are_refused_in_words(use: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        cell_of(**use)
    assert "\n" not in str(caught.value)
    assert "more mistake" not in str(caught.value)


def test_kinds_and_shapes_that_only_the_data_shows_are_compared_too() -> None:
    with pytest.raises(UserError, match="differ; test on one of the same kind and shape"):
        AcrossDomains("a-to-b", made("a", 0), made("b", 0, side=20))
    with pytest.raises(UserError, match="differ"):
        AcrossDomains("a-to-b", made("a", 0), Sinusoid())


def test_within_an_alphabet_all_classes_share_theirs_and_all_large_ones_come() -> None:
    dataset = restricted("alphabet", made("a", 0), "a-within-alphabet")
    batch = dataset.stream("train", Shape(2, 1, 1), 0).batch(range(200))
    alphabets = np.array([[NAMES[c][0] for c in classes] for classes in batch.class_ids])
    assert (alphabets == alphabets[:, :1]).all()
    shares = {alphabet: (alphabets[:, 0] == alphabet).mean() for alphabet in "AB"}
    assert all(abs(share - 0.5) < 0.15 for share in shares.values())  # alphabets, not characters, are equally likely
    assert all(len(set(classes)) == 2 for classes in batch.class_ids)
    larger = dataset.stream("train", Shape(3, 1, 1), 0).batch(range(50))
    assert {NAMES[c][0] for c in larger.class_ids.flat} == {"B"}
    assert set(larger.class_ids.flat) == {2, 3, 4, 5}
    np.testing.assert_array_equal(dataset.stream("train", Shape(2, 1, 1), 0).batch([7]).query_x[0], batch.query_x[7])


def test_ways_that_no_alphabet_has_are_named() -> None:
    dataset = restricted("alphabet", made("a", 0), "a-within-alphabet")
    with pytest.raises(UserError, match=r"but the largest alphabet of the test split of a-within-.*, E, has 2"):
        dataset.stream("test", Shape(3, 1, 1), 0)


def test_the_grid_of_the_page_runs_within_alphabets_smaller_than_protonets_training_ways() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r'```yaml title="within.yaml"\n(.*?)```', text, re.DOTALL)
    grid = yaml.safe_load(block)
    grid["train"] |= {"episodes": 2, "n_query": 1, "eval_every": 1}
    grid["evaluation"] = {"val_episodes": 1, "test_episodes": 2, "n_query": 1}
    grid |= {"seeds": [0], "network": {"channels": 2}}
    grid["settings"].append({"set": {"test_steps": 1, "meta_batch": 1}})
    names = tuple(f"{'ABCDEF'[c // 6]}/{c}" for c in range(36))
    classes = [np.full((12, 1, 28, 28), 7 * c, dtype=np.uint8) for c in range(36)]
    splits: dict[Split, range] = {"train": range(24), "val": range(24, 30), "test": range(30, 36)}
    dataset = restricted(
        "alphabet", ImageDataset("o", "flat", pools_from_classes(classes, splits), names), "o-within-alphabet"
    )
    cells = parse_grid(grid).cells()
    assert {cell.algorithm for cell in cells} == set(grid["algorithms"])
    for cell in cells:
        assert len(run_cell(cell, dataset).episodes)
    without = parse_grid(grid | {"settings": grid["settings"][1:]}).cells()
    (protonet,) = (cell for cell in without if cell.algorithm == "protonet")
    remedy = re.escape("`settings: [{algorithms: [protonet], set: {train_ways: 5}}]`")
    with pytest.raises(UserError, match=f"train_ways=60 .* 60-way episodes .*, with {remedy}"):
        run_cell(protonet, dataset)


def test_derived_names_are_known_and_not_listed() -> None:
    assert "glyphs-within-alphabet" in DATASETS
    assert "glyphs-to-glyphs" in DATASETS
    assert "glyphs-to-nowhere" not in DATASETS
    assert not [name for name in DATASETS.names() if "-to-" in name or "-within-" in name]
    assert "sinusoids" not in DATASETS["sinusoid-to-sinusoid"].traits or "sinusoids" in DATASETS["sinusoid"].traits
    dataset = load("glyphs-within-alphabet", Path())
    scripts = {
        dataset.class_names[c].split("/")[0] for c in dataset.stream("test", Shape(5, 1, 1), 0).batch([3]).class_ids[0]
    }  # type: ignore[attr-defined]
    assert len(scripts) == 1
