"""Fixtures that the tests of the datasets share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest

NOBODY = 65534


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user cache of the test's own, so that none touches the real one."""
    folder = tmp_path / "user-cache"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder))
    monkeypatch.delenv("BENCH_CACHE")
    return folder


@pytest.fixture
def without_rights() -> Iterator[Callable[[Path], None]]:
    """Takes the rights to a file or folder of the test away, also from the superuser: the test goes on as nobody."""
    superuser = os.geteuid() == 0
    taken: list[tuple[Path, int]] = []

    def take(path: Path) -> None:
        taken.append((path, path.stat().st_mode))
        path.chmod(0)
        if superuser:
            for folder in path.parents:
                if folder.stat().st_mode & 0o055 != 0o055:
                    taken.append((folder, folder.stat().st_mode))
                    folder.chmod(folder.stat().st_mode | 0o055)
            os.seteuid(NOBODY)

    yield take
    if superuser:
        os.seteuid(0)
    for path, mode in reversed(taken):
        path.chmod(mode)
