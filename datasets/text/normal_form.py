"""The normal form of a text, in which texts are stored and compared.

Stored: Unicode normal form C; control characters, NUL among them, count as spaces; runs of spaces are one. Compared and
tokenized: the same in folded case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from datasets.core.errors import BadData

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")  # control characters


def normal(text: str) -> str:
    r"""Return the text in the form in which it is stored.

    >>> normal("\tCafe\u0301  au\x00lait \n") == "Caf\u00e9 au lait"
    True
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(_SPACES)).split())


def folded(text: str) -> str:
    """Return a normal text in folded case, in normal form C again.

    >>> folded("Straße İzmir") == "strasse i̇zmir"
    True
    """
    return unicodedata.normalize("NFC", text.casefold())


def cut(text: str, longest: int) -> bytes:
    r"""Return the UTF-8 of a text up to ``longest`` bytes; no character is parted, nor a mark from its base.

    >>> cut("añb", 3), cut("añb", 2), cut("ae\u0301", 2)
    (b'a\xc3\xb1', b'a', b'a')
    """
    encoded = text.encode()
    if len(encoded) <= longest:
        return encoded
    whole = kept = encoded[:longest].decode(errors="ignore")
    if unicodedata.combining(text[len(kept)]):
        while kept and unicodedata.combining(kept[-1]):
            kept = kept[:-1]
        kept = kept[:-1].rstrip()
    return (kept or whole).rstrip().encode()  # a text of one base with marks without end is parted


def decoded(content: bytes, path: Path) -> str:
    """Return the text of a file; raises BadData with the line where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadData(f"{path}: line {line} is not valid UTF-8; get a new copy, or save the file as UTF-8") from None


def checked(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Return texts in normal form.

    Args:
        texts: pairs of a text and of its place, which messages name.

    Raises:
        BadData: one is empty, or holds half of a surrogate pair.
    """
    result = []
    for text, where in texts:
        if _SURROGATE.search(text):
            raise BadData(f"{where} is not valid Unicode: {ascii(text)[:80]}; get a new copy, or correct it")
        if not (content := normal(text)):
            raise BadData(f"{where} has no text; fill it in, or leave it out")
        result.append(content)
    return result
