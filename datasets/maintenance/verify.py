"""Checks of a dataset on disk: checksums of the files, digests of the images and arrays, images in two splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.core.episodes import Dataset
from datasets.image_folder import ImageFolder
from datasets.maintenance.catalog import managed
from datasets.storage import cache
from datasets.storage.cache_index import Index, fingerprint_of
from datasets.storage.cache_write import split_digest
from datasets.storage.contents import digest_of_images
from datasets.storage.download import md5_of
from datasets.storage.paths import BadData, DataNotFound
from datasets.storage.publishers import PUBLICATIONS, Remote
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
def verify(name: str, root: Path) -> list[Check]:
    """Check the dataset's files and its cache, byte by byte.

    Raises:
        DataNotFound: neither is there.
        UserError: the dataset has no files.
    """
    of_name = managed(name)
    source = of_name.find_source(root)
    publication = PUBLICATIONS[name]
    checks = [check for remote in publication.files if (check := _check_published(root, remote)) is not None]
    fitting = next(cache.fitting(of_name.recipe, root, source), None)
    if fitting is None and source is None:
        raise DataNotFound(name, of_name.missing(root)[0], f"run: python -m bench data fetch {name}")
    return checks + _check_cache(fitting, publication.fingerprint)


@reading()
def verify_own(data: ImageFolder | TableFile, root: Path) -> list[Check]:
    """Read every image or row of the user's own, and check the cache byte by byte: against its digests and against
    what was read.

    Raises:
        UserError: a setting is impossible, or the folder or file is not there.
    """
    recipe: cache.AnyRecipe[Dataset]
    recipe, source = data.recipe_and_source()
    fitting = next(cache.fitting(recipe, root, source), None)
    return [*_check_cache(fitting), _check_examples(source, None if fitting is None else fitting[1])]


def _check_cache(fitting: tuple[Path, Index] | None, published: str | None = None) -> list[Check]:
    """Check every array of a cache that fits its source against its digest.

    Args:
        fitting: the cache's folder and index; None where there is none.
        published: the fingerprint of the published dataset, where it is known. Images that stand in two splits of that
            one are listed and not wrong.
    """
    if fitting is None:
        return [Check("cache", True, "not built yet, or from other files: the next use builds it")]
    folder, index = fitting
    remedy = "prepare it again" if index.prepared else "the next use rebuilds it"
    checks = []
    for split in index.splits.values():
        try:
            digest = cache.digest_of(folder, index, split)
        except (OSError, ValueError) as error:
            checks.append(Check(str(folder / split.file), False, f"cannot be read ({error}): {remedy}"))
            continue
        right = digest == split.sha256
        finding = f"sha256 {digest}" if right else f"holds other images than were written: {remedy}"
        checks.append(Check(str(folder / split.file), right, finding))
    own = index.fingerprint == fingerprint_of(index)
    checks.append(Check("fingerprint", own, index.fingerprint if own else f"is not that of the splits: {remedy}"))
    if published is not None:
        finding = "those of the published dataset"
        if index.fingerprint != published:
            finding = f"not {finding}, whose fingerprint is {published}: the files were converted or replaced"
        checks.append(Check("pixels", index.fingerprint == published, finding))
    as_published = " (as published)" if index.fingerprint == published else ""
    doubles = (
        f"{len(index.duplicates)}{as_published}: {'; '.join(index.duplicates[:5])}" if index.duplicates else "none"
    )
    return [*checks, Check("images in two splits", not index.duplicates or bool(as_published), doubles)]


def _check_examples(source: Source, index: Index | None) -> Check:
    """Read every image or row, and compare its values with the cache."""
    try:
        examples = 0
        for content in source.read():
            sha = split_digest(content.split, source.image_shape, content.counts, content.columns)
            for of_class in content.classes:
                sha.update(of_class.images.tobytes())
                examples += len(of_class.images)
            if index is not None and sha.hexdigest() != index.splits[content.split].sha256:
                remedy = "it was built from others of the same size and time; delete the cache's folder"
                return Check(source.description, False, f"{content.split} is not what the cache holds: {remedy}")
    except BadData as error:
        return Check(source.description, False, str(error))
    return Check(source.description, True, f"{examples} {source.unit}" + ("" if index is None else ", as in the cache"))


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
