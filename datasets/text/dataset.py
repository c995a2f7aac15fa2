"""Labelled texts: pools of them by class, and datasets that give their token ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.class_sampling import ByClass, ClassExamples, ClassStream, Gather
from datasets.core.derived import AcrossDomains
from datasets.core.episodes import Dataset, EpisodeStream, ExampleStream, Kind, Shape, Split, StreamName
from datasets.core.errors import UserError
from datasets.core.randomness import Int64Array, UInt64Array, choose, key_of
from datasets.text.tokens import Tokenizer, Tokens, fitted


@dataclass(frozen=True)
class TextPool(ByClass):
    """The texts of one split, class by class.

    Attributes:
        texts: [N, bytes] uint8 (memory-mapped): UTF-8, padded with zeros.
        offsets: [n_classes + 1] int64: class ``c`` holds the texts ``offsets[c]`` to ``offsets[c + 1] - 1``.
        class_ids: [n_classes] int64: each class's number in the whole dataset.
        n_support: how many texts of each class, from its first, are its support set in every episode; 0 for none.
        tokenizer: makes ids of texts; None where only the texts are wanted.
    """

    texts: npt.NDArray[np.uint8]
    offsets: Int64Array
    class_ids: Int64Array
    n_support: int = 0
    tokenizer: Tokenizer | None = None
    rotations: ClassVar[bool] = False
    unit: ClassVar[str] = "texts"
    _rows: dict[int, Int64Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def members(self, keys: UInt64Array, classes: Int64Array, size: int) -> Int64Array:
        """Return [*classes.shape, size] texts of each class, without replacement; a fixed support set stands first."""
        if not self.n_support:
            return choose(keys, self.counts[classes], size)
        drawn = self.n_support + choose(keys, self.counts[classes] - self.n_support, size - self.n_support)
        first = np.broadcast_to(np.arange(self.n_support), (*classes.shape, self.n_support))
        return np.concatenate([first, drawn], axis=-1)

    def text(self, index: int) -> str:
        """Return one text."""
        content: bytes = self.texts[index].tobytes()
        return content.rstrip(b"\0").decode()

    def gather(self, device: torch.device) -> Gather:
        """Return what turns indices of texts into token ids, int64 [*indices.shape, length] on ``device``."""
        return lambda indices, turns: self.take(indices).to(device)

    def take(self, indices: Int64Array) -> Tensor:
        """Return the token ids of these texts; each text is tokenized once."""
        assert self.tokenizer is not None
        flat = indices.reshape(-1).tolist()
        new = [index for index in dict.fromkeys(flat) if index not in self._rows]
        if new:
            self._rows.update(zip(new, self.tokenizer([self.text(index) for index in new]), strict=True))
        rows = np.stack([self._rows[index] for index in flat])
        return torch.from_numpy(rows.reshape(*indices.shape, rows.shape[-1]))


def _as_they_are(class_names: Iterable[str]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class TextDataset:
    """Three pools of texts with a name and a fingerprint, which does not depend on the tokens.

    Attributes:
        name: what results call it.
        fingerprint: digest of the texts and their classes.
        pools: the texts of each split.
        class_names: by the numbers of ``TextPool.class_ids``.
        tokens: what its texts are turned into.
        within: what the part of a class's name before a slash is, where all classes of an episode share it; empty where
            they need not.
        shown: returns, by the name of a class, what people read in its place, for those that have such a name; called
            only where class names are shown.
    """

    name: str
    fingerprint: str
    pools: Mapping[Split, TextPool]
    class_names: tuple[str, ...]
    tokens: Tokens
    within: str = ""
    shown: Callable[[Iterable[str]], Mapping[str, str]] = _as_they_are
    kind: Kind = field(default="classification", init=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(tokens of a text,)."""
        return (self.tokens.length,)

    def tokenized(self, tokens: Tokens, tokenizer: Tokenizer | None = None) -> TextDataset:
        """Return the dataset with other tokens, by the tokenizer or by one that is fitted on its meta-train texts."""
        train = self.pools["train"]
        tokenizer = tokenizer or fitted(tokens, lambda: map(train.text, range(len(train.texts))))
        pools = {split: replace(pool, tokenizer=tokenizer) for split, pool in self.pools.items()}
        return replace(self, pools=pools, tokens=tokens)

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Return episodes of ``split``; raises UserError where it has too few classes or texts for ``shape``, or where
        its support sets have another number of shots."""
        pool = self.pools[split]
        if pool.n_support not in (0, shape.n_shot):
            raise UserError(
                f"the support sets of {self.name}'s {split} split are published: {pool.n_support} texts a class; use "
                f"{pool.n_support} shots, not {shape.n_shot}"
            )
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        where = device or torch.device("cpu")
        return ClassStream(pool, name, where, self.class_names, self.within)

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """Return the training texts as plain batches."""
        key = key_of(self.name, self.fingerprint, "examples", seed)
        return ClassExamples(self.pools["train"], key, device or torch.device("cpu"))


def tokenized(dataset: Dataset, tokens: Tokens) -> Dataset:
    """Return a dataset of texts with these tokens; where another dataset tests, the same vocabulary is used there.

    Raises:
        UserError: it holds no texts.
    """
    if isinstance(dataset, AcrossDomains):
        trained = tokenized(dataset.trained, tokens)
        if isinstance(trained, TextDataset) and isinstance(dataset.tested, TextDataset):
            tested = dataset.tested.tokenized(tokens, trained.pools["train"].tokenizer)
            return replace(dataset, trained=trained, tested=tested)
    if not isinstance(dataset, TextDataset):
        raise UserError(f"{dataset.name} holds no texts; leave out `text`")
    return dataset.tokenized(tokens)


def text_pools(dataset: Any) -> Mapping[Split, TextPool] | None:
    """Return the texts of a dataset by split, None where it holds none."""
    if isinstance(dataset, TextDataset):
        return dataset.pools
    if isinstance(dataset, AcrossDomains):
        pools = text_pools(dataset.trained), text_pools(dataset.tested)
        if pools[0] is not None and pools[1] is not None:
            return {"train": pools[0]["train"], "val": pools[0]["val"], "test": pools[1]["test"]}
    return None


def class_names_of(dataset: Any) -> tuple[str, ...]:
    """Return the names of a dataset's classes by the numbers of its test episodes, for people to read.

    Datasets whose classes have no names have none.
    """
    tested = dataset.tested if isinstance(dataset, AcrossDomains) else dataset
    names: tuple[str, ...] = tuple(getattr(tested, "class_names", ()))
    if not isinstance(tested, TextDataset):
        return names
    shown = tested.shown(names)
    return tuple(shown.get(name, name) for name in names)


def episode_texts(dataset: Dataset, split: Split, identity: Int64Array) -> list[list[str]]:
    """Return the texts of an episode class by class, the support set first.

    Args:
        dataset: of texts.
        split: of the episode.
        identity: [n_way, 2 + n_shot + n_query] of the episode; see ``ClassStream.identity``.
    """
    pools = text_pools(dataset)
    assert pools is not None
    pool = pools[split]
    place = {int(number): c for c, number in enumerate(pool.class_ids)}
    return [[pool.text(int(pool.offsets[place[int(row[0])]] + member)) for member in row[2:]] for row in identity]
