"""The catalogue of datasets: which files of each are under the data root, and how to obtain the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets import DATASETS, arsc, banking77, cifar_fs, cldr_names, clinc150, fc100, mini_imagenet, omniglot
from datasets.core.episodes import Dataset
from datasets.core.errors import BadData, DataNotFound, UserError
from datasets.formats import cifar100_edition
from datasets.maintenance.licences import BUILT_IN
from datasets.storage import cache, download
from datasets.storage.paths import user_path
from datasets.storage.publishers import PUBLICATIONS
from datasets.storage.reading import reading
from datasets.storage.source import Progress, Source
from datasets.text.edition import TextEdition

Prepare = Callable[[Path, Path, Path | None, int | None, Progress | None], Dataset]
"""Builds a cache from ``(path, data root, folder of lists, workers, progress)``."""


@dataclass(frozen=True)
class Managed:
    """A dataset that is made from files.

    Attributes:
        recipe: for its cache.
        find_source: its files under a data root, None where some are missing.
        missing: the files that are missing under a data root.
        prepare: builds its cache under a data root from files elsewhere.
        unit: what messages call its examples, in the plural.
        remedy: what brings the missing files; empty for ``data fetch``.
    """

    recipe: cache.AnyRecipe[Dataset]
    find_source: Callable[[Path], Source | None]
    missing: Callable[[Path], list[Path]]
    prepare: Prepare
    unit: str = "images"
    remedy: str = ""


def _without_lists(name: str, prepare: Callable[[Path, Path, int | None, Progress | None], Dataset]) -> Prepare:
    """Return ``prepare``, refusing lists, which the dataset does not have."""

    def checked(
        path: Path, root: Path, lists_at: Path | None, workers: int | None, progress: Progress | None
    ) -> Dataset:
        if lists_at is not None:
            raise UserError(f"{name} has no lists; leave them out", "lists_at")
        return prepare(path, root, workers, progress)

    return checked


def of_omniglot(edition: omniglot.Edition) -> Managed:
    """Return the edition of Omniglot as a managed dataset."""
    return Managed(
        edition.recipe,
        lambda root: omniglot.find_source(edition, root),
        lambda root: omniglot.missing(edition, root),
        _without_lists(edition.name, lambda path, root, _, progress: omniglot.prepare(edition, path, root, progress)),
    )


def of_cifar100(edition: cifar100_edition.Edition) -> Managed:
    """Return the split of CIFAR-100 as a managed dataset."""

    def prepare(path: Path, root: Path, workers: int | None, progress: Progress | None) -> Dataset:
        return edition.prepare(path, root, workers=workers, progress=progress)

    return Managed(edition.recipe, edition.find_source, edition.missing, _without_lists(edition.name, prepare))


def of_text(edition: TextEdition) -> Managed:
    """Return the dataset of texts as a managed dataset."""
    prepare = _without_lists(edition.name, lambda path, root, _, progress: edition.prepare(path, root, progress))
    return Managed(edition.recipe, edition.find_source, edition.missing, prepare, "texts", edition.remedy)


MANAGED: Mapping[str, Managed] = {
    **{edition.name: of_omniglot(edition) for edition in omniglot.EDITIONS},
    mini_imagenet.RECIPE.name: Managed(
        mini_imagenet.RECIPE,
        mini_imagenet.find_source,
        mini_imagenet.missing,
        lambda path, root, lists_at, workers, progress: mini_imagenet.prepare(
            path, root, lists_at=lists_at, workers=workers, progress=progress
        ),
    ),
    **{edition.name: of_cifar100(edition) for edition in (cifar_fs.EDITION, fc100.EDITION)},
    **{
        edition.name: of_text(edition)
        for edition in (clinc150.EDITION, banking77.EDITION, *arsc.EDITIONS, cldr_names.EDITION)
    },
}


@dataclass(frozen=True)
class Status:
    """The state of a dataset's files.

    Attributes:
        name: the dataset.
        state: ``built in``, ``ready`` (its cache is built), ``found`` (its files are there) or ``missing``.
        where: where the cache or the files are; empty for what is built in.
        bytes: how much they take.
        licence: of the files.
        fingerprint: of the contents; empty until the cache is built.
        missing: the files that are not there.
        remedy: what brings them.
    """

    name: str
    state: str
    where: str
    bytes: int
    licence: str
    fingerprint: str
    missing: tuple[Path, ...]
    remedy: str = ""


@reading()
def status(name: str, root: Path) -> Status:
    """Return what there is of the dataset called ``name``, without building anything."""
    entry = DATASETS[name]
    if name not in MANAGED:
        return Status(name, "built in", "", 0, "", entry.load(root).fingerprint, ())
    managed, licence = MANAGED[name], PUBLICATIONS[name].licence if name in PUBLICATIONS else BUILT_IN[name]
    source = managed.find_source(root)
    if (cached := cache.locate(managed.recipe, root, source)) is not None:
        folder, index = cached
        size = sum((folder / split.file).stat().st_size for split in index.splits.values())
        return Status(name, "ready", str(folder), size, licence, index.fingerprint, ())
    if source is not None:
        return Status(name, "found", source.description, 0, licence, "", ())
    remedy = managed.remedy or f"run: python -m bench data fetch {name}"
    return Status(name, "missing", "", 0, licence, "", tuple(managed.missing(root)), remedy)


def managed(name: str) -> Managed:
    """The dataset's files and how they are handled; raises UserError where it has none."""
    entry = DATASETS[name]
    if name not in MANAGED and name not in DATASETS.names():
        raise UserError(f"dataset '{name}' is made of others; name those")
    if name not in MANAGED:
        raise UserError(f"dataset '{entry.name}' is built in: it has no files; `python -m bench data list` lists those")
    return MANAGED[name]


@reading()
def fetch(
    name: str,
    root: Path,
    progress: Callable[[str, int, int | None], None] | None = None,
    patience: download.Patience | None = None,
) -> Dataset:
    """Fetch the dataset's files to the data root, check them and build the cache.

    Args:
        name: the dataset.
        root: where to.
        progress: told of a file's name, the bytes received, and the bytes in all where known.
        patience: for the transfers.

    Raises:
        DownloadError: a file could not be fetched.
        BadData: the fetched files are not the dataset.
    """
    of_name = managed(name)
    for remote in PUBLICATIONS[name].files if name in PUBLICATIONS else ():
        file_name = Path(remote.path).name

        def on_bytes(done: int, total: int | None, file_name: str = file_name) -> None:
            if progress is not None:
                progress(file_name, done, total)

        download.fetch(remote, root, on_bytes, patience)
    source = of_name.find_source(root)
    if source is None:
        if name not in PUBLICATIONS:
            raise DataNotFound(name, of_name.missing(root)[0], of_name.remedy)
        raise BadData(f"{name} was fetched to {root}, but is not found there; it was removed meanwhile: fetch again")
    return cache.find(of_name.recipe, root, source) or cache.build(of_name.recipe, root, source)


def prepare(
    name: str,
    path: Path,
    root: Path,
    *,
    lists_at: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Build the dataset's cache from the files at ``path``; see ``mini_imagenet.prepare`` and ``omniglot.prepare``."""
    path = user_path(path, "path")
    with reading():
        existed = path.exists()
    if not existed:
        raise UserError(f"there is nothing at {path}; give the folder or archive that holds {name}")
    with reading():
        return managed(name).prepare(path, root, lists_at, workers, progress)
