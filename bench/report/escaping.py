"""Text of others (names, labels, messages) in Markdown and CSV, so that nothing in it is a command."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from datasets.core.text import printable

_MARKUP = re.compile(r"([\\`*_\[\]|~#])")
_FORMULA = ("=", "+", "-", "@", "\t", "\n")  # with which a spreadsheet takes a text for a formula


def in_markdown(text: str) -> str:
    """``text`` on one line as Markdown shows it, whatever it holds: no markup, no HTML, no end of a table's cell."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(printable(text).split()), quote=False))


def markdown_table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    """The lines of a table of text in Markdown."""
    return [f"| {' | '.join(map(in_markdown, line))} |" for line in (heads, ["---"] * len(heads), *rows)]


def to_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """The table as CSV; text that a spreadsheet would take for a formula has an apostrophe before it."""
    safe = frame.rename(columns=_not_a_formula)
    for place in range(safe.shape[1]):
        if not pd.api.types.is_numeric_dtype(safe.dtypes.iloc[place]):
            texts = np.empty(len(safe), dtype=object)
            texts[:] = [_not_a_formula(value) for value in safe.iloc[:, place]]
            safe.isetitem(place, texts)
    return str(safe.to_csv(index=False, float_format=float_format, lineterminator="\n"))


def _not_a_formula(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = printable(value).replace("\r\n", "\n").replace("\r", "\n")  # which alone would end a row
    return f"'{text}" if text.startswith(_FORMULA) else text
