"""The tests of clusters know the same plugins and settings as the harness's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.store.store import Store
from tests.bench.conftest import _no_data, _torch_settings, failing, out

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # as the executor does, before Ray is imported

__all__ = ["_no_data", "_torch_settings", "failing", "out"]


@pytest.fixture(autouse=True)
def _what_came_of_cells(out: Path) -> Iterator[None]:
    """CapturedOutput, for pytest to show where a test fails."""
    yield
    if (out / "cells").is_dir():
        print(Store(out).rows()[["cell", "status", "message"]].to_string())
