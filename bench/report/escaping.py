"""Escape names, labels and messages in Markdown, LaTeX and CSV, so that nothing in them acts as a command."""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd

from datasets.core.text import printable

_MARKUP = re.compile(r"([\\`*_\[\]|~#])")
_FORMULA = ("=", "+", "-", "@", "\t", "\n")  # a text that starts with one of them is a formula to a spreadsheet
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "–": "--",
    "±": r"$\pm$",
    "†": r"$\dagger$",
}


def in_markdown(text: str) -> str:
    """Return ``text`` on one line, escaped so that Markdown shows every character as it is, also in a table."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(printable(text).split()), quote=False))


def in_latex(text: str) -> str:
    """Return ``text`` escaped so that LaTeX prints every character as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def to_csv(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """Return the table as CSV; text that a spreadsheet would read as a formula has an apostrophe before it."""
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
