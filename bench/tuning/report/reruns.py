"""The defaults and the winners of a search on fresh seeds, as data frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.scores import Scores, check_comparable, read_scores
from bench.spec.cell import Cell
from bench.stats import difference, holm, sign_flip
from bench.store.store import Store
from bench.tuning.report.tables import named
from bench.tuning.search import DEFAULT, REPORTED, WINNER, default_won, winner
from bench.tuning.spec import Plan
from bench.tuning.study import Opened


def default_and_tuned(done: Sequence[Opened], out: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Return ``tuned`` minus ``default``, paired, for each study with results of both on fresh seeds.

    Where the default won there is nothing to compare, and no row; see ``default_on_fresh_seeds``.

    Intervals and p-values are those of ``bench compare``, adjusted by Holm's method over the rows.
    """
    done = [opened for opened in done if not default_won(opened)]
    stores = {name: Store(out / REPORTED / name) for name in (DEFAULT, WINNER)}
    if not all(store.cells.is_dir() for store in stores.values()):
        return pd.DataFrame()
    lines = [line for scores in _scores(stores, done) for line in _pairs(scores, done, rng)]
    table = pd.DataFrame(lines)
    return table.assign(p_adjusted=holm(table["p"].to_numpy())) if len(table) else table


def default_on_fresh_seeds(done: Sequence[Opened], out: Path) -> pd.DataFrame:
    """Return the default's mean on fresh seeds, and the seeds, for each study whose default won."""
    done = [opened for opened in done if default_won(opened)]
    store = Store(out / REPORTED / DEFAULT)
    if not done or not store.cells.is_dir():
        return pd.DataFrame()
    lines = []
    for scores in _scores({DEFAULT: store}, done):
        for plan in _plans_of(scores, done):
            table = scores.values.get(f"{plan.cell.algorithm} {DEFAULT}")
            if table is not None and len(table):
                mean = table.to_numpy(dtype=float).mean()
                seeds = " ".join(str(seed) for seed in sorted(table.index))
                lines.append({**named(plan), "metric": scores.metric, "seeds": seeds, "default": mean})
    return pd.DataFrame(lines)


def without_result(done: Sequence[Opened], out: Path) -> pd.DataFrame:
    """Return a row per study, kind of values and fresh seed that has no result, by seed.

    ``values`` is ``default`` or ``tuned``, and ``status`` how the training ended: ``nan``, ``timeout`` and the like,
    ``never run`` where only the other of the two was started with that seed. Values that were started with no seed
    have no rows: they are not tested yet.
    """
    stores = {name: Store(out / REPORTED / name) for name in (DEFAULT, WINNER)}
    tables = {name: store.rows() for name, store in stores.items() if store.cells.is_dir()}
    lines = []
    for opened in done:
        names = (DEFAULT,) if default_won(opened) else (DEFAULT, WINNER)
        statuses = {name: _statuses(tables[name], opened, name) for name in names if name in tables}
        seeds = sorted({seed for by_seed in statuses.values() for seed in by_seed})
        lines += [
            {**named(opened.plan), "values": name, "seed": seed, "status": by_seed.get(seed, "never run")}
            for name, by_seed in statuses.items()
            for seed in seeds
            if by_seed and by_seed.get(seed) != "ok"
        ]
    return pd.DataFrame(lines)


def _statuses(rows: pd.DataFrame, opened: Opened, name: str) -> dict[int, str]:
    """Return how the cells of a study's default or winner ended, by seed."""
    cell = _rerun_cell(opened, name)
    seeds = {cell.model_copy(update={"seed": int(seed)}).id: int(seed) for seed in rows["seed"].unique()}
    statuses = zip(rows["cell"], rows["status"], strict=True)
    return {seeds[name]: str(status) for name, status in statuses if name in seeds}


def _rerun_cell(opened: Opened, name: str) -> Cell:
    """Return the study's default or winner, under the search's own seed."""
    return opened.plan.cell if name == DEFAULT else winner(opened) or opened.plan.cell


def _scores(stores: Mapping[str, Store], done: Sequence[Opened]) -> list[Scores]:
    """Return the scores of these studies' cells in the stores, by dataset and shape; algorithms get the store's name
    behind their own."""
    tables = [_of_these_studies(store, name, done) for name, store in stores.items()]
    rows = pd.concat([rows for rows, _ in tables], ignore_index=True)
    episodes = pd.concat([episodes for _, episodes in tables], ignore_index=True)
    if not len(episodes):
        return []
    check_comparable(rows)
    return list(read_scores(episodes))


def _of_these_studies(store: Store, name: str, done: Sequence[Opened]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and episodes of the cells that are these studies' defaults or winners; algorithms get ``name`` behind."""
    rows, episodes = store.rows(), store.episodes()
    wanted = set()
    for opened in done:
        cell = _rerun_cell(opened, name)
        wanted |= {cell.model_copy(update={"seed": int(seed)}).id for seed in rows["seed"].unique()}
    chosen = [frame[frame["cell"].isin(wanted)] if len(frame) else frame for frame in (rows, episodes)]
    first, second = (
        frame.assign(algorithm=frame["algorithm"] + f" {name}") if len(frame) else frame for frame in chosen
    )
    return first, second


def _plans_of(scores: Scores, done: Sequence[Opened]) -> Iterator[Plan]:
    for opened in done:
        cell = opened.plan.cell
        if (cell.dataset, cell.shape) == (scores.dataset, scores.shape):
            yield opened.plan


def _pairs(scores: Scores, done: Sequence[Opened], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for plan in _plans_of(scores, done):
        tables = [scores.values.get(f"{plan.cell.algorithm} {name}") for name in (WINNER, DEFAULT)]
        if tables[0] is None or tables[1] is None:
            continue
        seeds = tables[0].index.intersection(tables[1].index).sort_values()
        if not len(seeds):
            continue
        tuned, default = (table.loc[seeds].to_numpy(dtype=float) for table in tables if table is not None)
        effect = difference(tuned, default)
        interval = effect.interval()
        new_runs = effect.scope == "new training runs"
        yield {
            **named(plan),
            "metric": scores.metric,
            "seeds": " ".join(str(seed) for seed in seeds),
            "default": default.mean(),
            "tuned": tuned.mean(),
            "difference": effect.mean,
            "low": interval.low,
            "high": interval.high,
            "scope": effect.scope,
            "p": effect.p_value() if new_runs else sign_flip((tuned - default).mean(axis=0), rng),
        }
