"""Whether a dataset on disk still is what it was: checksums of the files, digests of the arrays, doubles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.image_folder import ImageFolder
from datasets.maintenance.catalog import managed
from datasets.storage import cache
from datasets.storage.cache_write import split_digest
from datasets.storage.download import md5_of
from datasets.storage.paths import BadData, DataNotFound
from datasets.storage.publishers import PUBLICATIONS
from datasets.storage.reading import reading
from datasets.storage.source import Source


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, whether it is right, and what was found (or what to do)."""

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
    checks = [
        _check_file(root / remote.path, remote.md5)
        for remote in PUBLICATIONS[name].files
        if (root / remote.path).exists()
    ]
    found = next(cache.fitting(of_name.recipe, root, source), None)
    if found is None and source is None:
        raise DataNotFound(name, of_name.missing(root)[0], f"run: python -m bench data fetch {name}")
    return checks + _check_cache(found)


@reading()
def verify_folder(folder: ImageFolder, root: Path) -> list[Check]:
    """Read every image of the folder, and check the cache byte by byte: against its digests and against the images.

    Raises:
        UserError: a setting is impossible, or the folder is not there.
    """
    recipe, source = folder.recipe_and_source()
    found = next(cache.fitting(recipe, root, source), None)
    return [*_check_cache(found), _check_images(source, None if found is None else found[1])]


def _check_cache(found: tuple[Path, cache.Index] | None) -> list[Check]:
    """Every array of a cache that fits its source against its digest; None: there is no such cache."""
    if found is None:
        return [Check("cache", True, "not built yet, or from other files: the next use builds it")]
    folder, index = found
    remedy = "prepare it again" if index.prepared else "the next use builds it anew"
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
    own = index.fingerprint == cache.fingerprint_of(index)
    checks.append(Check("fingerprint", own, index.fingerprint if own else f"is not that of the splits: {remedy}"))
    doubles = "none" if not index.duplicates else f"{len(index.duplicates)}: " + "; ".join(index.duplicates[:5])
    return [*checks, Check("images in two splits", not index.duplicates, doubles)]


def _check_images(source: Source, index: cache.Index | None) -> Check:
    """Whether every image can be read, and gives what the cache says."""
    try:
        images = 0
        for content in source.read():
            sha = split_digest(content.split, source.image_shape, content.counts)
            for of_class in content.classes:
                sha.update(of_class.images.tobytes())
                images += len(of_class.images)
            if index is not None and sha.hexdigest() != index.splits[content.split].sha256:
                remedy = "it was built from others of the same size and time; delete the cache's folder"
                return Check(source.description, False, f"{content.split} is not what the cache holds: {remedy}")
    except BadData as error:
        return Check(source.description, False, str(error))
    return Check(source.description, True, f"{images} images" + ("" if index is None else ", as in the cache"))


def _check_file(path: Path, md5: str | None) -> Check:
    found = md5_of(path)
    if md5 is None:
        return Check(str(path), True, f"md5 {found} (the publisher's is not known here)")
    right = found == md5
    return Check(str(path), right, f"md5 {found}" if right else f"md5 {found}, not {md5}; delete it and fetch again")
