"""CLINC150 (Larson et al. 2019, "An evaluation dataset for intent classification and out-of-scope prediction").

Requests of 150 intents in 10 domains, 150 each; the out-of-scope requests are not used.

Split by domain, which is ours: the paper splits the requests of each intent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets.core.entry import register
from datasets.core.episodes import Dataset, Split
from datasets.core.errors import BadData
from datasets.storage.reading import require_file
from datasets.text.distinct import Texts, unambiguous
from datasets.text.edition import TextEdition, files_under, missing_under
from datasets.text.normal_form import checked, decoded

FILES = ("text/clinc150/data_full.json", "text/clinc150/domains.json")
PARTS = ("train", "val", "test")  # of the requests of each intent
LONGEST = 256

DOMAINS: Mapping[Split, tuple[str, ...]] = MappingProxyType(
    {
        "train": ("banking", "credit_cards", "home", "kitchen_and_dining", "utility"),
        "val": ("auto_and_commute", "small_talk"),
        "test": ("meta", "travel", "work"),
    }
)


def read(paths: Sequence[Path]) -> Texts:
    """Return the requests of each intent, which is called ``domain/intent``.

    Requests that two intents have are left out, and so are repeated ones.

    Raises:
        BadData: a file is not what it should be.
    """
    data, domains = (_json(path) for path in paths)
    where = paths[0]
    try:
        pairs = [(part, i, text, intent) for part in PARTS for i, (text, intent) in enumerate(data[part])]
        of_intent = {str(intent): str(domain) for domain, intents in domains.items() for intent in intents}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{where} or {paths[1]} has another form than CLINC150's ({error!r}); get a new copy") from None
    classes: dict[str, list[tuple[str, str]]] = {}
    for part, i, text, intent in pairs:
        if not isinstance(text, str) or intent not in of_intent:
            raise BadData(f"{where}: request {i} of {part} has no intent of {paths[1].name}; get a new copy")
        name = f"{of_intent[intent]}/{intent}"
        classes.setdefault(name, []).append((text, f"{where}: request {i} of {part}"))
    kept = unambiguous({name: checked(places) for name, places in classes.items()}, LONGEST)
    texts: dict[Split, dict[str, list[str]]] = {
        split: {name: own for name, own in kept.items() if name.split("/")[0] in domains}
        for split, domains in DOMAINS.items()
    }
    if lost := sorted(set(kept) - {name for of_split in texts.values() for name in of_split}):
        raise BadData(f"{paths[1]}: '{lost[0]}' is of no domain of CLINC150; get a new copy")
    if empty := [split for split, of_split in texts.items() if not of_split]:
        raise BadData(f"{where} has no intents of the {empty[0]} domains; get a new copy")
    return texts


def _json(path: Path) -> Any:
    require_file(path)
    try:
        return json.loads(decoded(path.read_bytes(), path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadData(f"{path} is no JSON ({error}); get a new copy") from None


EDITION = TextEdition("clinc150", files_under(*FILES), missing_under(*FILES), read, LONGEST)


@register(
    "clinc150",
    kind="classification",
    family="text",
    summary="requests of 150 intents in 10 domains, split by domain (75/30/45 intents)",
    paper="Larson et al. 2019, arXiv 1909.02027",
    traits=("text",),
)
def load(root: Path) -> Dataset:
    """Return CLINC150 from its cache, built from its files under ``root`` if need be.

    Raises:
        DataNotFound: neither is there.
        BadData: the files are not CLINC150's.
    """
    return EDITION.load(root)
