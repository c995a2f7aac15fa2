"""A user's rows of numbers, standardized as those of meta-train were; each mistake is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bench.learner.trained import TableForm
from bench.spec.problems import shortened
from datasets import UserError
from datasets.core.registry import suggest
from datasets.core.table_pools import FARTHEST, Column, standardized, too_far
from datasets.formats.table_files import shown

_SHOWN = 6  # columns in a message


def rows(given: Any, form: TableForm, field: str) -> Tensor:
    """Return rows [n, features] float32 as the network takes them.

    Args:
        given: an array, a tensor or lists [n, features] in the units of the table, with the columns in their order; or
            a data frame, whose columns are taken by their names.
        form: of the table.
        field: what messages call it.

    Raises:
        UserError: other columns, missing values, or values that are no numbers.
    """
    names = [column.name for column in form.features]
    listed = ", ".join(map(shown, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    if isinstance(given, pd.DataFrame):
        present = [str(name) for name in given.columns]
        for name in names:
            if present.count(name) != 1:
                near = suggest(name, present) or ";"
                how = "two columns" if present.count(name) else "no column"
                raise UserError(f"has {how} '{shown(name)}'{near} this learner takes: {listed}", field)
        given = given.iloc[:, [present.index(name) for name in names]].to_numpy()
    values = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise UserError(f"got {shortened(values)}; give rows of {len(names)} numbers: {listed}", field)
    try:
        array = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=object)
    except ValueError:
        raise UserError(f"holds rows of different lengths; give {len(names)} numbers each: {listed}", field) from None
    if not len(array):
        raise UserError("got no examples; give at least one", field)
    if array.ndim != 2 or array.shape[1] != len(names):
        raise UserError(f"has shape {array.shape}, but must be [n, {len(names)}], with the columns {listed}", field)
    return torch.from_numpy(_standardized(array, form.features, field))


def _standardized(array: npt.NDArray[Any], columns: tuple[Column, ...], field: str) -> npt.NDArray[np.float32]:
    """Return an array [n, columns] standardized; raises UserError with row and column where a value is no number."""
    numbers = np.empty(array.shape, dtype=np.float64)
    for place, column in enumerate(columns):
        numbers[:, place] = _numbers(array[:, place], f"column '{shown(column.name)}'", field)
    for place, column in enumerate(columns):
        if len(far := too_far(numbers[:, place], column)):
            raise UserError(
                f"column '{shown(column.name)}' has {numbers[far[0], place]:g} in row {far[0] + 1}, over "
                f"{FARTHEST:,.0f} standard deviations from its mean in training, {column.mean:g}",
                field,
            )
    return standardized(numbers, columns)


def _numbers(values: npt.NDArray[Any], where: str, field: str) -> npt.NDArray[np.float64]:
    if values.dtype.kind not in "fiub":
        for row, value in enumerate(values.tolist(), start=1):
            if value is None or value is pd.NA or value is pd.NaT:
                raise UserError(f"{where} has a missing value in row {row}; fill it in, or leave out the row", field)
            if not isinstance(value, int | float | np.number | np.bool_):
                raise UserError(f"{where} has {shortened(value)} in row {row}, which is no number", field)
    numbers = values.astype(np.float64)
    if len(lacking := np.flatnonzero(np.isnan(numbers))):
        raise UserError(f"{where} has a missing value in row {lacking[0] + 1}; fill it in, or leave out the row", field)
    if len(infinite := np.flatnonzero(np.isinf(numbers))):
        raise UserError(f"{where} has an infinite value in row {infinite[0] + 1}; correct it", field)
    return numbers


def standardized_targets(values: npt.NDArray[np.float64], target: Column, field: str) -> npt.NDArray[np.float32]:
    """Return finite targets [n] or [n, 1] as the network learns them; raises UserError where one is far too large."""
    return _standardized(values.reshape(-1, 1), (target,), field).reshape(values.shape)
