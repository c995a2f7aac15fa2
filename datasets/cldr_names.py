"""`cldr-names`: which language is this name in? Names of territories, languages and currencies from Unicode's CLDR.

A class is a language, an example a name in it. The names come with the package `babel`; nothing is downloaded. A name
that two languages have is left out, and a language is a class if 200 names or more are left. Languages are split under
a seed. A script often gives the language away: the classes of an episode within one script
(``cldr-names-within-script``) cannot be told apart by it. Another version of babel has other names: it is another
dataset, with a fingerprint of its own.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.core.errors import BadData
from datasets.splits.by_seed import split_names
from datasets.text.distinct import Texts, unambiguous
from datasets.text.edition import TextEdition
from datasets.text.normal_form import checked

FEWEST = 200  # names of a language
LONGEST = 256
SEED, FRACTIONS = 0, (0.2, 0.2)  # of the languages


def find(root: Path) -> Sequence[Path] | None:
    """Return the folder of babel's data; None where babel is not installed. Nothing under ``root`` is used."""
    spec = find_spec("babel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "locale-data"
    return [folder] if folder.is_dir() else None


def read(paths: Sequence[Path]) -> Texts:
    """Return the names of each language, which is called ``script/code``, such as ``Latin/de``.

    Raises:
        BadData: too few languages are there.
    """
    from babel import Locale, localedata

    codes = sorted(code for code in localedata.locale_identifiers() if "_" not in code and code != "root")
    names = {code: sorted(set(_names(Locale(code)))) for code in codes}
    return split_by_language(names, str(paths[0]))


def split_by_language(names: Mapping[str, Sequence[str]], where: str) -> Texts:
    """Return the names by split and language, of the languages that have enough names of their own.

    Args:
        names: of each language, by its code.
        where: they come from, for messages.

    Raises:
        BadData: too few languages have enough.
    """
    own = unambiguous(
        {code: checked((name, f"{where}: {code}") for name in of_code) for code, of_code in names.items()}, LONGEST
    )
    kept = {f"{script_of(of_code)}/{code}": of_code for code, of_code in own.items() if len(of_code) >= FEWEST}
    members = split_names("cldr-names", list(kept), FRACTIONS, SEED)
    if members is None:
        raise BadData(f"{where} has {len(kept)} languages with {FEWEST} names of their own, too few; reinstall babel")
    return {split: {name: kept[name] for name in sorted(of_split)} for split, of_split in members.items()}


def script_of(names: Iterable[str]) -> str:
    """Return the script of most letters: the first word of their Unicode names.

    >>> script_of(["Грузия", "CFA"])
    'Cyrillic'
    """
    counts: Counter[str] = Counter()
    for char, count in Counter("".join(names)).items():
        if char.isalpha():
            counts[unicodedata.name(char, "UNKNOWN").split()[0]] += count
    return min(counts, key=lambda script: (-counts[script], script)).capitalize() if counts else "None"


def _names(locale: object) -> Iterable[str]:
    for of_what in ("territories", "languages", "currencies"):
        for name in getattr(locale, of_what).values():
            if name.strip():
                yield name


def english(classes: Iterable[str]) -> dict[str, str]:
    """Return the classes of languages with an English name, with that in the place of the code."""
    from babel import Locale

    names = Locale("en").languages
    parts = ((name, *name.split("/")) for name in classes)
    return {name: f"{script}/{names[code]}" for name, script, code in parts if code in names}


EDITION = TextEdition(
    "cldr-names",
    find,
    lambda root: [Path("the package babel")],
    read,
    LONGEST,
    remedy="install it: uv sync --extra text",
)


@register(
    "cldr-names",
    kind="classification",
    family="text",
    summary="which language is a name in? 176 languages, from CLDR in the package babel; needs no download",
    paper="Unicode CLDR, through babel",
    traits=("text", "scripts"),
)
def load(root: Path) -> Dataset:
    """Return the names; nothing under ``root`` is read.

    Raises:
        DataNotFound: babel is not installed.
    """
    return replace(EDITION.load(root), shown=english)
