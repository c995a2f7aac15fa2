"""The same few images in every form in which people have CIFAR-100, scaled down to ten classes."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datasets.core.episodes import SPLITS
from datasets.splits.cifar100 import CIFAR_FS
from datasets.splits.expected import Expected
from tests.datasets.forms import png, write

SIZE = 16
PER_CLASS = 6
N_TEST = 1
"""Images of each class in the original test set."""

EXPECTED = Expected(
    {split: frozenset(sorted(CIFAR_FS.classes[split])[:n]) for split, n in zip(SPLITS, (4, 3, 3), strict=True)},
    PER_CLASS,
    SIZE,
)

Pixels = dict[str, npt.NDArray[np.uint8]]


def make_pixels() -> Pixels:
    """[6, 16, 16, 3] uint8 noise for each class."""
    rng = np.random.default_rng(0)
    names = sorted(EXPECTED.all_classes)
    return {name: rng.integers(0, 256, (PER_CLASS, SIZE, SIZE, 3), dtype=np.uint8) for name in names}


def image_files(pixels: Pixels) -> Iterator[tuple[str, bytes]]:
    """CIFAR-FS as its authors lay it out, with the lists of the splits."""
    for split in SPLITS:
        yield f"cifar100/splits/bertinetto/{split}.txt", "\n".join(sorted(EXPECTED.classes[split])).encode()
    for name, images in pixels.items():
        for i, image in enumerate(images):
            yield f"cifar100/data/{name}/{name}_s_{i:06d}.png", png(image)


def zipped(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "cifar-fs.zip", "w") as archive:
        for name, content in image_files(pixels):
            archive.writestr(name, content)
    return folder / "cifar-fs.zip"


def unzipped(folder: Path, pixels: Pixels) -> Path:
    for name, content in image_files(pixels):
        write(folder / name, content)
    return folder / "cifar100"


def split_folders(folder: Path, pixels: Pixels) -> Path:
    """Class folders under the splits' folders, as learn2learn leaves them."""
    for split in SPLITS:
        for name in sorted(EXPECTED.classes[split]):
            for i, image in enumerate(pixels[name]):
                write(folder / split / name / f"{i}.png", png(image))
    return folder


def pickles(pixels: Pixels) -> dict[str, bytes]:
    """Krizhevsky's three pickles: the first images of each class train, the last test."""
    names = sorted(pixels)
    contents: dict[str, object] = {"meta": {"fine_label_names": names, "coarse_label_names": ["one"]}}
    for file, images in (("train", slice(None, -N_TEST)), ("test", slice(-N_TEST, None))):
        labels = np.repeat(np.arange(len(names)), len(pixels[names[0]][images]))
        order = np.random.default_rng(1).permutation(len(labels))
        data = np.concatenate([pixels[name][images] for name in names])[order]
        contents[file] = {
            "data": data.transpose(0, 3, 1, 2).reshape(len(labels), -1),
            "fine_labels": labels[order].tolist(),
            "coarse_labels": [0] * len(labels),
            "filenames": [f"{i}.png" for i in range(len(labels))],
        }
    return {file: pickle.dumps(content, 2) for file, content in contents.items()}


def pickle_folder(folder: Path, pixels: Pixels) -> Path:
    for name, content in pickles(pixels).items():
        write(folder / "cifar-100-python" / name, content)
    return folder / "cifar-100-python"


def gzipped_tar(folder: Path, pixels: Pixels) -> Path:
    return make_archive(folder / "cifar-100-python.tar.gz", pickles(pixels))


def make_archive(path: Path, contents: dict[str, bytes]) -> Path:
    """A gzipped tar of files in the folder ``cifar-100-python``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def torchvision_folder(folder: Path, pixels: Pixels) -> Path:
    """The folder that torchvision downloads to: the archive and what it unpacks to."""
    gzipped_tar(folder, pixels)
    pickle_folder(folder, pixels)
    return folder


FORMS: dict[str, Callable[[Path, Pixels], Path]] = {
    "authors' zip": zipped,
    "authors' folder": unzipped,
    "split folders": split_folders,
    "pickles": pickle_folder,
    "python archive": gzipped_tar,
    "torchvision": torchvision_folder,
}
