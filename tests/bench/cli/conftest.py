"""Fixtures that the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.report.panels import Panels
from tests.bench.helpers import GLYPHS, SINUSOID, write_grid


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A grid of two algorithms on two datasets, as a file."""
    return write_grid(tmp_path / "mine.yaml", algorithms=["maml", "finetune"], datasets=[dict(SINUSOID), dict(GLYPHS)])


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written without their figures, which take longer than all else that a tiny run does."""

    def attempt(self: Panels, panel: str, make: Callable[[], object]) -> object:
        return make() if panel.startswith("data of ") else None  # the page has nothing to say of missing data

    monkeypatch.setattr(Panels, "attempt", attempt)
