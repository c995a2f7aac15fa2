"""Settings of an experiment: cells that differ in more than the seed are never averaged.

Everything that averages, ranks or compares takes its rows from ``together``: there, cells of one algorithm, dataset and
shape under several settings are separate rows, with the difference behind the algorithm's name. A run that would create
such cells is refused by ``refuse_other_settings``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.spec.cell import Cell
from bench.store.store import SETTING, Store
from datasets import UserError

BY_SHAPE = ["dataset", "shape"]
BY_ALGORITHM = [*BY_SHAPE, "algorithm"]
USUAL = "usual"  # what a setting that says nothing stands for
SHOWN = 3  # differences that a label names; where there are more, it says how many


def together(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one experiment or of several, as they count together.

    - Of a cell that several experiments hold, its result counts, else the first.
    - A result stands in for what ended without one under the same algorithm, dataset, shape and seed, whatever the
      settings: the failure was mended.
    - Where what is left of an algorithm on a dataset and shape has several settings, each is an algorithm of its own:
      ``maml (test_steps=2)`` and ``maml (test_steps=5)``.

    Args:
        rows: ``Store.rows()``, or those of several stores one below the other.
    """
    ok = rows["status"] == "ok"
    first = rows.assign(_without=~ok).sort_values("_without", kind="stable").drop_duplicates("cell").index
    rows = rows.loc[sorted(first)]
    keys = [*BY_ALGORITHM, "seed"]
    finished = pd.MultiIndex.from_frame(rows.loc[rows["status"] == "ok", keys])
    mended = (rows["status"] != "ok") & pd.MultiIndex.from_frame(rows[keys]).isin(finished)
    rows = rows[~mended].reset_index(drop=True)
    return rows.assign(algorithm=_names(rows))


def plain(row: Mapping[Any, Any]) -> str:
    """The algorithm of a row of ``together`` without what stands behind its name."""
    setting = row.get(SETTING)
    return str(json.loads(setting)["algorithm"]) if isinstance(setting, str) else str(row["algorithm"])


def renamed(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Episodes or curves, with the algorithms' names of ``rows``; those of cells that do not count are left out.

    Args:
        table: with a column ``cell``.
        rows: of ``together``.
    """
    if not len(table):
        return table
    names = dict(zip(rows["cell"], rows["algorithm"], strict=True))
    kept = table[table["cell"].isin(names)]
    return kept.assign(algorithm=kept["cell"].map(names)).reset_index(drop=True)


def refuse_other_settings(cells: Sequence[Cell], store: Store) -> None:
    """See that no cell of a run differs in more than the seed from a finished one of the store.

    Raises:
        UserError: one does; what differs is named.
    """
    wanted: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cell in cells:
        wanted.setdefault((cell.algorithm, cell.dataset, cell.shape), cell.setting)
    for there in store.finished_cells():
        new_setting = wanted.get((there.algorithm, there.dataset, there.shape))
        if new_setting is not None and new_setting != there.setting:
            old, new = labels([there.setting, new_setting])
            raise UserError(
                f"{store.label} holds {there.algorithm} on {there.dataset} {there.shape} with other settings "
                f"than these ({old} there, {new} here); give another `out=`, or move that folder away"
            )


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells the settings apart, each from all others: ``inner_lr=0.1, train.episodes=2000``."""
    flat = [dict(_flat(setting)) for setting in settings]
    names = list(dict.fromkeys(name for setting_values in flat for name in setting_values))
    differing = [name for name in names if len({_value(setting_values, name) for setting_values in flat}) > 1]
    texts = [_label(setting_values, differing) for setting_values in flat]
    if len(set(texts)) == len(texts):
        return texts
    return [f"{text}, {_digest(setting)}" for text, setting in zip(texts, settings, strict=True)]


def _names(rows: pd.DataFrame) -> pd.Series:
    """The algorithms' names, with what differs behind those that have several settings on a dataset and shape."""
    names = rows["algorithm"].astype(object)
    for (_, _, algorithm), part in rows.groupby(BY_ALGORITHM, sort=False):
        settings = sorted(part[SETTING].dropna().unique())
        if len(settings) > 1:
            label_of = dict(zip(settings, labels([json.loads(text) for text in settings]), strict=True))
            known = part[SETTING].dropna()
            names.loc[known.index] = [f"{algorithm} ({label_of[setting]})" for setting in known]
    return names


def _flat(setting: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in setting.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}".removeprefix("hparams."), value


def _value(flat: Mapping[str, Any], name: str) -> str:
    """Everything of the value, so that those which differ are unequal texts."""
    return json.dumps(flat[name]) if name in flat else ""


def _label(flat: Mapping[str, Any], differing: Sequence[str]) -> str:
    parts = [f"{name}={_short(name, flat.get(name, USUAL))}" for name in differing]
    more = len(parts) - SHOWN
    return ", ".join(parts[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _short(name: str, value: Any) -> str:
    if value is None:
        return USUAL if name.startswith("network.") else "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _digest(setting: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:6]
