"""What the tests of the datasets share."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user cache of the test's own, so that none touches the real one."""
    folder = tmp_path / "user-cache"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder))
    return folder
