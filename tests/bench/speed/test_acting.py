"""Environment steps per second: the contenders play the same game, and the verb prints them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from bench.cli import app
from bench.speed import acting

pytest.importorskip("gymnasium", reason="gymnasium is not installed; run: uv sync --extra control")


def test_a_contender_that_earns_other_returns_is_no_contender() -> None:
    returns = torch.tensor([[-50.0, -40.0], [-30.0, -20.0]])
    known = {acting.OURS: lambda: (200, returns), "another": lambda: (50, returns[:1, :1])}
    rates = acting._measured(known, 3)
    assert rates["contender"].tolist() == [acting.OURS, "another"]
    assert (rates["q1"] <= rates["steps_per_second"]).all()
    assert rates["times_ours"][0] == 1.0
    with pytest.raises(AssertionError, match="wrong earned other returns"):
        acting._measured(known | {"wrong": lambda: (200, returns + 0.5)}, 3)


def test_the_verb_prints_and_writes_all_contenders(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["speed", "--control", "--rounds", "3", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for name in (acting.OURS, "gymnasium_dataset", "plain loop"):
        assert name in done.output
    table = pd.read_csv(tmp_path / "acting.csv")
    assert (table["steps_per_second"] > 0).all()


@pytest.mark.parametrize("other", [["--data"], ["--workloads", "sinusoid-10"], ["--json"]])
def test_it_is_measured_alone(other: list[str]) -> None:
    done = CliRunner().invoke(app, ["speed", "--control", *other])
    assert done.exit_code != 0
    assert "leave one out" in str(done.exception)
