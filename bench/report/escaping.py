"""Escape names, labels and messages in Markdown, LaTeX and CSV, so that nothing in them acts as a command."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from datasets.core.printable import printable

_MARKUP = re.compile(r"([\\`*_\[\]|~#])")
_CODE = re.compile("`([^`]+)`")
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
    "§": r"\S{}",
}


def in_markdown(text: str) -> str:
    """Return ``text`` on one line, escaped so that Markdown shows every character as it is, also in a table."""
    return _escaped(" ".join(printable(text).split()))


def prose_in_markdown(text: str) -> str:
    """Return a note on one line, escaped as by ``in_markdown``, but with what stands between two backticks as code.

    >>> prose_in_markdown("<DIR>: `python -m bench cost <DIR>` measures it")
    '&lt;DIR&gt;: `python -m bench cost <DIR>` measures it'
    """
    return "".join(f"`{part}`" if place % 2 else _escaped(part) for place, part in _prose(text))


def prose_in_html(text: str) -> Markup:
    """Return a note escaped for HTML, with what stands between two backticks as code.

    >>> prose_in_html("<DIR>: `python -m bench cost <DIR>` measures it")
    Markup('&lt;DIR&gt;: <code>python -m bench cost &lt;DIR&gt;</code> measures it')
    """
    parts = (Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in _prose(text))
    return Markup("").join(parts)


def prose_in_latex(text: str) -> str:
    """Return a note escaped as by ``in_latex``, with what stands between two backticks in typewriter type."""
    parts = ((place, in_latex(part)) for place, part in _prose(text))
    return "".join(rf"\texttt{{{part}}}" if place % 2 else part for place, part in parts)


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Return the parts of a note with their places; those at odd places are code."""
    return enumerate(_CODE.split(" ".join(printable(text).split())))


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(text, quote=False))


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
