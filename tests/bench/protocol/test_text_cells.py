"""Cells on texts: every algorithm that learns classes, on token ids, with both networks of texts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms import ALGORITHMS
from bench.protocol.cell_run import run_cell
from bench.spec.cell import Cell
from datasets.text.dataset import TextDataset
from tests.bench.helpers import one_cell, tiny
from tests.datasets.text.toy import made

CLASSIFIERS = [entry.name for entry in ALGORITHMS if "classification" in entry.kinds and not entry.requires]
NETWORKS: dict[str, dict[str, Any]] = {
    "text-mlp": {"hidden": [8]},
    "text-cnn": {"embedding": 4, "channels": 3, "widths": [2, 3], "dropout": 0.25},
}


def cell_of(algorithm: str, network: str = "text-mlp", **changes: Any) -> Cell:
    use = {
        "name": "clinc150",
        "ways": [3],
        "shots": [2],
        "network": {"name": network, **NETWORKS[network]},
        "text": {"tokens": "ngrams", "length": 24, "vocabulary": 64},
    }
    fast = {"protonet": {"train_ways": None}, "reptile": {"train_steps": 2}}.get(algorithm, {})
    small = [{"algorithms": [algorithm], "set": fast}] if fast else []
    return one_cell(
        algorithms=[algorithm],
        datasets=[use],
        train={"episodes": 4, "n_query": 2, "eval_every": 2},
        settings=[{"set": {"meta_batch": 2, "test_steps": 2, "inner_batch": 4}}, *small],
        **changes,
    )


def data(cell: Cell) -> TextDataset:
    assert cell.text is not None
    return made("clinc150").tokenized(cell.text.form)


@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_every_algorithm_learns_texts(algorithm: str) -> None:
    if missing := ALGORITHMS[algorithm].missing():
        pytest.skip(missing)
    torch.set_num_threads(1)
    cell = cell_of(algorithm, "text-cnn" if algorithm in ("maml", "protonet", "finetune") else "text-mlp")
    outcome = run_cell(cell, data(cell))
    again = run_cell(cell, data(cell))
    assert math.isfinite(outcome.summary["test_accuracy_transductive"])
    assert outcome.episodes.equals(again.episodes)
    assert all(torch.equal(value, again.state[name]) for name, value in outcome.state.items())
    assert all(value.dtype != torch.int64 or name.endswith("seed") for name, value in outcome.state.items())


def test_maml_learns_what_the_words_say() -> None:
    torch.set_num_threads(1)
    use = {
        "name": "clinc150",
        "ways": [3],
        "shots": [2],
        "network": {"name": "text-mlp", "hidden": [16]},
        "text": {"tokens": "ngrams", "length": 24, "vocabulary": 256},
    }
    before, after = (
        run_cell(cell, data(cell)).summary["test_accuracy_transductive"]
        for episodes, every in ((4, 1), (200, 25))
        for cell in tiny(
            algorithms=["maml"],
            datasets=[use],
            train={"episodes": episodes, "n_query": 3, "eval_every": every},
            evaluation={"val_episodes": 10, "test_episodes": 30, "n_query": 3},
            settings=[{"set": {"meta_batch": 4, "inner_lr": 2.0, "outer_lr": 0.01, "test_steps": 3}}],
        ).cells()
    )
    assert after > max(before, 0.6)  # chance is a third
