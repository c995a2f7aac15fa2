"""The golden values: streams of episodes, cells and their ids, statistics, and what small cells train to.

Everything is computed here by the harness itself and compared with what is committed beside this file; where such a
value changes on purpose, ``python -m tests.golden.write`` takes down the new one, and the change stands in the commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import datasets
from bench import stats
from bench.execution.in_process import execute
from bench.process.environment import environment
from bench.process.same_environment import EVERYWHERE, PACKAGES
from bench.protocol.outcome import Outcome
from bench.spec.grid import grid_names, load_grid
from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.randomness import key_of, uniform

GRID = Path(__file__).parents[1] / "repro" / "grid.yaml"
SHAPES = {"sinusoid": Shape(1, 10, 15), "glyphs": Shape(5, 1, 15)}
SEEDS, EPISODES, ALGORITHMS = 4, 60, 3  # of the made-up scores


def sha(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def data() -> dict[str, Any]:
    """Streams: digests of a hundred episodes, and the bytes of one; plain examples: the labels of a hundred."""
    found: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        dataset = datasets.load(name)
        found[name] = {"fingerprint": dataset.fingerprint}
        for split in SPLITS:
            for seed in (0, 1):
                stream = dataset.stream(split, shape, seed)
                one = stream.batch([7])
                found[name][f"{split} {seed}"] = {
                    "digest": digest(stream, 100),
                    "x": sha(one.support.x.numpy().tobytes() + one.query_x.numpy().tobytes()),
                    "seeds": one.support.seeds.tolist(),
                    "classes": one.class_ids.tolist(),
                }
        examples = dataset.examples(0).batch(50, 100)
        found[name]["examples"] = sha(examples.x.numpy().tobytes())
        if dataset.kind == "classification":
            found[name]["labels"] = examples.y.tolist()
    return found


def protocol() -> dict[str, Any]:
    """The ids of all cells of our grids, and all of a small cell that does not come from arithmetic in float32."""
    ids = {name: sorted(cell.id for cell in load_grid(name).cells()) for name in grid_names()}
    found: dict[str, Any] = {name: {"cells": len(of), "ids": sha("\n".join(of).encode())} for name, of in ids.items()}
    for cell, outcome in outcomes().items():
        names = ("outer_steps", "train_episodes", "train_examples", "parameters")
        counts = {name: outcome.summary[name] for name in names}
        columns = [name for name in ("episode", "step", "class_ids", "n_query") if name in outcome.episodes]
        rows = outcome.episodes[columns].astype(str).to_csv(index=False)
        curve = outcome.curve["outer_step"].tolist()
        found[cell] = {**counts, **outcome.digests, "rows": sha(rows.encode()), "measured_at": curve}
    return found


def trained() -> dict[str, Any]:
    """Return what the same cells score, and how large their selected weights are."""
    found: dict[str, Any] = {}
    for cell, outcome in outcomes().items():
        norm = float(np.sqrt(sum(float((value.double() ** 2).sum()) for value in outcome.state.values())))
        scores = {name: value for name, value in outcome.summary.items() if name.startswith("test_")}
        del scores["test_seconds"]
        found[cell] = {**scores, "policy_weights" if "test_return" in scores else "weights": norm}
    return found


def numerics() -> dict[str, Any]:
    """The bytes of what the same cells give, with the versions of the numerics that made them, and where."""
    here = environment()
    kept = {name: here[name] for name in EVERYWHERE if name in here}
    kept |= {"packages": {name: here["packages"].get(name) for name in PACKAGES}}
    cells = {}
    for cell, outcome in outcomes().items():
        episodes = outcome.episodes.drop(columns="class_ids").to_csv(index=False).encode()
        weights = b"".join(value.numpy().tobytes() for value in outcome.state.values())
        cells[cell] = {"versions": dict(outcome.numerics), "episodes": sha(episodes), "weights": sha(weights)}
    return {"environment": kept, "cells": cells}


@cache
def outcomes() -> Mapping[str, Outcome]:
    """The cells of a small grid, run in this process."""
    return {cell.id: execute(cell, Path(), 1, lambda progress: None)[0] for cell in load_grid(GRID).cells()}


def made_up_scores() -> list[pd.DataFrame]:
    """Tables of seeds by episodes that come from no generator of NumPy's or PyTorch's."""
    tables = []
    for number in range(ALGORITHMS):
        draws = uniform(key_of("golden", number), np.arange(SEEDS * EPISODES)).reshape(SEEDS, EPISODES)
        hardness = uniform(key_of("golden", "episode"), np.arange(EPISODES))
        tables.append(pd.DataFrame(0.6 + 0.03 * number + 0.2 * (draws - 0.5) - 0.2 * hardness))
    return tables


def statistics() -> dict[str, Any]:
    """Every statistic that the leaderboard, the comparisons and the tuning report print."""
    tables = made_up_scores()
    a, b, _ = (table.to_numpy() for table in tables)
    draws = uniform(key_of("golden", "classes"), np.arange(EPISODES * 20)).reshape(EPISODES, 20)
    classes = draws.argsort(axis=1)[:, :5]
    effect, rng = stats.difference(a, b), np.random.default_rng
    across = stats.across_datasets(pd.DataFrame([[t.iloc[s].mean() for t in tables] for s in range(SEEDS)]))
    found = {
        "crossed": _interval(stats.crossed(a).interval()),
        "one seed": _interval(stats.crossed(a[:1]).interval()),
        "new classes": _interval(stats.new_classes(a, classes).interval()),
        "difference": [*_interval(effect.interval()), effect.p_value(), *effect.probability(0.005)],
        "improvement": _interval(stats.improvement(b - a).interval()),
        "bootstrap": [float(a.mean()), *np.quantile(stats.joint_draws([tables[0]], rng(0)), [0.025, 0.975])],
        "sign-flip": stats.sign_flip((a - b).mean(axis=0), rng(0)),
        "wilcoxon": stats.wilcoxon((a - b).mean(axis=0)),
        "holm": stats.holm(np.array([0.01, 0.04, 0.03, 0.005])),
        "ranks": stats.rank_table(tables, rng(0)).to_numpy(dtype=float),
        "pairs": np.nan_to_num(stats.pair_p_values(tables), nan=-1.0),
        "friedman": [across.friedman_p, *across.mean_ranks],
        "iqm": stats.interquartile_mean(stats.above_chance(a, 5)),
        "expected best": stats.expected_best(a[0, :8]),
        "detectable": stats.detectable(stats.components(a - b), SEEDS, EPISODES),
        "needed": [stats.needed(stats.components(a - b), 0.01).episodes, stats.needed(stats.components(a), 0.2).seeds],
    }
    return {name: _plain(value) for name, value in found.items()}


def _interval(interval: stats.Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]


def _plain(value: Any) -> Any:
    """As JSON has it, to ten digits: the order in which a library of linear algebra adds up moves the last ones."""
    if isinstance(value, list | np.ndarray):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, int) else float(f"{float(value):.10g}")


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "data": data,
    "protocol": protocol,
    "statistics": statistics,
    "trained": trained,
    "numerics": numerics,
}
