"""The splits of Omniglot's characters, each a stated function of their names: the same on every machine.

A character is named ``alphabet/character``, such as ``Greek/character01``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.core.randomness import choose, key_of

SMALL_ALPHABETS: Mapping[Split, tuple[str, ...]] = {
    "train": ("Greek", "Japanese_(katakana)", "Korean", "Latin"),
    "val": ("Balinese", "Early_Aramaic"),
    "test": ("Sanskrit", "Tagalog"),
}
"""The larger alphabets train; alphabets are never shared. Ours: no paper splits the small sets."""

RANDOM_SPLIT: Mapping[Split, int] = {"train": 1100, "val": 100, "test": 423}
OFFICIAL_VALIDATION_ALPHABETS = 5

Splits = Mapping[Split, Sequence[str]]
"""The characters of each split, by name."""


def split_by_alphabet(characters: Sequence[str], alphabets: Mapping[Split, Sequence[str]]) -> Splits:
    """The characters of the alphabets of each split."""
    return {split: [c for c in sorted(characters) if alphabet_of(c) in alphabets[split]] for split in SPLITS}


def split_at_random(characters: Sequence[str], sizes: Mapping[Split, int] = RANDOM_SPLIT) -> Splits:
    """The split of Finn et al. 2017 and Santoro et al. 2016 in kind: characters of all alphabets, shuffled once.

    MAML's own shuffle began from the order in which the file system listed the folders, so it cannot be had again.
    Here the sorted names are permuted by counter (``datasets.core.randomness``): the same split on every machine.
    """
    names = sorted(characters)
    order = choose(np.asarray(key_of("omniglot random split")), len(names), len(names))
    bounds = np.cumsum([0, *(sizes[split] for split in SPLITS)])
    if bounds[-1] != len(names):
        raise BadData(f"the random split is of {bounds[-1]} characters, but there are {len(names)}")
    return {
        split: sorted(names[i] for i in order[start:stop])
        for split, start, stop in zip(SPLITS, bounds[:-1], bounds[1:], strict=True)
    }


def split_officially(background: Sequence[str], evaluation: Sequence[str]) -> Splits:
    """Lake et al.'s background and evaluation sets; validation is five background alphabets, drawn by counter."""
    alphabets = sorted({alphabet_of(character) for character in background})
    chosen = choose(np.asarray(key_of("omniglot validation alphabets")), len(alphabets), OFFICIAL_VALIDATION_ALPHABETS)
    held_out = {alphabets[i] for i in chosen}
    return {
        "train": [c for c in sorted(background) if alphabet_of(c) not in held_out],
        "val": [c for c in sorted(background) if alphabet_of(c) in held_out],
        "test": sorted(evaluation),
    }


VINYALS_VALIDATION = ("Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)")
"""Alphabets of the background set."""
VINYALS_TEST = 423


def split_as_vinyals(background: Sequence[str], evaluation: Sequence[str]) -> Splits:
    """Return the split of Vinyals et al. 2016, which ProtoNet and later papers use: 1,028, 172 and 423 characters.

    The characters that test are the last 423 of the evaluation set in the order of their names, which cuts Gurmukhi in
    two (four of its 45 characters test); five background alphabets validate.
    """
    ordered = sorted(evaluation)
    names = [*sorted(background), *ordered[:-VINYALS_TEST]]
    return {
        "train": sorted(name for name in names if alphabet_of(name) not in VINYALS_VALIDATION),
        "val": [name for name in names if alphabet_of(name) in VINYALS_VALIDATION],
        "test": ordered[-VINYALS_TEST:],
    }


def alphabet_of(character: str) -> str:
    """``Greek`` for ``Greek/character01``."""
    return character.split("/")[0]
