"""The same few images in every form in which people have mini-ImageNet, scaled down to eight classes."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets.core.episodes import SPLITS, Split
from datasets.splits.expected import Expected
from datasets.splits.mini_imagenet import MINI_IMAGENET

SIZE = 20
PER_CLASS = 5
EXPECTED = Expected(
    {split: frozenset(sorted(MINI_IMAGENET.classes[split])[:n]) for split, n in zip(SPLITS, (4, 2, 2), strict=True)},
    PER_CLASS,
    SIZE,
)
LISTED = (1, 3, 4, 6, 7)
"""The images of a class (numbered from one) that the lists choose where there are more."""

Pixels = dict[Split, dict[str, npt.NDArray[np.uint8]]]


def make_pixels(per_class: int = PER_CLASS, size: int = SIZE) -> Pixels:
    """[per_class, size, size, 3] uint8 noise for each class of each split."""
    rng = np.random.default_rng(0)
    return {
        split: {
            name: rng.integers(0, 256, (per_class, size, size, 3), dtype=np.uint8)
            for name in sorted(EXPECTED.classes[split])
        }
        for split in SPLITS
    }


def png(image: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """The image as a file without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def class_dict_pickles(folder: Path, pixels: Pixels, protocol: int = 4) -> Path:
    for split, stem in zip(SPLITS, ("train", "validation", "test"), strict=True):
        names = list(pixels[split])[::-1]
        images = np.concatenate([pixels[split][name] for name in names])
        places = {name: list(range(i * PER_CLASS, (i + 1) * PER_CLASS)) for i, name in enumerate(names)}
        content = pickle.dumps({"image_data": images, "class_dict": places}, protocol)
        write(folder / f"mini-imagenet-cache-{stem}.pkl", content)
    return folder


def label_pickles(folder: Path, pixels: Pixels) -> Path:
    every = sorted(name for split in SPLITS for name in pixels[split])
    files = {"train": "train_phase_train", "val": "val", "test": "test"}
    for split in SPLITS:
        names = list(pixels[split])
        order = np.random.default_rng(1).permutation(len(names) * PER_CLASS)
        images = np.concatenate([pixels[split][name] for name in names])[order]
        labels = np.repeat([every.index(name) for name in names], PER_CLASS)[order]
        content = {"data": images, "labels": labels.tolist(), "catname2label": {n: i for i, n in enumerate(every)}}
        write(folder / f"miniImageNet_category_split_{files[split]}.pickle", pickle.dumps(content, 2))
    return folder


def class_folder_files(pixels: Pixels) -> Iterator[tuple[str, bytes]]:
    for split in SPLITS:
        for name, images in pixels[split].items():
            for i, image in enumerate(images):
                yield f"{split}/{name}/{name}{i:08d}.jpg", png(image)


def class_folders(folder: Path, pixels: Pixels) -> Path:
    for name, content in class_folder_files(pixels):
        write(folder / name, content)
    return folder


def zipped(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir(parents=True)
    path = folder / "mini.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in class_folder_files(pixels):
            archive.writestr(f"mini/{name}", content)
    return path


def tarred(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir(parents=True)
    path = folder / "mini.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in class_folder_files(pixels):
            member = tarfile.TarInfo(f"./mini/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def lists(folder: Path) -> Path:
    for split in SPLITS:
        rows = [f"{name}{n:08d}.jpg,{name}" for name in sorted(EXPECTED.classes[split]) for n in LISTED]
        write(folder / f"{split}.csv", "\n".join(["filename,label", *rows]).encode())
    return folder


def listed_images(folder: Path, pixels: Pixels) -> Path:
    lists(folder)
    for split in SPLITS:
        for name, images in pixels[split].items():
            for n, image in zip(LISTED, images, strict=True):
                write(folder / "images" / f"{name}{n:08d}.jpg", png(image))
    return folder


def imagenet_images(name: str, images: npt.NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """Eight images with ImageNet's numbers, of which the lists choose five; numbers sort otherwise than names."""
    others = iter(np.random.default_rng(2).integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8))
    chosen = iter(images)
    for n, number in enumerate((7, 12, 40, 101, 230, 1000, 3000, 20000), start=1):
        yield f"{name}_{number}.JPEG", png(next(chosen) if n in LISTED else next(others))


def imagenet(folder: Path, pixels: Pixels) -> Path:
    lists(folder)
    for split in SPLITS:
        for name, images in pixels[split].items():
            for file, content in imagenet_images(name, images):
                write(folder / "train" / name / file, content)
    return folder


def imagenet_tars(folder: Path, pixels: Pixels) -> Path:
    lists(folder)
    for split in SPLITS:
        for name, images in pixels[split].items():
            with tarfile.open(folder / f"{name}.tar", "w") as archive:
                for file, content in imagenet_images(name, images):
                    member = tarfile.TarInfo(file)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


FORMS: dict[str, Callable[[Path, Pixels], Path]] = {
    "class-dict pickles": class_dict_pickles,
    "label pickles": label_pickles,
    "class folders": class_folders,
    "zip": zipped,
    "tar": tarred,
    "images and lists": listed_images,
    "ImageNet": imagenet,
    "ImageNet tars": imagenet_tars,
}
