"""The published files of the datasets: addresses, licences and checksums, in this one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.splits.arsc import SMALL_TRAIN, TRAIN, files_of

_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_MINI_IMAGENET = "https://zenodo.org/records/7978538/files"
_CLINC = "https://raw.githubusercontent.com/clinc/oos-eval/master/data"
_BANKING = "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data"
_ARSC = "https://raw.githubusercontent.com/Gorov/DiverseFewShot_Amazon/master/Amazon_few_shot"
_ARSC_HOME = "https://github.com/Gorov/DiverseFewShot_Amazon"


@dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        url: where it is.
        path: where it goes, relative to the data root.
        md5: its checksum as published; None where none is known, and the contents are judged by their structure.
        images: the digest of the images in it, see ``datasets.storage.contents``: what an archive of the same images
            has, however it was packed. None where that is not known.
    """

    url: str
    path: str
    md5: str | None
    images: str | None = None


@dataclass(frozen=True)
class Publication:
    """The files that a dataset is made from.

    Attributes:
        files: as they are published.
        licence: under which they are given.
        home: the page that describes them.
        fingerprint: of the dataset made from them; None where none is recorded.
        note: why these files and not others, where a reader may expect others; usually empty.
    """

    files: tuple[Remote, ...]
    licence: str
    home: str
    fingerprint: str | None = None
    note: str = ""


def _omniglot(name: str, md5: str, images: str | None = None) -> Remote:
    return Remote(f"{_OMNIGLOT}/{name}.zip", f"omniglot/{name}.zip", md5, images)


def _mini_imagenet(split: str) -> Remote:
    name = f"mini-imagenet-cache-{split}.pkl"
    return Remote(f"{_MINI_IMAGENET}/{name}", f"mini-imagenet/{name}", None)


def _arsc(train: Sequence[str]) -> tuple[Remote, ...]:
    return tuple(Remote(f"{_ARSC}/{name}", f"text/arsc/{name}", None) for name in files_of(train))


_FULL = (
    _omniglot(
        "images_background",
        "68d2efa1b9178cc56df9314c21c6e718",
        "d06e1bbbec55ae06fee5e8f33143e4b387e6849cd50883fb22cb47fd405ca4fc",
    ),
    _omniglot(
        "images_evaluation",
        "6b91aef0f799c5bb55b94e3f2daec811",
        "83cec925e309175f407c9a58f61122491dd1450b26ab9bcf22ae3df0c218f0e5",
    ),
)
_SMALL = (
    _omniglot("images_background_small1", "e704a628b5459e08445c13499850abc4"),
    _omniglot("images_background_small2", "b75a71a51d3b13f821f212756fe481fd"),
)
_CIFAR_100 = (
    Remote(
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "cifar100/cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
)
"""CIFAR-FS's own archive lies on a drive that gives no file to a plain request; the images are CIFAR-100's."""
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
_OMNIGLOT_HOME = "https://github.com/brendenlake/omniglot"

PUBLICATIONS: Mapping[str, Publication] = {
    "omniglot": Publication(_FULL, "MIT", _OMNIGLOT_HOME),
    "omniglot-official": Publication(_FULL, "MIT", _OMNIGLOT_HOME),
    "omniglot-vinyals": Publication(_FULL, "MIT", _OMNIGLOT_HOME),
    "omniglot-small": Publication(_SMALL, "MIT", _OMNIGLOT_HOME),
    "mini-imagenet": Publication(
        tuple(_mini_imagenet(split) for split in ("train", "validation", "test")),
        "ImageNet (research only)",
        "https://zenodo.org/records/7978538",
    ),
    "cifar-fs": Publication(
        _CIFAR_100,
        "none stated (CIFAR-100: research use)",
        _CIFAR_HOME,
        "029533312cc037681aa17221722fac221c8da5878f30f174a2ed2ab4acd7fb94",
        "CIFAR-FS's own archive is on a file host without direct downloads; this is CIFAR-100's, of the same images",
    ),
    "fc100": Publication(
        _CIFAR_100,
        "none stated (CIFAR-100: research use)",
        _CIFAR_HOME,
        "2208176f16e7d138534e606d350bbbdf83289ee0c9663c8288e5c911be5b8d64",
    ),
    "clinc150": Publication(
        (
            Remote(f"{_CLINC}/data_full.json", "text/clinc150/data_full.json", "30c29dc6ab78edf3b5dfa640be204cde"),
            Remote(f"{_CLINC}/domains.json", "text/clinc150/domains.json", "9beee9d0f36e07e914c1e3a626bdcb4a"),
        ),
        "CC BY 3.0",
        "https://github.com/clinc/oos-eval",
        "f464298ab2bbf97b6add516909c8e7d0b42585a48a9276c2e895648963a3e9a0",
    ),
    "banking77": Publication(
        (
            Remote(f"{_BANKING}/train.csv", "text/banking77/train.csv", "cec64185f4197906aabce0781ef9a19b"),
            Remote(f"{_BANKING}/test.csv", "text/banking77/test.csv", "8dcd9dc31b686c75ec1f24bf23c140cb"),
        ),
        "CC BY 4.0",
        "https://github.com/PolyAI-LDN/task-specific-datasets",
        "a5106e38dbb3e82cda0ecd129c2b66428286ca16393233406c7e88bfdaee2458",
    ),
    "arsc": Publication(_arsc(TRAIN), "none stated", _ARSC_HOME),
    "arsc-small": Publication(
        _arsc(SMALL_TRAIN),
        "none stated",
        _ARSC_HOME,
        "cafc72218ffcf59fdad7a7be1d87cbc9dab4af12b9d23e9e69334f96f62632ae",
    ),
}
