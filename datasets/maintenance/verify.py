"""Checks of a dataset on disk: checksums of the files, digests of the images and arrays, images in two splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.core.episodes import Dataset
from datasets.core.errors import BadData, DataNotFound
from datasets.image_folder import ImageFolder
from datasets.maintenance.catalog import managed
from datasets.storage import cache
from datasets.storage.cache_index import Index, fingerprint_of
from datasets.storage.contents import digest_of_images
from datasets.storage.download import md5_of
from datasets.storage.publishers import PUBLICATIONS, Publication, Remote
from datasets.storage.reading import reading
from datasets.storage.source import Source
from datasets.table import TableFile


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        what: the thing that was checked.
        ok: whether it is right.
        finding: the result in words, with what to do where it is wrong.
    """

    what: str
    ok: bool
    finding: str


@reading()
def verify(name: str, root: Path, *, read_files: bool = True) -> list[Check]:
    """Check the dataset's files and its cache, byte by byte, and its images against the published ones.

    Args:
        name: the dataset.
        root: the data root.
        read_files: read every image of the files too; without it, those of the cache alone.

    Raises:
        DataNotFound: neither is there.
        UserError: the dataset has no files.
    """
    of_name = managed(name)
    source = of_name.find_source(root)
    publication = PUBLICATIONS.get(name, Publication((), "", ""))
    checks = [check for remote in publication.files if (check := _check_published(root, remote)) is not None]
    fitting = next(cache.fitting(of_name.recipe, root, source), None)
    if fitting is None and source is None:
        remedy = of_name.remedy or f"run: python -m bench data fetch {name}"
        raise DataNotFound(name, of_name.missing(root)[0], remedy)
    source = source if read_files else None
    return checks + _check_contents(of_name.recipe, source, fitting, publication.fingerprint, of_name.unit)


@reading()
def verify_own(data: ImageFolder | TableFile, root: Path) -> list[Check]:
    """Read every image or row of the user's own, and check the cache byte by byte: against its digests and against
    what was read.

    Raises:
        UserError: a setting is impossible, or the folder or file is not there.
    """
    recipe: cache.AnyRecipe[Dataset]
    recipe, source = data.recipe_and_source()
    return _check_contents(recipe, source, next(cache.fitting(recipe, root, source), None))


def _check_contents(
    recipe: cache.AnyRecipe[Dataset],
    source: Source | None,
    fitting: tuple[Path, Index] | None,
    published: str | None = None,
    unit: str = "images",
) -> list[Check]:
    """Check the cache, the files that it is made from, and what both hold.

    Args:
        recipe: of the dataset.
        source: its files, to be read whole; None where there are none, or where they need not be read.
        fitting: the folder and index of a cache that fits the files; None where there is none.
        published: the fingerprint of the published dataset, where it is known.
        unit: what the examples are called.
    """
    cached = None if fitting is None else fitting[1]
    checks = [_NOT_BUILT] if fitting is None else _check_cache(*fitting, unit)
    of_files = None
    if source is not None and cached is not None and cached.prepared:
        finding = f"not read: the dataset was prepared from {cached.source}, and that is used"
        checks.append(Check(source.description, True, finding))
    elif source is not None:
        check, of_files = _check_files(recipe, source, cached)
        checks.append(check)
    index = cached if cached is not None else of_files
    return checks if index is None else checks + _check_published_contents(index, published, unit)


_NOT_BUILT = Check("cache", True, "not built yet, or from other files: the next use builds it")


def _check_cache(folder: Path, index: Index, unit: str) -> list[Check]:
    """Check every array of a cache against its digest, and its fingerprint."""
    remedy = "prepare it again" if index.prepared else "the next use rebuilds it"
    checks = []
    for split in index.splits.values():
        try:
            digest = cache.digest_of(folder, index, split)
        except (OSError, ValueError) as error:
            checks.append(Check(str(folder / split.file), False, f"cannot be read ({error}): {remedy}"))
            continue
        right = digest == split.sha256
        finding = f"sha256 {digest}" if right else f"holds other {unit} than were written: {remedy}"
        checks.append(Check(str(folder / split.file), right, finding))
    own = index.fingerprint == fingerprint_of(index)
    return [*checks, Check("fingerprint", own, index.fingerprint if own else f"is not that of the splits: {remedy}")]


def _check_files(recipe: cache.AnyRecipe[Dataset], source: Source, cached: Index | None) -> tuple[Check, Index | None]:
    """Read every image or row, compare them with the cache, and return their index; None where they cannot be read."""
    try:
        read = cache.examine(recipe, source)
    except BadData as error:
        return Check(source.description, False, str(error)), None
    for split, of_cache in cached.splits.items() if cached is not None else ():
        if read.splits[split].sha256 != of_cache.sha256:
            remedy = "it was built from others of the same size and time; delete the cache's folder"
            return Check(source.description, False, f"{split} is not what the cache holds: {remedy}"), read
    examples = sum(sum(split.counts) for split in read.splits.values())
    beside = f"fingerprint {read.fingerprint}" if cached is None else "as in the cache"
    return Check(source.description, True, f"{examples:,} {source.unit}, {beside}"), read


def _check_published_contents(index: Index, published: str | None, unit: str = "images") -> list[Check]:
    """Compare what an index describes with the published dataset, and list the images that stand in two splits; those
    of the published dataset are not wrong.

    Args:
        index: of the dataset.
        published: the fingerprint of the published dataset; None where it is not known.
        unit: what the examples are called.
    """
    as_published = index.fingerprint == published
    checks = []
    if published is not None:
        finding = "those of the published dataset"
        if not as_published:
            finding = f"not {finding}, whose fingerprint is {published}: the files were converted or replaced"
        checks.append(Check("pixels" if unit == "images" else unit, as_published, finding))
    if any(split.columns for split in index.splits.values()):  # a table, whose rows may be alike
        return checks
    words = " (as published)" if as_published else ""
    doubles = f"{len(index.duplicates)}{words}: {'; '.join(index.duplicates[:5])}" if index.duplicates else "none"
    return [*checks, Check(f"{unit} in two splits", not index.duplicates or as_published, doubles)]


def _check_published(root: Path, remote: Remote) -> Check | None:
    """Check the published file, or the folder of the images in it; None where neither is there."""
    path = root / remote.path
    if path.exists():
        return _check_file(path, remote)
    folder = path.with_suffix("")
    return _check_repacked(folder, remote.images, "unpacked") if remote.images and folder.is_dir() else None


def _check_file(path: Path, remote: Remote) -> Check:
    md5 = md5_of(path)
    if remote.md5 is None:
        return Check(str(path), True, f"md5 {md5} (the publisher's is not known here)")
    if md5 == remote.md5:
        return Check(str(path), True, f"md5 {md5}")
    if remote.images is not None:
        return _check_repacked(path, remote.images, f"md5 {md5}, not {remote.md5}")
    return Check(str(path), False, f"md5 {md5}, not {remote.md5}; delete it and fetch again")


def _check_repacked(path: Path, images: str, packing: str) -> Check:
    """Check images that do not lie in the published archive; ``packing`` says so in words."""
    try:
        digest, count = digest_of_images(path)
    except BadData as error:
        return Check(str(path), False, f"{packing}; {error}")
    if digest == images:
        return Check(
            str(path), True, f"{packing}: the same {count:,} drawings, each the right bytes, packed differently"
        )
    return Check(str(path), False, f"{packing}; its {count:,} drawings are not the published ones: fetch them again")
