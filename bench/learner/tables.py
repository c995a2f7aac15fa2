"""Tables of rows or of texts as support and query sets, and the table of predictions for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.predicted import Predicted, predicted
from bench.learner.trained import DataForm
from datasets import UserError
from datasets.formats.table import read_columns
from datasets.formats.table_files import SUFFIXES, column_names
from datasets.storage.paths import user_path

TEXT, LABEL = "text", "label"
"""The columns of a table of texts."""


@dataclass(frozen=True)
class Examples:
    """The rows of a file.

    Attributes:
        x: [n, features] numbers, or [n] texts.
        y: [n] names of classes, or targets; None where the file has none.
    """

    x: Any
    y: npt.NDArray[Any] | None


def read_examples(given: Path | str, form: DataForm, field: str, *, labelled: bool) -> Examples:
    """Return the rows of a ``.csv``, ``.tsv``, ``.parquet`` or ``.npz`` file, its columns taken by their names.

    Args:
        given: the file. Texts are in a column ``text`` and their classes in ``label``; the columns of a table are
            called as in the one that the network was trained on.
        form: of the data that the network takes.
        field: what messages call ``given``.
        labelled: whether classes or targets are required.

    Raises:
        UserError: there is no such file.
        BadData: a column is missing, or holds what no network takes.
    """
    path = user_path(given, field)
    if path.suffix not in SUFFIXES or not path.is_file():
        raise UserError(f"there is no table at {path}; give a {', '.join(SUFFIXES)} file", field)
    table = form.table
    numbers = [column.name for column in table.features] if table is not None else []
    names = [] if table is not None else [TEXT]
    of_label = _label(form)
    has_label = labelled or of_label in column_names(path)
    if has_label:
        (numbers if form.kind == "regression" else names).append(of_label)
    read, texts = read_columns(path, numbers, names)
    if form.kind == "regression":
        return Examples(read[:, :-1], read[:, -1]) if has_label else Examples(read, None)
    y = np.array(texts[-1], dtype=object) if has_label else None
    return Examples(texts[0] if table is None else read, y)


def _label(form: DataForm) -> str:
    """Return the name of the column that is predicted."""
    if form.table is None:
        return LABEL
    return form.table.target.name if form.table.target is not None else str(form.table.class_column)


def table_predictions(
    learner: FewShotClassifier | FewShotRegressor, support: Path | str, query: Path | str
) -> Predicted:
    """Return a row per query as ``bench.learner.folders.predictions`` does, with ``row`` in the place of ``file``.

    The score is R² for regression. Rows are counted from 1.
    """
    form = learner.trained.form
    shots = read_examples(support, form, "support", labelled=True)
    queries = read_examples(query, form, "query", labelled=False)
    table = pd.DataFrame({"row": np.arange(1, len(queries.x) + 1)})
    return predicted(learner, (shots.x, shots.y), (queries.x, queries.y), table, _label(form))
