"""Datasets derived from others: trained on one and tested on another, or with episodes within one alphabet or
script."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import torch

from datasets.core.episodes import Dataset, EpisodeStream, ExampleStream, Kind, Shape, Split
from datasets.core.errors import UserError


@dataclass(frozen=True)
class AcrossDomains:
    """Meta-train and meta-validation episodes of one dataset, meta-test episodes of another.

    Attributes:
        name: of the pair.
        trained: trains and validates; its episodes are those that it gives alone.
        tested: tests; the same holds.
    """

    name: str
    trained: Dataset
    tested: Dataset

    def __post_init__(self) -> None:
        pair = [(dataset.kind, tuple(dataset.input_shape)) for dataset in (self.trained, self.tested)]
        if pair[0] != pair[1]:
            raise UserError(f"{self.name}: {pair[0]} and {pair[1]} differ; test on one of the same kind and shape")

    @property
    def kind(self) -> Kind:
        """Of both."""
        return self.trained.kind

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of both."""
        return tuple(self.trained.input_shape)

    @property
    def fingerprint(self) -> str:
        """Digest of both fingerprints."""
        return hashlib.sha256(f"{self.trained.fingerprint} {self.tested.fingerprint}".encode()).hexdigest()

    @property
    def class_names(self) -> tuple[str, ...]:
        """By the numbers of the test episodes' classes; empty where the dataset that tests names none."""
        return tuple(getattr(self.tested, "class_names", ()))

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Return episodes of the dataset whose turn it is; raises UserError where it cannot give ``shape``."""
        return (self.tested if split == "test" else self.trained).stream(split, shape, seed, device)

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """Return the training examples of the dataset that trains."""
        return self.trained.examples(seed, device)


def restricted(what: str, dataset: Any, name: str) -> Dataset:
    """Return the dataset under another name, with all classes of an episode from one alphabet, script or the like.

    Raises:
        UserError: it has no such episodes, or the name of a class has nothing in front of a slash.
    """
    names = getattr(dataset, "class_names", ())
    if not hasattr(dataset, "within") or not names or not all("/" in label for label in names):
        raise UserError(f"the classes of {dataset.name} have no {what}s; leave out `within: {what}`")
    restricted: Dataset = dataclasses.replace(dataset, name=name, within=what)
    return restricted
