"""All data frames of a search together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bench.tuning.report import reruns, tables
from bench.tuning.study import Opened


@dataclass(frozen=True)
class SearchTables:
    """The results of a search.

    Attributes:
        trials: a row per attempt at a trial.
        studies: a row per study.
        values: a row per study and hyper-parameter.
        searches: a row per study and number of trials.
        importances: a row per study and hyper-parameter.
        compared: a row per study that was compared with its default on fresh seeds.
        defaults: a row per study whose default won and was tested on fresh seeds.
        without_result: a row per study, default or tuned values, and fresh seed on which they have no result.
    """

    trials: pd.DataFrame
    studies: pd.DataFrame
    values: pd.DataFrame
    searches: pd.DataFrame
    importances: pd.DataFrame
    compared: pd.DataFrame
    defaults: pd.DataFrame
    without_result: pd.DataFrame = field(default_factory=pd.DataFrame)

    def of(self, dataset: str, shape: str) -> SearchTables:
        """Return the rows of one dataset and shape."""
        return SearchTables(**{name: _rows_of(table, dataset, shape) for name, table in vars(self).items()})

    @property
    def places(self) -> list[tuple[str, str]]:
        """The datasets and shapes, in the order of the studies."""
        return list(dict.fromkeys(zip(self.studies["dataset"], self.studies["shape"], strict=True)))

    @property
    def metrics(self) -> dict[str, str]:
        """The metric of validation values, by dataset."""
        return dict(zip(self.studies["dataset"], self.studies["metric"], strict=True))

    @property
    def seeds(self) -> list[str]:
        """The fresh seeds of all re-runs, with those that gave no result, in ascending order."""
        texts = [text for table in (self.compared, self.defaults) if len(table) for text in table["seeds"]]
        seeds = {int(seed) for text in texts for seed in text.split()}
        seeds |= set(self.without_result["seed"]) if len(self.without_result) else set()
        return [str(seed) for seed in sorted(seeds)]


def _rows_of(table: pd.DataFrame, dataset: str, shape: str) -> pd.DataFrame:
    return table[(table["dataset"] == dataset) & (table["shape"] == shape)] if len(table) else table


def search_tables(done: Sequence[Opened], out: Path) -> SearchTables:
    """Return the results of these studies and of their re-runs in ``out``.

    Raises:
        UserError: the re-runs cannot be compared.
    """
    return SearchTables(
        tables.trials(done),
        tables.studies(done),
        tables.values(done),
        tables.searches(done),
        tables.importances(done),
        reruns.default_and_tuned(done, out, np.random.default_rng(0)),
        reruns.default_on_fresh_seeds(done, out),
        reruns.without_result(done, out),
    )
