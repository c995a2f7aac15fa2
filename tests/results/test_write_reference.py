"""The part of a reference run that is kept: small, whole, and beside the published values."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bench.analysis.leaderboard import leaderboard
from bench.protocol.cell_run import run_cell
from bench.report.write import write_report
from bench.spec.grid import parse_grid
from bench.store.requested import record
from bench.store.store import Store
from datasets import load
from results.write_reference import write_reference
from tests.bench.helpers import ROOT
from tests.bench.stats.stores import write_cost


def test_a_run_in_a_few_small_files(tmp_path: Path) -> None:
    grid = parse_grid(
        {
            "algorithms": ["maml", "oracle"],
            "seeds": [0, 1],
            "train": {"episodes": 8, "n_query": 5},
            "evaluation": {"val_episodes": 2, "test_episodes": 4, "n_query": 5},
            "datasets": [{"name": "sinusoid", "shots": [5]}],
            "settings": [{"set": {"meta_batch": 4}}],
        }
    )
    store = Store(tmp_path / "out")
    store.create()
    record(store, grid, "python -m bench run tiny")
    for cell in grid.cells():
        outcome = run_cell(cell, load("sinusoid"))
        measured = {"summary": {"peak_mib": 1.0, "peak_rise_mib": 0.5}, "environment": {"python": "3"}}
        store.write_result(cell, outcome, measured)
    write_cost(tmp_path / "out")
    files = write_reference(tmp_path / "out", tmp_path / "kept", "python -m bench run tiny")
    pictures = {f"{name}.png" for name in ("scores", "time", "memory", "steps", "training")}
    tables = {"leaderboard.csv", "leaderboard.md", "cells.csv", "published.csv", "run.json", "cost.json"}
    assert {file.name for file in files} == {"index.html", "experiment.json", "cells", *tables, *pictures}
    every = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in every) < 1_000_000
    assert not [file for file in every if file.suffix == ".safetensors"]
    pd.testing.assert_frame_equal(leaderboard(Store(tmp_path / "kept")), leaderboard(store))
    page = write_report(tmp_path / "kept", tmp_path / "again").folder / "index.html"
    assert "No fits of maml, oracle: the weights were left out of these results." in page.read_text(encoding="utf-8")
    table = pd.read_csv(tmp_path / "kept" / "published.csv").set_index(["algorithm", "steps"])
    assert table.loc[("maml", 5), "published"] == 0.38
    cells = pd.read_csv(tmp_path / "kept" / "cells.csv")
    assert len(cells) == 4
    assert cells["digest.test"].nunique() == 1
    run = json.loads((tmp_path / "kept" / "run.json").read_text(encoding="utf-8"))
    assert run["command"] == "python -m bench run tiny"
    assert [asked["algorithms"] for asked in run["grids"]] == [["maml", "oracle"]]
    assert len(run["environment"]) == 1


def test_the_report_of_committed_results_is_whole_and_says_what_it_lacks(tmp_path: Path) -> None:
    report = write_report(ROOT / "results/reference/control", tmp_path)
    assert report.failed == ()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    names = "pretrained, maml-trpo, oracle-policy, scratch-policy"
    assert f"No trajectories of {names}: the weights were left out of these results." in page


def test_a_description_that_several_grids_share_is_shown_once(tmp_path: Path) -> None:
    write_report(ROOT / "results/reference/control", tmp_path)
    asked = json.loads((ROOT / "results/reference/control/run.json").read_text(encoding="utf-8"))["grids"]
    descriptions = {grid["description"] for grid in asked}
    assert len(asked) > len(descriptions) == 1
    above, _, _ = (tmp_path / "index.html").read_text(encoding="utf-8").partition("<nav")
    assert above.count("Policies that adapt to a new goal") == 1
