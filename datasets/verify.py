"""Whether a dataset on disk still is what it was: checksums of the files, digests of the arrays, doubles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets import cache
from datasets.catalog import managed
from datasets.download import md5_of
from datasets.location import DataNotFound
from datasets.publishers import PUBLICATIONS


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, whether it is right, and what was found (or what to do)."""

    what: str
    ok: bool
    finding: str


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
    found = cache.locate(of_name.recipe, root, source)
    if found is None and source is None:
        raise DataNotFound(name, of_name.missing(root)[0], f"run: python -m bench data fetch {name}")
    if found is None:
        return [*checks, Check("cache", True, "not built yet: the first use builds it")]
    folder, index = found
    for split in index.splits.values():
        digest = cache.digest_of(folder, index, split)
        right = digest == split.sha256
        remedy = f"does not match the index; delete {folder} and it is built anew"
        checks.append(Check(str(folder / split.file), right, f"sha256 {digest}" if right else remedy))
    checks.append(Check("fingerprint", True, index.fingerprint))
    doubles = "none" if not index.duplicates else f"{len(index.duplicates)}: " + "; ".join(index.duplicates[:5])
    checks.append(Check("images in two splits", not index.duplicates, doubles))
    return checks


def _check_file(path: Path, md5: str | None) -> Check:
    found = md5_of(path)
    if md5 is None:
        return Check(str(path), True, f"md5 {found} (the publisher's is not known here)")
    right = found == md5
    return Check(str(path), right, f"md5 {found}" if right else f"md5 {found}, not {md5}; delete it and fetch again")
