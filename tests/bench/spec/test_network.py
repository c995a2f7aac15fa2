"""The network of a grid: by name, by import path, and as cells were stored before networks had names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from algorithms.networks.conv4 import Conv4
from bench.process.plugins import import_plugins
from bench.protocol.cell_run import run_cell
from bench.spec import network
from bench.spec.cell import Cell
from bench.spec.grid import parse_grid
from datasets import UserError, load
from tests.bench.helpers import GLYPHS, tiny

TEXT = """
from os import system

from torch import nn


class Small(nn.Module):
    def __init__(self, input_shape, width=4):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, stride=4), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten()
        )

    def forward(self, x):
        return self.layers(x).mean(dim=1, keepdim=True).repeat(1, 3)
"""


def cells(**changes: Any) -> list[Cell]:
    return tiny(datasets=[GLYPHS | {"network": {}} | changes.pop("use", {})], **changes).cells()


def test_a_usual_network_by_name_is_the_same_cell() -> None:
    plain = cells(use={"network": {"channels": 4}})
    named = cells(use={"network": {"name": "conv4", "channels": 4}})
    assert [cell.id for cell in named] == [cell.id for cell in plain]
    assert set(plain[0].content["network"]) == {"channels", "downsample", "reduce", "norm_scale", "head_init", "hidden"}


def test_a_named_network_is_stored_with_all_its_options_and_read_again() -> None:
    cell = cells(network={"name": "resnet12", "channels": [2, 3]})[0]
    stored = {"name": "resnet12", "args": {"head_init": "small", "channels": [2, 3], "dropout": 0.0}}
    assert cell.content["network"] == stored
    assert Cell.model_validate(cell.content) == cell
    assert cell.network.build("omniglot", (1, 28, 28), 3).n_features == 3


def test_a_network_is_made_once_however_many_cells_have_it(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    build = network.module_network
    monkeypatch.setattr(network, "module_network", lambda *given: made.append(given) or build(*given))
    several = cells(network={"module": f"{own}:Small"}, algorithms=["maml", "fomaml"], seeds=[0, 1])
    for cell in several:
        cell.check_inputs((1, 28, 28))
    assert len(several) == 4
    assert len(made) == 1
    assert cells(network={"module": f"{own}:Small", "args": {"width": 5}})
    assert len(made) == 2


def test_settings_give_an_algorithm_its_network() -> None:
    grid = tiny(
        algorithms=["maml", "protonet"],
        datasets=[GLYPHS | {"network": {}}],
        settings=[{"algorithms": ["protonet"], "network": {"name": "resnet12", "channels": [2]}}],
    )
    assert {(cell.algorithm, cell.network.name) for cell in grid.cells()} == {("maml", None), ("protonet", "resnet12")}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "resnet21"}, "unknown network 'resnet21', did you mean 'resnet12'?"),
        ({"name": "resnet12", "chanels": [2]}, "chanels: unknown field, did you mean 'channels'?"),
        ({"name": "mlp"}, "mlp does not take the inputs of glyphs"),
        ({"name": "resnet12", "channels": [2] * 6}, "network 'resnet12' fails on 3 examples of shape (1, 28, 28)"),
        ({"module": "os:system"}, "'os' is imported only where it is named"),
        ({"module": "xml.dom.expatbuilder:Rejecter"}, "is imported only where it is named"),
        ({"module": "os.system"}, "network.module"),
        ({"name": "resnet12", "module": "os:system", "args": {}}, "cannot be given together"),
    ],
)
def test_a_network_that_is_none_is_one_line_and_imports_nothing(network: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        cells(use={"network": network})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "xml.dom.expatbuilder" not in sys.modules


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's, which was named to be imported."""
    (tmp_path / "networks_of_mine.py").write_text(TEXT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_plugins(["networks_of_mine"])
    return "networks_of_mine"


def test_a_module_of_the_users_runs_in_a_cell(own: str) -> None:
    network = {"module": f"{own}:Small", "args": {"width": 3}}
    cell = next(cell for cell in cells(use={"network": network}) if cell.algorithm == "maml")
    outcome = run_cell(cell, load("glyphs"))
    again = run_cell(Cell.model_validate(cell.content), load("glyphs"))
    assert outcome.episodes.equals(again.episodes)
    assert any(name.startswith("weights/backbone.layers.") for name in outcome.state)
    assert not isinstance(cell.network.build("omniglot", (1, 28, 28), 3), Conv4)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"module": "networks_of_mine:system"}, "has no nn.Module class 'system'"),
        ({"module": "networks_of_mine:Large"}, "has no nn.Module class 'Large'"),
        ({"module": "networks_of_mine:Small", "args": {"depth": 3}}, "got an unexpected keyword argument 'depth'"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_a_named_module_lacks_is_said(network: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        cells(use={"network": network})
    assert message in str(refused.value)


def test_a_grid_refuses_what_it_cannot_read() -> None:
    with pytest.raises(UserError, match="exactly one of `set` and `tuned`"):
        parse_grid({"algorithms": ["maml"], "datasets": [GLYPHS], "train": {"episodes": 4}, "settings": [{}]})
