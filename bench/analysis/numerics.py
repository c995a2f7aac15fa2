"""Warnings about tables that mix results of several versions of the numerics."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

import pandas as pd

from bench.store.records import NUMERICS


def numerics_notes(rows: pd.DataFrame) -> list[str]:
    """Return what a table of these cells must say of the numerics behind it; empty where one known version made all.

    Args:
        rows: a row per cell, as ``Store.rows`` gives them.
    """
    finished = rows[rows["status"] == "ok"]
    return list(_notes(finished)) if len(finished) else []


def _notes(finished: pd.DataFrame) -> Iterator[str]:
    stated = [json.loads(text) for text in finished[NUMERICS].dropna()] if NUMERICS in finished else []
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for versions in stated:
        for part, number in versions.items():
            counts[part][number] += 1
    mixed = [
        f"{part} {' and '.join(f'{number} ({cells} cells)' for number, cells in sorted(of.items()))}"
        for part, of in counts.items()
        if len(of) > 1
    ]
    if mixed:
        yield (
            f"results of several versions of the numerics stand side by side: {'; '.join(mixed)}; "
            "part of a difference may come from that"
        )
    unknown = len(finished) - len(stated)
    if unknown:
        which = "the results" if not stated else f"{unknown} of {len(finished)} results"
        yield f"the version of the numerics behind {which} is unknown: they were written before versions were recorded"
