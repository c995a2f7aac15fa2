"""Scores: per-episode results as one table of seeds by episodes for each algorithm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from algorithms.core.modes import MODES, Mode
from bench.analysis.costs import with_costs
from bench.analysis.metrics import higher_is_better
from bench.store.settings import BY_ALGORITHM, BY_SHAPE, renamed, together
from bench.store.store import Store
from datasets import UserError

Metric = Literal["accuracy", "nll", "mse", "return"]
METRICS: tuple[Metric, ...] = ("accuracy", "nll", "mse", "return")
WITHOUT_CLASSES = ("mse", "return")  # metrics of tasks that have no classes


@dataclass(frozen=True)
class Scores:
    """The values of every algorithm on one dataset and shape after its last inner step.

    Attributes:
        dataset: name of the dataset.
        shape: ``5-way 1-shot``, or ``10-shot`` for regression and control.
        metric: ``accuracy_<mode>``, ``nll_<mode>``, ``mse`` or ``return``; accuracy in [0, 1].
        n_way: classes per episode; 1 for regression and control.
        values: by algorithm, a row per finished seed and a column per test episode.
        class_ids: [E, n_way] the classes of each episode; None for regression and control.
    """

    dataset: str
    shape: str
    metric: str
    n_way: int
    values: dict[str, pd.DataFrame]
    class_ids: npt.NDArray[np.int64] | None

    @property
    def higher_is_better(self) -> bool:
        return higher_is_better(self.metric)

    @property
    def n_classes(self) -> int:
        """The number of classes in these episodes; 0 for regression and control."""
        return 0 if self.class_ids is None else len(np.unique(self.class_ids))

    def shared_seeds(self, a: str, b: str) -> pd.Index:
        """Return the seeds that both algorithms finished."""
        if a not in self.values or b not in self.values:
            return pd.Index([])
        return self.values[a].index.intersection(self.values[b].index)

    def table(self, algorithm: str, seeds: pd.Index | None = None) -> npt.NDArray[np.float64]:
        """Return the values of an algorithm as [S, E], of all its seeds or of those given."""
        values = self.values[algorithm]
        return (values if seeds is None else values.loc[seeds]).to_numpy(dtype=float)


def last_step(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows after the last inner step of each cell."""
    return episodes[episodes["step"] == episodes.groupby("cell")["step"].transform("max")]


def within_steps(episodes: pd.DataFrame, steps: int) -> pd.DataFrame:
    """Return the rows of at most so many inner steps, as though testing had ended there.

    Raises:
        UserError: no cell took so many.
    """
    most = int(episodes["step"].max()) if len(episodes) else 0
    if steps > most:
        raise UserError(
            f"got {steps}, but no cell took more than {most} inner steps at test; give {most} or less", "steps"
        )
    return episodes[episodes["step"] <= steps]


def read_scores(episodes: pd.DataFrame, mode: Mode = "transductive", metric: Metric | None = None) -> Iterator[Scores]:
    """Yield the scores of every dataset and shape that has a finished cell and this metric.

    Args:
        episodes: ``Store.episodes()``, of comparable cells.
        mode: how the query set was normalized; the same for regression.
        metric: ``accuracy`` or ``nll`` for classification, ``mse`` for regression, ``return`` for control; by
            default accuracy, MSE or return.
    """
    if not len(episodes):
        return
    for (dataset, shape), part in last_step(episodes).groupby(BY_SHAPE, sort=False):
        name, values = _values(part, mode, metric)
        if values is None:
            continue
        tables = {
            str(algorithm): rows.assign(value=values[rows.index]).pivot(index="seed", columns="episode", values="value")
            for algorithm, rows in part.groupby("algorithm", sort=False)
            if bool(values[rows.index].notna().any())  # external results may lack a mode or the log-likelihood
        }
        if not tables:
            continue
        class_ids, n_way = None, 1
        if name not in WITHOUT_CLASSES:
            once = part.drop_duplicates("episode").sort_values("episode")
            class_ids = np.stack([np.asarray(ids) for ids in once["class_ids"]])
            n_way = class_ids.shape[1]
        yield Scores(str(dataset), str(shape), name, n_way, tables, class_ids)


def _values(part: pd.DataFrame, mode: Mode, metric: Metric | None) -> tuple[str, pd.Series | None]:
    """Return the metric's full name and a value per row; None where these episodes do not have it."""
    if any(name in part and bool(part[name].notna().any()) for name in (f"n_correct_{one}" for one in MODES)):
        missing = pd.Series(np.nan, index=part.index)
        if metric in (None, "accuracy"):
            return f"accuracy_{mode}", part.get(f"n_correct_{mode}", missing) / part["n_query"]
        if metric == "nll":
            return f"nll_{mode}", part.get(f"nll_{mode}", missing)
        return "", None
    for name in WITHOUT_CLASSES:
        if metric in (None, name) and name in part and bool(part[name].notna().any()):
            return name, part[name]
    return "", None


def comparable(store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the store's rows and its episodes.

    The rows are put together by ``bench.store.settings.together``, and have the cost of their settings.

    Raises:
        UserError: there are none, or they cannot be compared; see ``check_comparable``.
    """
    rows = store.rows()
    if rows.empty:
        raise nothing_finished(store)
    rows = together(with_costs(rows, store))
    check_comparable(rows)
    return rows, renamed(store.episodes(), rows)


def nothing_finished(store: Store) -> UserError:
    """Return the error for a store without cells."""
    return UserError(f"{store.label} holds no finished cells yet; `python -m bench run` continues where it stopped")


def check_comparable(rows: pd.DataFrame) -> None:
    """Refuse cells that cannot be compared.

    Raises:
        UserError: cells of one dataset and shape were tested on different episodes, or two folders hold the same cell.
    """
    _check_repeated(rows)
    if "digest.test" not in rows:
        return
    for (dataset, shape), cells in rows[rows["status"] == "ok"].groupby(BY_SHAPE, sort=False):
        where = f"{dataset} {shape}"
        if cells["digest.test"].nunique() > 1:
            if "experiment" in cells and (cells.groupby("experiment")["digest.test"].nunique() == 1).all():
                raise UserError(
                    f"{' and '.join(dict.fromkeys(cells['experiment']))} tested {where} on different episodes and "
                    "cannot be compared; run both with the same `evaluation` and data"
                )
            names = ", ".join(cells.drop_duplicates("digest.test")["cell"])
            raise UserError(
                f"cells of {where} were tested on different episodes and cannot be compared: {names}; "
                "move those that do not belong here out of the folder"
            )


def _check_repeated(rows: pd.DataFrame) -> None:
    finished = rows[rows["status"] == "ok"]
    repeated = finished[finished.duplicated([*BY_ALGORITHM, "seed"], keep=False)]
    if len(repeated):
        dataset, shape, algorithm = repeated[BY_ALGORITHM].iloc[0]
        names = ", ".join(repeated["cell"].iloc[:2])
        raise UserError(
            f"two folders hold {algorithm} on {dataset} {shape} with the same seed and settings: {names}; "
            "move one of them out of the experiment"
        )
