"""Score predictions that were made elsewhere, and store them as a cell of an experiment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from algorithms import ALGORITHMS
from bench.analysis.scores import check_comparable
from bench.external.episode_list import EpisodeList, batches, read_list
from bench.external.predictions import read_predictions
from bench.process.environment import environment
from bench.process.plugins import import_plugins
from bench.protocol.outcome import Outcome
from bench.spec.cell import Cell, TrainingBudget
from bench.spec.external import EXTERNAL_NAME, QUERY_MODES, ExternalSpec, QueryMode
from bench.spec.model import MOST_TRAINING
from bench.spec.network import NetworkSpec
from bench.spec.problems import shortened
from bench.store.integrity import read_regular
from bench.store.settings import refuse_other_settings, together
from bench.store.store import Store
from datasets import UserError
from datasets.core.episodes import EpisodeStream, digest
from datasets.storage.reading import usable_data_root


@dataclass(frozen=True)
class Scored:
    """Predictions that were scored.

    Attributes:
        cell: id of their cell.
        summary: the numbers of the cell by name, such as ``test_mse``.
    """

    cell: str
    summary: Mapping[str, float]


def score(
    predictions: Path | str,
    episodes: Path | str,
    out: Path | str,
    *,
    name: str,
    source: str,
    train_episodes: int,
    mode: QueryMode | None = None,
    seed: int = 0,
    train_seconds: float | None = None,
    adapt_ms: float | None = None,
    memory_mib: float | None = None,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
) -> Scored:
    """Score predictions that were made elsewhere, and put them into an experiment as an external cell.

    The cell has the scores of each test episode, so that it enters intervals, ranks and paired tests as others do.
    Budget, times and memory are those that the author tells, and tables mark them.

    Args:
        predictions: a table with a row per query; see ``bench.external.predictions.read_predictions``.
        episodes: the file of the episodes that they are of; see ``bench.external.episode_list.write_episodes``.
        out: the experiment's folder, which is made where there is none.
        name: what the leaderboard calls the method; the name of no registered algorithm.
        source: framework, paper or author, in a few words.
        train_episodes: meta-train episodes that the method consumed; 1 for one that is not trained.
        mode: transductive where a query's prediction depends on the other queries, inductive where it does not, both
            for a method without batch statistics; not for regression.
        seed: of the training; the predictions of each seed are a cell of their own.
        train_seconds: wall seconds of training, as the author tells.
        adapt_ms: milliseconds of adapting to one task, likewise.
        memory_mib: memory that training and testing took, likewise.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further datasets.

    Raises:
        UserError: a file is not what it should be, the data here is other data, or the experiment holds other episodes,
            other settings or other predictions of that name.
    """
    import_plugins(plugins)
    _check_name(name)
    told = {"train_seconds": train_seconds, "adapt_ms": adapt_ms, "memory_mib": memory_mib}
    for field, value in told.items():
        if value is not None and not 0 <= value < MOST_TRAINING:
            raise UserError(f"got {value:g}; use a number from 0", field)
    if not 1 <= train_episodes <= MOST_TRAINING:
        raise UserError(f"got {train_episodes}; use a whole number from 1", "train_episodes")
    listed = read_list(episodes)
    dataset, stream = listed.load(usable_data_root(data_root))
    if (dataset.fingerprint, digest(stream, listed.evaluation.test_episodes)) != (listed.fingerprint, listed.digest):
        raise UserError(f"{episodes} is of other data than {listed.dataset} here; write it again from this data")
    cell = _cell(listed, name, seed, train_episodes, _external(source, mode, dataset.kind))
    table = _scored(predictions, listed, stream, cell)
    store = Store(out)
    store.create()
    refuse_other_settings([cell], store)
    _check_belongs(store, cell, listed.digest, table)
    means = _means(table, cell)
    summary: dict[str, Any] = {**means, "train_episodes": train_episodes}
    summary |= {f"told_{field}": value for field, value in told.items() if value is not None}
    content = hashlib.sha256(read_regular(Path(predictions))).hexdigest()
    digests = {"test": listed.digest, "dataset": listed.fingerprint}
    outcome = Outcome(summary, digests, table, pd.DataFrame(), {}, {})
    store.write_result(cell, outcome, {"summary": {}, "environment": {**environment(), "predictions_sha256": content}})
    return Scored(cell.id, means)


def _check_name(name: str) -> None:
    if not re.fullmatch(EXTERNAL_NAME, name):
        raise UserError(f"got {shortened(name)}; use up to 64 letters, digits, dots, dashes and underscores", "name")
    if name in ALGORITHMS:
        raise UserError(f"{name} is an algorithm of this benchmark; give another name, such as {name}-jax", "name")


def _external(source: str, mode: QueryMode | None, kind: str) -> ExternalSpec:
    """Return the origin; raises UserError where the mode does not fit the dataset's kind."""
    if kind == "regression" and mode is not None:
        raise UserError("regression has no such modes; leave it out", "mode")
    if kind != "regression" and mode not in QUERY_MODES:
        raise UserError(
            "give one of them: transductive where a query's prediction depends on the other queries, inductive where "
            "it does not, both for a method without batch statistics",
            "mode",
        )
    if not 1 <= len(source.strip()) <= 200:
        raise UserError("name the framework, paper or author, in at most 200 characters", "source")
    return ExternalSpec(source=source.strip(), mode=mode)


def _cell(listed: EpisodeList, name: str, seed: int, train_episodes: int, external: ExternalSpec) -> Cell:
    names: dict[str, Any] = {
        field: getattr(listed, field)
        for field in ("dataset", "folder", "table", "text", "n_way", "n_shot", "evaluation")
    }
    budget = TrainingBudget(episodes=train_episodes)
    return Cell(algorithm=name, hparams={}, train=budget, network=NetworkSpec(), seed=seed, external=external, **names)


def _scored(path: Path | str, listed: EpisodeList, stream: EpisodeStream, cell: Cell) -> pd.DataFrame:
    """Return the rows of the test episodes, as those of other cells after their last inner step, in their types."""
    assert cell.external is not None
    n_episodes = listed.evaluation.test_episodes
    read = read_predictions(path, n_episodes, listed.n_way * listed.evaluation.n_query, listed.n_way)
    truths, class_ids = [], []
    for batch, order in batches(listed, stream):
        targets = batch.query_y.numpy()
        truths.append(np.take_along_axis(targets.reshape(order.shape), order, axis=1))
        class_ids += list(batch.class_ids)
    truth = np.concatenate(truths)
    table = pd.DataFrame({"episode": np.arange(n_episodes), "step": 0, "class_ids": class_ids})
    table["n_query"] = truth.shape[1]
    if cell.external.mode is None:
        return table.assign(mse=((read.labels - truth) ** 2).mean(axis=1).astype(np.float32))
    for mode in cell.external.modes:
        table[f"n_correct_{mode}"] = read.correct(truth).sum(axis=1)
        if (nll := read.negative_log_likelihood(truth)) is not None:
            table[f"nll_{mode}"] = nll.astype(np.float32)
    return table


def _means(table: pd.DataFrame, cell: Cell) -> dict[str, float]:
    assert cell.external is not None
    if cell.external.mode is None:
        return {"test_mse": float(table["mse"].mean())}
    return {
        f"test_accuracy_{mode}": float((table[f"n_correct_{mode}"] / table["n_query"]).mean())
        for mode in cell.external.modes
    }


def _check_belongs(store: Store, cell: Cell, digest: str, table: pd.DataFrame) -> None:
    """Raise UserError where the experiment holds other episodes of the dataset and shape, or the cell with another
    table."""
    rows = store.rows()
    if rows.empty:
        return
    new: dict[str, Any] = {"cell": cell.id, "algorithm": cell.algorithm, "dataset": cell.dataset, "shape": cell.shape}
    new |= {"n_way": cell.n_way, "n_shot": cell.n_shot, "seed": cell.seed, "status": "ok", "digest.test": digest}
    others = rows[rows["cell"] != cell.id]
    check_comparable(together(pd.concat([others, pd.DataFrame([new])], ignore_index=True)))
    if store.has_result(cell):
        there = store.episodes()
        numbers = [name for name in table if name != "class_ids"]
        stored = there[there["cell"] == cell.id].reindex(columns=numbers)
        if not np.array_equal(stored.to_numpy(dtype=float), table[numbers].to_numpy(dtype=float)):
            raise UserError(
                f"{store.label} holds other predictions of {cell.algorithm} under seed {cell.seed} on {cell.dataset} "
                f"{cell.shape}; give another `name=` or `seed=`, or move {cell.id} away"
            )
