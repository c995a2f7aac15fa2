"""mini-ImageNet from pickles, one per split, in either of the two layouts in which people have them.

- ``image_data`` [N, 84, 84, 3] uint8 with ``class_dict``: the places of each class's images (Ren et al. 2018; the files
  that learn2learn publishes are of this kind).
- ``data`` [N, 84, 84, 3] uint8 with ``labels`` [N] and ``catname2label`` (Gidaris and Komodakis 2018; Lee et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import SPLITS, Split
from datasets.core.errors import BadData
from datasets.core.randomness import Int64Array
from datasets.formats.plan import by_content
from datasets.splits.expected import Expected
from datasets.storage import restricted_pickle
from datasets.storage.source import ClassImages, SplitImages

FILE_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("mini-imagenet-cache-train.pkl", "miniImageNet_category_split_train_phase_train.pickle"),
    "val": (
        "mini-imagenet-cache-validation.pkl",
        "mini-imagenet-cache-val.pkl",
        "miniImageNet_category_split_val.pickle",
    ),
    "test": ("mini-imagenet-cache-test.pkl", "miniImageNet_category_split_test.pickle"),
}


def find(folder: Path) -> dict[Split, Path]:
    """The pickles that lie in ``folder``, as far as there are any."""
    paths: dict[Split, Path] = {}
    for split, names in FILE_NAMES.items():
        for name in names:
            if split not in paths and (folder / name).is_file():
                paths[split] = folder / name
    return paths


def read(paths: Mapping[Split, Path], expected: Expected) -> Iterator[SplitImages]:
    """The splits, one pickle in memory at a time; raises BadData where one is not what it should be."""
    for split in SPLITS:
        path = paths[split]
        images, members = _contents(path, restricted_pickle.read(path))
        _check_images(path, images, expected.size)
        counts = {name: len(places) for name, places in sorted(members.items())}
        expected.check(split, counts, str(path))
        for name, places in members.items():
            _check_places(path, name, places, len(images))
        yield SplitImages(split, counts, (_of_class(path, images, name, members[name]) for name in counts))


def _contents(path: Path, content: object) -> tuple[npt.NDArray[np.uint8], dict[str, Int64Array]]:
    """The images and the places of each class, whatever the layout."""
    if isinstance(content, dict):
        if isinstance(images := content.get("image_data"), np.ndarray) and "class_dict" in content:
            return images, _from_class_dict(path, content["class_dict"])
        if isinstance(images := content.get("data"), np.ndarray) and {"labels", "catname2label"} <= content.keys():
            return images, _from_labels(path, content["labels"], content["catname2label"])
    keys = ", ".join(map(repr, content)) if isinstance(content, dict) else f"a {type(content).__name__}"
    raise BadData(
        f"{path} holds {keys[:200]}; mini-ImageNet's pickles hold an array 'image_data' with 'class_dict', or an array "
        "'data' with 'labels' and 'catname2label'"
    )


def _from_class_dict(path: Path, class_dict: object) -> dict[str, Int64Array]:
    if not isinstance(class_dict, dict):
        raise BadData(f"'class_dict' in {path} is a {type(class_dict).__name__}, not a dictionary")
    return {str(name): _integers(path, f"class_dict[{name!r}]", places) for name, places in class_dict.items()}


def _from_labels(path: Path, labels: object, numbers: object) -> dict[str, Int64Array]:
    if not isinstance(numbers, dict):
        raise BadData(f"'catname2label' in {path} is a {type(numbers).__name__}, not a dictionary")
    of_image = _integers(path, "labels", labels)
    of_class = _integers(path, "catname2label", list(numbers.values()))
    return {
        str(name): np.flatnonzero(of_image == number)
        for name, number in zip(numbers, of_class, strict=True)
        if number in of_image  # the dictionary may name the classes of other splits too
    }


def _integers(path: Path, what: str, values: object) -> Int64Array:
    if isinstance(values, list | tuple) and not all(isinstance(value, int | np.integer) for value in values):
        raise BadData(f"'{what}' in {path} is not a list of integers, but of other things too")
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise BadData(f"'{what}' in {path} is not a list of integers ({error})") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise BadData(f"'{what}' in {path} is not a list of integers, but {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _check_images(path: Path, images: npt.NDArray[np.uint8], size: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise BadData(
            f"the images in {path} are {images.dtype} {images.shape}, but must be uint8 (N, {size}, {size}, 3); "
            "get a new copy of the file"
        )


def _check_places(path: Path, name: str, places: Int64Array, n_images: int) -> None:
    if len(places) and not (places.min() >= 0 and places.max() < n_images):
        raise BadData(f"{path} places images of {name} at {places.min()} to {places.max()}, but holds {n_images}")
    if len(np.unique(places)) != len(places):
        raise BadData(f"{path} places an image of {name} twice")


def _of_class(path: Path, images: npt.NDArray[np.uint8], name: str, places: Int64Array) -> ClassImages:
    chosen = np.ascontiguousarray(images[places].transpose(0, 3, 1, 2))
    return by_content(ClassImages(name, chosen, [f"{path.name}: image {place} ({name})" for place in places]))
