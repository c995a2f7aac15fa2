"""The tables of a finished cell: checks of their columns and rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from algorithms.core.modes import MODES
from bench.store.integrity import Damaged

if TYPE_CHECKING:
    from bench.spec.external import ExternalSpec
    from datasets.core.episodes import Kind

EPISODES, CURVE, BUDGETS = "episodes.parquet", "curve.parquet", "budgets.parquet"
_COUNTS = ("episode", "step", "n_query")


def read_episodes(content: bytes, kind: Kind, external: ExternalSpec | None = None) -> pa.Table:
    """The table of a cell's test episodes: a row per episode and inner step, in that order.

    An external cell's table has the columns of its modes alone, and may lack the log-likelihoods.

    Raises:
        Damaged: it is no Parquet, or has other columns or rows than were written.
    """
    table = _read(EPISODES, content)
    _check_episodes(EPISODES, table, kind, external)
    return table


def read_budgets(content: bytes, kind: Kind) -> pa.Table:
    """The table of a cell's test episodes at earlier budgets: those of each budget, as ``read_episodes`` has them, one
    below the other, with a column ``budget`` before them.

    Raises:
        Damaged: it is no Parquet, or has other columns or rows than were written.
    """
    table = _read(BUDGETS, content)
    if table.column_names[:1] != ["budget"] or not _is(table.schema.field("budget").type, "whole numbers"):
        raise Damaged(f"{BUDGETS} does not begin with a column of budgets")
    if table["budget"].null_count or (np.diff(table["budget"].to_numpy()) < 0).any():
        raise Damaged(f"{BUDGETS} does not hold the budgets in order")
    for budget in np.unique(table["budget"].to_numpy()):
        _check_episodes(BUDGETS, table.filter(pa.compute.equal(table["budget"], budget)).drop_columns(["budget"]), kind)
    return table


def _check_episodes(file: str, table: pa.Table, kind: Kind, external: ExternalSpec | None = None) -> None:
    modes = MODES if external is None else external.modes
    correct, nll = ([f"{name}_{mode}" for mode in modes] for name in ("n_correct", "nll"))
    if external is not None and not set(nll) & set(table.column_names):
        nll = []  # of labels without probabilities
    alone = {"regression": ["mse"], "control": ["return"]}
    losses, counts = (alone[kind], []) if kind in alone else (nll, correct)
    expected = dict.fromkeys([*_COUNTS, *counts], "whole numbers") | {"class_ids": "lists of whole numbers"}
    _check_columns(file, table, expected | dict.fromkeys(losses, "numbers"), set())
    if not table.num_rows:
        raise Damaged(f"{file} has no rows")
    episode, step, n_query = (table[name].to_numpy() for name in _COUNTS)
    n_steps = int((episode == episode[0]).cumprod().sum())
    if len(episode) % n_steps:
        raise Damaged(f"{file} has {len(episode)} rows, not {n_steps} for each episode")
    by_episode, by_step = episode.reshape(-1, n_steps), step.reshape(-1, n_steps)
    if (by_episode != by_episode[:, :1]).any() or (np.diff(by_episode[:, 0]) <= 0).any():
        raise Damaged(f"{file} does not hold each episode once, in order")
    if (by_step != by_step[0]).any() or (np.diff(by_step[0]) <= 0).any():
        raise Damaged(f"{file} does not hold the same steps of each episode, in order")
    last = slice(n_steps - 1, None, n_steps)
    if not all(np.isfinite(table[name].to_numpy()[last]).all() for name in losses):
        raise Damaged(f"{file} has a loss after the last step that is not finite")
    if (n_query < 1).any() or any(
        ((right := table[name].to_numpy()) < 0).any() or (right > n_query).any() for name in counts
    ):
        raise Damaged(f"{file} has counts that cannot be: fewer than none or more than all queries")
    classes = table["class_ids"].combine_chunks()
    lengths = np.unique(pa.compute.list_value_length(classes).to_numpy())
    if len(lengths) > 1 or classes.flatten().null_count:
        raise Damaged(f"{file} does not hold equally many classes of each episode")


def read_curve(content: bytes) -> pa.Table:
    """The table of a cell's measurements during training: a row each, none where there was none.

    Raises:
        Damaged: it is no Parquet, or has other columns than were written.
    """
    table = _read(CURVE, content)
    measured = {"val_mse", "val_return", *(f"val_accuracy_{mode}" for mode in MODES)}
    if table.num_rows or table.num_columns:
        _check_columns(CURVE, table, {"outer_step": "whole numbers", "train_loss": "numbers"}, measured)
    return table


def _read(name: str, content: bytes) -> pa.Table:
    try:
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damaged(f"{name} cannot be read ({(str(error).splitlines() or ['no reason'])[0]})") from None


def _check_columns(file: str, table: pa.Table, expected: dict[str, str], optional: set[str]) -> None:
    """Raises Damaged where columns are missing, too many, of another type or with gaps; ``optional`` hold numbers."""
    names = table.column_names
    if len(set(names)) < len(names) or set(names) - optional != set(expected):
        raise Damaged(f"{file} has the columns {_listed(names)} instead of {_listed(sorted(expected))}")
    for name, what in (expected | dict.fromkeys(optional & set(names), "numbers")).items():
        kind = table.schema.field(name).type
        if not _is(kind, what) or table[name].null_count:
            raise Damaged(f"{file} holds {kind} with {table[name].null_count} gaps in '{name}' instead of {what}")


def _is(kind: pa.DataType, what: str) -> bool:
    if what == "lists of whole numbers":
        return bool(pa.types.is_list(kind)) and _is(kind.value_type, "whole numbers")
    return bool(pa.types.is_signed_integer(kind) if what == "whole numbers" else pa.types.is_floating(kind))


def _listed(names: list[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 200 else f"{text[:200]}..."
