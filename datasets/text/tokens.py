"""Tokenizers: from texts to rows of token ids, by a vocabulary counted on meta-train texts alone, or by hashing.

The id 0 pads a row to its length. With a vocabulary the id 1 stands for all tokens that are not in it.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from datasets.core.randomness import Int64Array
from datasets.text.normal_form import folded, normal

TokenKind = Literal["ngrams", "words", "characters"]
PADDING, UNKNOWN = 0, 1
SHORTEST, LONGEST = 1, 3
"""Characters of an n-gram."""


@dataclass(frozen=True)
class Tokens:
    """The tokens that texts are turned into.

    Attributes:
        kind: ``ngrams`` of 1 to 3 characters within words, hashed; ``words``; or ``characters``.
        length: tokens of a text that are kept, from its start.
        vocabulary: the number of ids: one more than there are buckets of n-grams, two more than words or characters.
    """

    kind: TokenKind = "ngrams"
    length: int = 256
    vocabulary: int = 2048


class Tokenizer(Protocol):
    """Turns texts into ids; the same text gives the same ids whatever stands beside it."""

    def __call__(self, texts: Sequence[str]) -> Int64Array:
        """Return [n, length] ids, padded with 0 on the right."""


class _Apart(dict[int, str]):
    """A table for ``str.translate`` that sets characters which belong to no word apart by spaces.

    Letters, marks and digits of all scripts make words, and what joins them: underscores and invisible joiners.
    """

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        self[code] = chr(code) if category[0] in "LMN" or category in ("Pc", "Cf") else f" {chr(code)} "
        return self[code]


_APART = _Apart()


def words(text: str) -> list[str]:
    """Return the words and other characters of a normal text, in folded case.

    >>> words("What's the नाम?")
    ['what', "'", 's', 'the', 'नाम', '?']
    """
    return folded(text).translate(_APART).split()


def characters(text: str) -> list[str]:
    """Return the characters of a normal text, in folded case.

    >>> characters("Ab c")
    ['a', 'b', ' ', 'c']
    """
    return list(folded(text))


def ngrams(word: str) -> list[str]:
    """Return the n-grams of a word between two spaces, as scikit-learn's ``char_wb`` analyzer does.

    >>> ngrams("ab")
    [' ', 'a', 'b', ' ', ' a', 'ab', 'b ', ' ab', 'ab ']
    """
    padded = f" {word} "
    return [
        padded[start : start + size]
        for size in range(SHORTEST, LONGEST + 1)
        for start in range(max(1, len(padded) - size + 1))
    ]


@dataclass(frozen=True)
class Counted:
    """Ids by the frequency of tokens in meta-train texts.

    Attributes:
        tokens: their form.
        split: makes tokens of a text.
        ids: of each token that is known.
    """

    tokens: Tokens
    split: Callable[[str], list[str]]
    ids: Mapping[str, int]

    def __call__(self, texts: Sequence[str]) -> Int64Array:
        rows = np.full((len(texts), self.tokens.length), PADDING, dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.ids.get(token, UNKNOWN) for token in self.split(normal(text))[: self.tokens.length]]
            row[: len(ids)] = ids
        return rows


class Hashed:
    """Ids by hashing: bucket ``crc32(n-gram) mod (vocabulary - 1)`` and one more; nothing is fitted.

    Args:
        tokens: their form.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._of_word: dict[str, list[int]] = {}  # words come again and again

    def __call__(self, texts: Sequence[str]) -> Int64Array:
        rows = np.full((len(texts), self.tokens.length), PADDING, dtype=np.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = list(islice((id_ for word in folded(normal(text)).split() for id_ in self._ids(word)), len(row)))
            row[: len(ids)] = ids
        return rows

    def _ids(self, word: str) -> list[int]:
        if word not in self._of_word:
            buckets = self.tokens.vocabulary - 1
            self._of_word[word] = [1 + zlib.crc32(gram.encode()) % buckets for gram in ngrams(word)]
        return self._of_word[word]


def fitted(tokens: Tokens, texts: Callable[[], Iterable[str]]) -> Tokenizer:
    """Return the tokenizer.

    Args:
        tokens: which tokens.
        texts: the meta-train texts, asked for where a vocabulary is counted. The most frequent tokens are known; of
            equally frequent ones those with the smaller code points.
    """
    if tokens.kind == "ngrams":
        return Hashed(tokens)
    counts = Counter(token for text in texts() for token in _split(tokens)(text))
    known = sorted(counts, key=lambda token: (-counts[token], token))[: max(0, tokens.vocabulary - 2)]
    return by_vocabulary(tokens, known)


def by_vocabulary(tokens: Tokens, known: Sequence[str]) -> Counted:
    """Return the tokenizer of a vocabulary of words or characters, in the order of their ids from 2 on."""
    return Counted(tokens, _split(tokens), {token: place for place, token in enumerate(known, start=2)})


def _split(tokens: Tokens) -> Callable[[str], list[str]]:
    return words if tokens.kind == "words" else characters
