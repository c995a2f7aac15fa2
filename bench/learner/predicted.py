"""The table of predictions of a learner that is adapted to a support set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import r2_score

from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.inputs import without_known_tokens
from datasets import UserError

Labelled = tuple[Any, npt.NDArray[Any] | None]
"""Examples, and their classes or targets; None where these are not known."""


@dataclass(frozen=True)
class Predicted:
    """The predictions of an adapted learner.

    Attributes:
        table: a row per query.
        score: the accuracy where all queries are of the support's classes, or R² of two queries or more; None where
            there is no such score.
        n_unknown: queries none of whose tokens the vocabulary has; 0 where there is no vocabulary.
    """

    table: pd.DataFrame
    score: float | None
    n_unknown: int = 0


def predicted(
    learner: FewShotClassifier | FewShotRegressor, support: Labelled, query: Labelled, table: pd.DataFrame, label: str
) -> Predicted:
    """Adapt the learner to the support set, and add its predictions for the queries to a table.

    Args:
        learner: of either kind.
        support: what it is adapted to.
        query: what it predicts for, once.
        table: a row per query; gets the columns ``label`` (where known), ``predicted``, and ``p(<class>)`` of each
            class.
        label: the name of what is predicted.

    Raises:
        UserError: about ``support`` or ``query``; see the learner.
    """
    x, y = query
    with _about("support"):
        learner.fit(*support)
    with _about("query"):
        if isinstance(learner, FewShotRegressor):
            probabilities: dict[str, npt.NDArray[np.float64]] = {}
            values = learner.predict(x)
        else:
            shares = learner.predict_proba(x)
            probabilities = {f"p({name})": shares[:, place] for place, name in enumerate(learner.classes_)}
            values = learner.classes_[shares.argmax(axis=1)]
    known = {} if y is None else {label: y}
    table = table.assign(**(known | {"predicted": values} | probabilities))
    score = None
    if y is not None and isinstance(learner, FewShotRegressor):
        score = float(r2_score(y, values)) if len(y) > 1 else None
    elif y is not None and set(y) <= set(learner.classes_):
        score = float(np.mean(values == y))
    return Predicted(table, score, without_known_tokens(x, learner.trained.form))


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Name what was given in the place of the learner's own argument."""
    try:
        yield
    except UserError as error:
        raise UserError(error.message, field) from None
