"""Standard output and standard error, set up so that any text can be printed whatever they can encode."""

from __future__ import annotations

import codecs
import io
import os
import sys

PLAIN = {
    "±": "+-",
    "–": "-",
    "—": "-",
    "×": "x",
    "†": "+",
    "‡": "++",
    "§": "#",
    "✓": "+",
    "✗": "x",
    "▸": ">",
    "»": ">",
    "·": ".",
    "…": "...",
}
NARROWEST = 40  # columns in which tables still show something


def prepare_output() -> None:
    """Let both outputs take any text, and a width that is none count as not given."""
    codecs.register_error("bench.plain", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.plain")
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) == 0:
        os.environ.pop("COLUMNS", None)
    elif int(columns) < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace what an encoding lacks by something like it, or by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(
        PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode() for character in text
    ), error.end
