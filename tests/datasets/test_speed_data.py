"""The comparison of episode drawing: its table, and what it says where the other library is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.speed.drawing import cells_of, shares
from bench.speed.sampling import Workload, compare
from datasets.core.episodes import Shape
from datasets.core.registry import UserError

TINY = Workload("tiny", 8, 6, (1, 5, 5), True, Shape(3, 1, 2), 4)


def test_both_engines_are_timed() -> None:
    pytest.importorskip("learn2learn", reason="the extra learn2learn is not installed")
    table = compare(3, (TINY,))
    assert table["engine"].tolist() == ["bench", "learn2learn"]
    assert (table["q1_ms"] <= table["median_ms"]).all()
    assert table["times_ours"][0] == 1.0
    assert table["times_ours"][1] > 0


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "learn2learn.data", None)
    with pytest.raises(UserError, match=r"needs learn2learn .*run: uv sync --extra learn2learn"):
        compare(3, (TINY,))


def test_drawing_is_timed_beside_the_step_that_consumes_it(tmp_path: Path) -> None:
    table, left_out = shares(cells_of(("sinusoid", "mini-imagenet")), tmp_path, rounds=2)
    assert table["dataset"].tolist() == ["sinusoid"]
    assert (table[["draw_ms", "step_ms", "share"]] > 0).all().all()
    assert len(left_out) == 1
    assert left_out[0].startswith("data not found: mini-imagenet")
