"""Differences between the same cells of two experiments."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from datasets import UserError
from results.numerical_noise import main, noise
from tests.bench.stats.stores import write


def test_differences_are_between_the_same_seeds(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"maml": 0.5, "fomaml": 0.4})
    again = write(tmp_path / "b", {"maml": 0.5, "reptile": 0.4}, seeds=(0, 1))
    (row,) = noise(first, again).to_dict("records")
    assert (row["algorithm"], row["seeds"], row["mean"], row["largest"]) == ("maml", 2, 0.0, 0.0)
    higher = write(tmp_path / "c", {"maml": 0.6, "fomaml": 0.4})
    table = noise(first, higher).set_index("algorithm")
    assert table.loc["maml", "mean"] == pytest.approx(0.1, abs=0.02)
    assert table.loc["maml", "largest"] >= table.loc["maml", "mean"]
    assert table.loc["fomaml", "largest"] == 0.0
    assert (table["between_seeds"] > 0).all()
    assert set(table["metric"]) == {"accuracy_transductive"}


def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write(tmp_path / "a", {"maml": 0.5})
    with pytest.raises(UserError, match="share no dataset"):
        noise(first, write(tmp_path / "b", {"reptile": 0.5}))
    other = write(tmp_path / "c", {"maml": 0.5}, digests={"maml": "others"})
    with pytest.raises(UserError, match="on different episodes"):
        noise(first, other)
    monkeypatch.setattr(sys, "argv", ["numerical_noise.py", str(first), str(other)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "on different episodes" in capsys.readouterr().err
