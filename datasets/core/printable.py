"""Text from plug-ins, stored files and file names, made safe for every output."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""``text`` with lone surrogates, which no file and no terminal takes, written as ``\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(error: BaseException) -> str:
    """An exception's message, whatever its ``__str__`` does; ``no message`` where it is empty."""
    try:
        text = str(error).strip()
    except BaseException as problem:
        text = f"no message, because its __str__ raises {type(problem).__name__}"
    return printable(text) or "no message"


def first_line_of(error: BaseException) -> str:
    """The first line of ``text_of``."""
    return text_of(error).splitlines()[0]
