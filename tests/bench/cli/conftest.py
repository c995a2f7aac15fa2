"""Fixtures that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.helpers import GLYPHS, SINUSOID, write_grid


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A grid of two algorithms on two datasets, as a file."""
    return write_grid(tmp_path / "mine.yaml", algorithms=["maml", "finetune"], datasets=[dict(SINUSOID), dict(GLYPHS)])
