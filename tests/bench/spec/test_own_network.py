"""A module from a user's file on its whole way: in a grid, reported, exported, searched."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.bench.helpers import GLYPHS, Main, write_grid

MODULE = """
from torch import nn


class Grouped(nn.Module):
    def __init__(self, input_shape, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, stride=4), nn.GroupNorm(2, width), nn.ReLU(), nn.Dropout(0.1)
        )

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(28, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.layer(x[:, 0]).mean(dim=1)
"""


def test_a_module_of_the_users_is_run_reported_exported_and_searched(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "networks_on_their_way.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of the cells' processes
    importing = ("--import", "networks_on_their_way")
    grouped, rows = ({"module": f"networks_on_their_way:{name}"} for name in ("Grouped", "Rows"))
    settings = [
        {"set": {"meta_batch": 4, "test_steps": 2, "train_steps": 2}},
        {"algorithms": ["maml"], "network": rows},
    ]
    grid = write_grid(
        tmp_path / "own.yaml",
        algorithms=["maml", "protonet"],
        datasets=[GLYPHS | {"network": grouped}],
        settings=settings,
        train={"episodes": 8, "n_query": 2, "eval_every": 1, "checkpoint_steps": True},
    )
    code, _, err = main("run", grid, *importing, "--out", "out", "--jobs", "1")
    assert code == 0, err
    results = [json.loads(path.read_text()) for path in sorted(Path("out").glob("cells/*/result.json"))]
    assert len(results) == 2
    for result in results:
        assert result["environment"]["engine"] == {"name": "loop", "reason": "the quicker one for a module on a CPU"}
    assert (Path("out") / "report" / "index.html").is_file()
    (protonet,) = Path("out/cells").glob("protonet--*")
    code, _, err = main("export", "out", protonet.name, *importing, "--out", "exported")
    assert code == 0, err
    assert (Path("exported") / "weights.safetensors").is_file()
    write_grid(
        tmp_path / "own.yaml",
        datasets=[GLYPHS | {"network": grouped}],
        settings=settings[:1],
        train={"episodes": 8, "n_query": 2, "eval_every": 1},
    )
    code, _, err = main("tune", grid, *importing, "--trials", "2", "--report-seeds", "1", "-q", "--out", "tuned")
    assert code == 0, err
    trials = pd.read_csv(next(Path("tuned").rglob("trials.csv")))
    assert "hparam.adapt_norm" in trials  # group norm has weights, which MAML may adapt or not
