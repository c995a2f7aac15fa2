"""The tokens of a dataset of texts, as a grid writes them and a cell stores them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from bench.spec.model import Model
from bench.spec.network import NetworkSpec
from bench.spec.problems import shortened
from datasets import DatasetEntry

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.text.tokens import Tokens

MOST_TOKENS = 4096  # of a text
MOST_IDS = 2**20
USUAL = {"ngrams": (256, 2048), "words": (32, 4096), "characters": (64, 1024)}
"""Length and vocabulary where none are given."""


class TextSpec(Model):
    """The tokens that the network of a cell is given; see ``datasets.text.tokens.Tokens``.

    Attributes:
        tokens: n-grams of 1 to 3 characters, hashed; words; or characters.
        length: tokens of a text that are kept, from its start.
        vocabulary: the number of ids.
    """

    tokens: Literal["ngrams", "words", "characters"]
    length: int | None = Field(None, ge=1, le=MOST_TOKENS)
    vocabulary: int | None = Field(None, ge=3, le=MOST_IDS)

    @model_validator(mode="before")
    @classmethod
    def _tokens_alone(cls, content: object) -> object:
        if isinstance(content, str):
            near = content if content in USUAL else "words"
            raise ValueError(f"got {shortened(content)}; write {{tokens: {near}}}; tokens are {', '.join(USUAL)}")
        return content

    def complete(self) -> TextSpec:
        """Return the same with every number."""
        length, vocabulary = USUAL[self.tokens]
        return TextSpec(
            tokens=self.tokens,
            length=length if self.length is None else self.length,
            vocabulary=vocabulary if self.vocabulary is None else self.vocabulary,
        )

    @property
    def form(self) -> Tokens:
        """The tokens as the datasets know them."""
        from datasets.text.tokens import Tokens

        complete = self.complete()
        assert complete.length is not None
        assert complete.vocabulary is not None
        return Tokens(complete.tokens, complete.length, complete.vocabulary)

    def applied(self, entry: DatasetEntry) -> DatasetEntry:
        """Return the entry of the same dataset with these tokens."""

        def load(root: Path) -> Dataset:
            from datasets.text.dataset import tokenized

            return tokenized(entry.load(root), self.form)

        return replace(entry, load=load, input_shape=(self.form.length,))


def usual_text(network: NetworkSpec) -> TextSpec:
    """Return the tokens for a network where a grid gives none: n-grams for ``text-mlp``, words for all others."""
    return TextSpec(tokens="ngrams" if network.name == "text-mlp" else "words").complete()


def usual_network() -> NetworkSpec:
    """Return the network of texts where a grid gives none."""
    return NetworkSpec(name="text-mlp").complete()
