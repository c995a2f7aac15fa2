"""Images: pools of uint8 pixels by class, and datasets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datasets.core.class_sampling import QUARTER_TURNS, ByClass, ClassExamples, ClassStream, Gather, errors_about
from datasets.core.episodes import EpisodeStream, ExampleStream, Kind, Shape, Split, StreamName
from datasets.core.randomness import Int64Array, UInt64Array, choose, key_of


@dataclass(frozen=True)
class ImagePool(ByClass):
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
    unit: ClassVar[str] = "images"
    _residents: dict[torch.device, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def resident_on(self, device: torch.device) -> Tensor:
        """All images as one tensor on ``device``, copied there once however many streams there are."""
        if device not in self._residents:
            self._residents[device] = torch.from_numpy(np.array(self.images)).to(device)
        return self._residents[device]

    def members(self, keys: UInt64Array, classes: Int64Array, size: int) -> Int64Array:
        """Return [*classes.shape, size] images of each class, without replacement."""
        return choose(keys, self.counts[classes], size)

    def gather(self, device: torch.device) -> Gather:
        """Return what turns indices of images into float tensors in [0, 1] on ``device``."""
        return _Gatherer(self, device)


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


@dataclass(frozen=True)
class ImageDataset:
    """Three pools with a name and a fingerprint.

    Attributes:
        name: what results call it.
        fingerprint: digest of the contents.
        pools: the images of each split.
        class_names: by the numbers of ``ImagePool.class_ids``.
        within: what the part of a class's name before a slash is, where all classes of an episode share it, such as
            ``alphabet``; empty where they need not.
        origin: the folder or archive of the user's own that it was read from, for messages; empty for others.
    """

    name: str
    fingerprint: str
    pools: Mapping[Split, ImagePool]
    class_names: tuple[str, ...]
    within: str = ""
    origin: str = ""
    kind: Kind = field(default="classification", init=False)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(int(n) for n in self.pools["train"].images.shape[1:])

    def stream(self, split: Split, shape: Shape, seed: int, device: torch.device | None = None) -> EpisodeStream:
        """Episodes of ``split``; raises UserError where it has too few classes or images for ``shape``."""
        name = StreamName(self.name, self.fingerprint, split, shape, seed)
        with errors_about(self.origin):
            return ClassStream(self.pools[split], name, device or torch.device("cpu"), self.class_names, self.within)

    def examples(self, seed: int, device: torch.device | None = None) -> ExampleStream:
        """The training images as plain batches."""
        key = key_of(self.name, self.fingerprint, "examples", seed)
        return ClassExamples(self.pools["train"], key, device or torch.device("cpu"))


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
