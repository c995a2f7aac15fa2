"""Synthetic episodes and examples that are easy to learn, and the parts from which others are made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.episodes import Episodes, Examples, Kind, Shape, Support

SIDE = 12  # of the images
N_CLASSES = 64  # of the training split; the test split has as many others


def labels_of(shape: Shape) -> npt.NDArray[np.int64]:
    """Return the labels of an episode's examples: the support set class by class, then the queries likewise."""
    return np.concatenate([np.repeat(np.arange(shape.n_way), n) for n in (shape.n_shot, shape.n_query)])


def episodes_of(
    x: Tensor,
    y: Tensor | None,
    shape: Shape,
    index: npt.NDArray[np.int64],
    seeds: npt.NDArray[np.int64],
    class_ids: npt.NDArray[np.int64],
) -> Episodes:
    """Return T episodes from their examples, those of the support set first.

    Args:
        x: [T, n_way * (n_shot + n_query), ...] inputs.
        y: [T, n_way * (n_shot + n_query), ...] targets; None for the labels that ``labels_of`` gives.
        shape: of the episodes.
        index: [T] the episodes' places in their stream.
        seeds: [T] for methods that draw while adapting.
        class_ids: [T, n_way] classes, which are the identity of the episodes too.
    """
    n_support = shape.n_way * shape.n_shot
    if y is None:
        y = torch.from_numpy(np.broadcast_to(labels_of(shape), x.shape[:2]).copy())
    support = Support(x[:, :n_support], y[:, :n_support], seeds, shape.n_way)
    return Episodes(index, support, x[:, n_support:], y[:, n_support:], class_ids, class_ids)


def easy_episodes(kind: Kind, shape: Shape, indices: range, first_class: int, dtype: torch.dtype) -> Episodes:
    """Return episodes of images with a pattern per class and noise, or of y = a sin(x) with a in [1, 2]."""
    rngs = [np.random.default_rng([first_class, index]) for index in indices]
    targets = None
    if kind == "regression":
        class_ids = np.asarray(indices)[:, None]
        x = np.stack([rng.uniform(-3, 3, (shape.examples, 1)) for rng in rngs])
        y = np.stack([rng.uniform(1, 2) * np.sin(part) for rng, part in zip(rngs, x, strict=True)])
        targets = torch.from_numpy(y).to(dtype)
    else:
        class_ids = np.stack([first_class + rng.permutation(N_CLASSES)[: shape.n_way] for rng in rngs])
        labels = labels_of(shape)
        x = np.stack([_images(ids[labels], rng) for ids, rng in zip(class_ids, rngs, strict=True)])
    seeds = np.array([int(rng.integers(2**62)) for rng in rngs])
    return episodes_of(torch.from_numpy(x).to(dtype), targets, shape, np.asarray(indices), seeds, class_ids)


def easy_examples(kind: Kind, start: int, size: int, dtype: torch.dtype, n_classes: int) -> Examples:
    """Return a plain batch of such images or points."""
    rng = np.random.default_rng([N_CLASSES, start])
    if kind == "regression":
        x = rng.uniform(-3, 3, (size, 1))
        y = rng.uniform(1, 2, (size, 1)) * np.sin(x)
        return Examples(torch.from_numpy(x).to(dtype), torch.from_numpy(y).to(dtype), 1)
    labels = rng.integers(N_CLASSES, size=size)
    return Examples(torch.from_numpy(_images(labels, rng)).to(dtype), torch.from_numpy(labels), n_classes)


def _images(classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n, 1, SIDE, SIDE]: each class has a pattern of its own, coarse enough for a convolution to see."""
    coarse = np.random.default_rng(0).integers(0, 2, (2 * N_CLASSES, 1, SIDE // 3, SIDE // 3))[classes]
    images = coarse.repeat(3, axis=2).repeat(3, axis=3)
    return np.asarray(images + 0.1 * rng.normal(size=images.shape))
