"""Rules by which no text stands in two splits, and none has two labels.

Two texts are the same where their kept parts (see ``normal_form.cut``) are, in folded case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from datasets.core.episodes import Split
from datasets.text.normal_form import cut, folded

Texts = Mapping[Split, Mapping[str, Sequence[str]]]
"""The texts of each class, by split."""


def key(text: str, longest: int) -> str:
    """Return what the text is compared by."""
    return folded(cut(text, longest).decode())


def once(texts: Sequence[str], longest: int) -> list[str]:
    """Return the texts without those that stood before, in their order.

    >>> once(["Yes", "no", "yes"], 9)
    ['Yes', 'no']
    """
    return list(_keyed(texts, longest).values())


def _keyed(texts: Sequence[str], longest: int) -> dict[str, str]:
    kept: dict[str, str] = {}
    for text in texts:
        kept.setdefault(key(text, longest), text)
    return kept


def unambiguous(classes: Mapping[str, Sequence[str]], longest: int) -> dict[str, list[str]]:
    """Return each class's texts once, without those that two classes have.

    >>> unambiguous({"en": ["Angola", "Germany"], "de": ["angola", "Deutschland"]}, 99)
    {'en': ['Germany'], 'de': ['Deutschland']}
    """
    single = {name: _keyed(texts, longest) for name, texts in classes.items()}
    counts = Counter(own for texts in single.values() for own in texts)
    return {name: [text for own, text in texts.items() if counts[own] == 1] for name, texts in single.items()}


def apart(texts: Texts, longest: int) -> dict[Split, dict[str, list[str]]]:
    """Return each class's texts once, those of test out of validation, and those of both out of training.

    >>> apart({"train": {"a": ["x", "y"]}, "val": {"b": ["y", "z"]}, "test": {"c": ["z"]}}, 9)
    {'train': {'a': ['x']}, 'val': {'b': ['y']}, 'test': {'c': ['z']}}
    """
    later: set[str] = set()
    kept: dict[Split, dict[str, list[str]]] = {}
    order: tuple[Split, ...] = ("test", "val", "train")
    for split in order:
        own = {name: _keyed(of_class, longest) for name, of_class in texts[split].items()}
        kept[split] = {
            name: [text for own_key, text in of_class.items() if own_key not in later] for name, of_class in own.items()
        }
        later.update(*own.values())
    return {"train": kept["train"], "val": kept["val"], "test": kept["test"]}
