"""Preprocessing that was fitted on meta-train: the moments of a table's columns, and the vocabulary of texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.learner.trained import DataForm, TableForm
from bench.spec.cell import Cell
from bench.spec.problems import first_problem
from bench.store.integrity import Damaged
from datasets import Dataset, UserError
from datasets.core.table_pools import Column, TableDataset
from datasets.text.dataset import text_pools
from datasets.text.tokens import Counted, by_vocabulary

PREPROCESSING = "preprocessing.json"
MOST_BYTES = 2**27
"""Of the file: 2^20 tokens, or 10,000 columns, with room for long names."""


def is_fitted(cell: Cell) -> bool:
    """Return whether the cell's data was preprocessed by something that was fitted on its meta-train split."""
    return cell.table is not None or (cell.text is not None and cell.text.tokens != "ngrams")


def fitted_form(form: DataForm, cell: Cell, dataset: Dataset, fingerprint: str | None) -> DataForm:
    """Return the form with the preprocessing of the dataset that trained the cell.

    Args:
        form: without it.
        cell: one for which ``is_fitted``.
        dataset: as it is now.
        fingerprint: of the dataset that trained the cell.

    Raises:
        UserError: the dataset is another one by its fingerprint.
    """
    if dataset.fingerprint != fingerprint:
        raise UserError(
            f"{cell.dataset} is not what {cell.id} was trained on (its fingerprint is {dataset.fingerprint[:12]} "
            f"instead of {str(fingerprint)[:12]}), so its preprocessing is not known; restore its files"
        )
    if cell.table is not None:
        assert isinstance(dataset, TableDataset)
        n_features = dataset.pools["train"].n_features
        features, target = dataset.columns[:n_features], dataset.columns[n_features:]
        return replace(form, table=TableForm(features, target[0] if target else None, cell.table.class_column))
    pools = text_pools(dataset)
    assert pools is not None
    return replace(form, tokenizer=pools["train"].tokenizer)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Name = Annotated[str, Field(max_length=10_000)]


class _Column(_Part):
    name: Name
    mean: float
    deviation: float = Field(gt=0)


class _Table(_Part):
    features: list[_Column] = Field(min_length=1)
    target: _Column | None
    class_column: Name | None


class _Preprocessing(_Part):
    table: _Table | None = None
    vocabulary: list[Name] | None = None


def preprocessing_bytes(form: DataForm) -> bytes | None:
    """Return the contents of ``preprocessing.json``; None where nothing was fitted."""
    content: Mapping[str, object]
    if form.table is not None:
        columns = [*form.table.features, *([form.table.target] if form.table.target else [])]
        written = [{"name": column.name, "mean": column.mean, "deviation": column.deviation} for column in columns]
        n_features = len(form.table.features)
        content = {
            "table": {
                "features": written[:n_features],
                "target": written[n_features] if form.table.target else None,
                "class_column": form.table.class_column,
            }
        }
    elif isinstance(form.tokenizer, Counted):
        content = {"vocabulary": list(form.tokenizer.ids)}
    else:
        return None
    return (json.dumps(content, indent=0, allow_nan=False) + "\n").encode()


def with_preprocessing(form: DataForm, content: bytes) -> DataForm:
    """Return the form with the preprocessing that ``preprocessing_bytes`` wrote.

    Raises:
        Damaged: it is none, or does not fit the form.
    """
    try:
        read = _Preprocessing.model_validate_json(content)
    except ValidationError as error:
        raise Damaged(f"{PREPROCESSING}: {first_problem(error, _Preprocessing)}") from None
    if read.table is not None and read.vocabulary is None:
        features, target = (_column(one) for one in read.table.features), read.table.target
        table = TableForm(tuple(features), _column(target) if target else None, read.table.class_column)
        if form.input_shape != (len(table.features),) or (table.target is not None) != (form.kind == "regression"):
            raise Damaged(f"{PREPROCESSING} has {len(table.features)} features for {form.kind} of {form.input_shape}")
        return replace(form, table=table)
    if read.vocabulary is None or read.table is not None or form.text is None or form.text.tokens == "ngrams":
        raise Damaged(f"{PREPROCESSING} is not of the data of this export")
    most = form.text.form.vocabulary - 2
    if len(read.vocabulary) > most or len(set(read.vocabulary)) < len(read.vocabulary):
        raise Damaged(f"{PREPROCESSING} has {len(read.vocabulary)} tokens, of at most {most} different ones")
    return replace(form, tokenizer=by_vocabulary(form.text.form, read.vocabulary))


def _column(read: _Column) -> Column:
    return Column(read.name, read.mean, read.deviation)
