"""Episodes and plain batches of images: pools of uint8 pixels by class, sampled by counter and gathered by index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.episodes import (
    Episodes,
    EpisodeStream,
    Examples,
    ExampleStream,
    Kind,
    Shape,
    Split,
    StreamName,
    Support,
)
from datasets.core.randomness import Int64Array, UInt64Array, bits, choose, integers, key_of
from datasets.core.registry import UserError

QUARTER_TURNS = 4


@dataclass(frozen=True)
class ImagePool:
    """The images of one split, class by class.

    Attributes:
        images: [N, channels, height, width] uint8 (memory-mapped where the data is large); for drawings ink is 255.
        offsets: [n_classes + 1] int64: class ``c`` holds the images ``offsets[c]`` to ``offsets[c + 1] - 1``.
        class_ids: [n_classes] int64: each class's number in the whole dataset.
        rotations: whether each episode turns each of its classes by 0, 90, 180 or 270 degrees, which multiplies the
            classes by four (one character still appears at most once in an episode).
    """

    images: npt.NDArray[np.uint8]
    offsets: Int64Array
    class_ids: Int64Array
    rotations: bool = False
    _residents: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def resident_on(self, device: torch.device) -> Tensor:
        """All images as one tensor on ``device``, copied there once however many streams there are."""
        if device not in self._residents:
            self._residents[device] = torch.from_numpy(np.array(self.images)).to(device)
        return self._residents[device]

    @property
    def n_classes(self) -> int:
        return len(self.class_ids)

    @cached_property
    def counts(self) -> Int64Array:
        """[n_classes] images of each class."""
        return np.diff(self.offsets)


class _Gatherer:
    """Turns image indices into float tensors on a device; on a GPU the pool is there and only indices travel."""

    def __init__(self, pool: ImagePool, device: torch.device) -> None:
        self._images = pool.images
        self._device = device
        self._resident = pool.resident_on(device) if device.type != "cpu" else None

    def __call__(self, indices: Int64Array, turns: Int64Array) -> Tensor:
        """[*indices.shape, channels, height, width] float32 in [0, 1], each image turned by its quarter turns."""
        flat = indices.reshape(-1)
        if self._resident is None:
            pixels = torch.from_numpy(self._images[flat])
        else:
            pixels = self._resident[torch.from_numpy(flat).to(self._device)]
        pixels = pixels.to(torch.float32).div_(255.0)
        for turn in range(1, QUARTER_TURNS):
            chosen = np.flatnonzero(turns.reshape(-1) == turn)
            if len(chosen):
                where = torch.from_numpy(chosen).to(self._device)
                pixels[where] = torch.rot90(pixels[where], turn, dims=(2, 3))
        return pixels.reshape(*indices.shape, *pixels.shape[1:])

    def labels(self, labels: Int64Array) -> Tensor:
        return torch.from_numpy(np.array(labels)).to(self._device)  # a copy: broadcast labels are read-only


class ImageStream:
    """Episodes of one split's images; see ``datasets.core.episodes.EpisodeStream``.

    With ``within_alphabet`` an episode's alphabet is drawn first, uniformly among those with enough classes, and its
    classes from that alphabet.

    Raises:
        UserError: the split (or every alphabet of it) has too few classes, or a class too few images, for the shape.
    """

    def __init__(
        self,
        pool: ImagePool,
        name: StreamName,
        device: torch.device,
        class_names: Sequence[str],
        within_alphabet: bool = False,
    ) -> None:
        shape = name.shape
        if shape.n_way > pool.n_classes:
            raise UserError(
                f"{shape.n_way}-way episodes need {shape.n_way} classes, but the {name.split} split of {name.dataset} "
                f"has {pool.n_classes}; ask for fewer ways"
            )
        needed, fewest = shape.n_shot + shape.n_query, int(pool.counts.min())
        if needed > fewest:
            smallest = class_names[pool.class_ids[int(pool.counts.argmin())]]
            raise UserError(
                f"{shape.n_shot} shots and {shape.n_query} queries need {needed} images per class, but {smallest} of "
                f"the {name.split} split of {name.dataset} has {fewest}; ask for fewer shots or queries"
            )
        self.name = name
        self._pool = pool
        self._gather = _Gatherer(pool, device)
        self._alphabets = _alphabets(pool, name, class_names) if within_alphabet else None

    def identity(self, indices: Sequence[int] | Int64Array) -> np.ndarray:
        """[T, n_way, 2 + n_shot + n_query] int64: class id, quarter turns, then images within the class."""
        classes, turns, members, _ = self._draw(np.asarray(indices, dtype=np.int64))
        return np.concatenate([self._pool.class_ids[classes][..., None], turns[..., None], members], axis=-1)

    def _draw(self, index: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Classes [T, n_way], turns [T, n_way], images within their class [T, n_way, examples], seeds [T]."""
        shape = self.name.shape
        keys = bits(key_of(self.name), index)
        classes = self._choose_classes(keys)
        slots = np.arange(shape.n_way)
        members = choose(bits(bits(keys, 1)[:, None], slots), self._pool.counts[classes], shape.n_shot + shape.n_query)
        turns = np.zeros_like(classes)
        if self._pool.rotations:
            turns = integers(bits(keys, 2)[:, None], slots, QUARTER_TURNS)
        seeds = (bits(keys, 3) >> np.uint64(1)).astype(np.int64)
        return classes, turns, members, seeds

    def _choose_classes(self, keys: UInt64Array) -> Int64Array:
        """[T, n_way] classes of the pool."""
        n_way = self.name.shape.n_way
        if self._alphabets is None:
            return choose(bits(keys, 0), self._pool.n_classes, n_way)
        sizes = np.array([len(members) for members in self._alphabets])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        alphabet = integers(bits(keys, 4), 0, len(sizes))
        places = starts[alphabet][:, None] + choose(bits(keys, 0), sizes[alphabet], n_way)
        return np.concatenate(self._alphabets)[places]

    def batch(self, indices: Sequence[int] | Int64Array) -> Episodes:
        """Episodes with images of shape [T, n_way * shots, channels, height, width]."""
        index = np.asarray(indices, dtype=np.int64)
        classes, turns, members, seeds = self._draw(index)
        shape = self.name.shape
        images = self._pool.offsets[classes][..., None] + members
        spread = np.broadcast_to(turns[..., None], members.shape)
        labels = np.broadcast_to(np.arange(shape.n_way)[None, :, None], members.shape)
        shots, queries = slice(None, shape.n_shot), slice(shape.n_shot, None)
        support_x, query_x = (self._gather(images[..., s], spread[..., s]).flatten(1, 2) for s in (shots, queries))
        support_y, query_y = (self._gather.labels(labels[..., s]).flatten(1, 2) for s in (shots, queries))
        identity = np.concatenate([self._pool.class_ids[classes][..., None], turns[..., None], members], axis=-1)
        support = Support(support_x, support_y, seeds, shape.n_way)
        return Episodes(index, support, query_x, query_y, identity, self._pool.class_ids[classes])


def _alphabets(pool: ImagePool, name: StreamName, class_names: Sequence[str]) -> list[Int64Array]:
    """The classes of each alphabet that has enough of them, by the alphabet's name."""
    members: dict[str, list[int]] = {}
    for c, number in enumerate(pool.class_ids):
        members.setdefault(class_names[number].split("/")[0], []).append(c)
    enough = [np.array(members[a], dtype=np.int64) for a in sorted(members) if len(members[a]) >= name.shape.n_way]
    if not enough:
        largest = max(members, key=lambda alphabet: len(members[alphabet]))
        raise UserError(
            f"{name.shape.n_way}-way episodes within an alphabet need {name.shape.n_way} classes, but the largest "
            f"of the {name.split} split of {name.dataset}, {largest}, has {len(members[largest])}; ask for fewer ways"
        )
    return enough


class ImageExamples:
    """The training images in seeded order, every image once an epoch; rotations count as classes of their own."""

    def __init__(self, pool: ImagePool, key: np.uint64, device: torch.device) -> None:
        self._pool = pool
        self._key = key
        self._gather = _Gatherer(pool, device)
        self._turns = QUARTER_TURNS if pool.rotations else 1
        self._class_of = np.repeat(np.arange(pool.n_classes), pool.counts)
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def _permutation(self, epoch: int) -> Int64Array:
        if epoch != self._epoch:
            n = len(self._class_of) * self._turns
            self._order = np.argsort(bits(bits(self._key, epoch), np.arange(n)), kind="stable")
            self._epoch = epoch
        return self._order

    def batch(self, start: int, size: int) -> Examples:
        """Examples ``start`` to ``start + size - 1``: [size, channels, height, width] and [size] labels."""
        n = len(self._class_of) * self._turns
        positions = np.arange(start, start + size)
        chosen = np.concatenate(
            [
                self._permutation(int(epoch))[positions[positions // n == epoch] % n]
                for epoch in np.unique(positions // n)
            ]
        )
        images, turns = np.divmod(chosen, self._turns)
        labels = self._class_of[images] * self._turns + turns
        n_classes = self._pool.n_classes * self._turns
        return Examples(self._gather(images, turns), self._gather.labels(labels), n_classes)


@dataclass(frozen=True)
class ImageDataset:
    """Three pools with a name and a fingerprint.

    Attributes:
        name: what results call it.
        fingerprint: digest of the contents.
        pools: the images of each split.
        class_names: by the numbers of ``ImagePool.class_ids``.
        within_alphabet: draw all classes of an episode from those whose names start alike up to a slash.
    """

    name: str
    fingerprint: str
    pools: Mapping[Split, ImagePool]
    class_names: tuple[str, ...]
    within_alphabet: bool = False
    kind: Kind = field(default="classification", init=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(int(n) for n in self.pools["train"].images.shape[1:])

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Episodes of ``split``; raises UserError where it has too few classes or images for ``shape``."""
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        return ImageStream(
            self.pools[split], name, device or torch.device("cpu"), self.class_names, self.within_alphabet
        )

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """The training images as plain batches."""
        key = key_of(self.name, self.fingerprint, "examples", seed)
        return ImageExamples(self.pools["train"], key, device or torch.device("cpu"))


def pools_from_classes(
    images_by_class: Sequence[npt.NDArray[np.uint8]],
    splits: Mapping[Split, Sequence[int]],
    rotate_train: bool = False,
) -> dict[Split, ImagePool]:
    """One pool per split from per-class arrays [n_images, channels, height, width] and lists of class numbers."""
    pools: dict[Split, ImagePool] = {}
    for split, members in splits.items():
        counts = [len(images_by_class[c]) for c in members]
        pools[split] = ImagePool(
            np.ascontiguousarray(np.concatenate([images_by_class[c] for c in members])),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.asarray(members, dtype=np.int64),
            rotations=rotate_train and split == "train",
        )
    return pools
