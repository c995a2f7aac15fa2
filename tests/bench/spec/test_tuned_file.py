"""The file that a search leaves, and grids that use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.spec.grid import load_grid
from bench.spec.network import NetworkSpec
from bench.spec.tuned_file import Search, Spent, Tuned, Validation, read_tuned, tuned_name, write_tuned
from datasets import UserError
from tests.bench.helpers import tiny, write_grid

VALUES = {"inner_lr": 0.3, "train_steps": 2}


def tuned(**changes: Any) -> Tuned:
    usual: dict[str, Any] = {
        "algorithm": "maml",
        "dataset": "sinusoid",
        "shape": "5-shot",
        "network": NetworkSpec(hidden=(8,)),
        "values": VALUES,
        "validation": Validation(metric="mse", value=1.5, episodes=3, digest="ab"),
        "search": Search(
            study="s",
            storage="sqlite",
            settings="cd",
            objective="accuracy",
            sampler="tpe",
            pruner="none",
            seed=0,
            trial=3,
        ),
        "budget": Spent(trials=4, complete=3, pruned=1, failed=0, repeated=0, episodes=40, seconds=1.5),
    }
    return Tuned.model_validate(usual | changes)


def uses(folder: Path, **changes: Any) -> dict[str, Any]:
    return {"settings": [{"set": {"meta_batch": 4, "inner_lr": 0.1}}, {"tuned": str(folder)}], **changes}


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_tuned(tmp_path / "tuned", tuned())
    assert path.name == "maml--sinusoid-5-shot.yaml"
    assert read_tuned(path) == tuned()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_names_are_safe() -> None:
    assert tuned_name("a/b", "my birds", "5-way 1-shot") == "a_b--my_birds-5-way-1-shot"


def test_cells_carry_the_values_and_later_settings_win(tmp_path: Path) -> None:
    write_tuned(tmp_path, tuned())
    (cell,) = tiny(**uses(tmp_path)).cells()
    assert {name: cell.hparams[name] for name in ("meta_batch", *VALUES)} == {"meta_batch": 4, **VALUES}
    plain = tiny(settings=[{"set": {"meta_batch": 4, **VALUES}}]).cells()[0]
    assert cell.id == plain.id  # nothing but plain values makes a cell
    over = tiny(settings=[{"tuned": str(tmp_path)}, {"set": {"inner_lr": 0.5}}]).cells()[0]
    assert over.hparams["inner_lr"] == 0.5


def test_what_has_nothing_to_tune_needs_no_file(tmp_path: Path) -> None:
    write_tuned(tmp_path, tuned())
    assert len(tiny(**uses(tmp_path, algorithms=["maml", "oracle"])).cells()) == 2


def test_a_grid_file_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    path = write_grid(tmp_path / "mine.yaml", **uses(folder))
    with pytest.raises(UserError, match=r"mine\.yaml: no tuned hyper-parameters in .*maml--sinusoid-5-shot\.yaml"):
        load_grid(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": [{"name": "sinusoid", "shots": [5]}]}, "tuned for network 'hidden=(8,)'"),
        (
            {"datasets": [{"name": "sinusoid", "shots": [10], "network": {"hidden": [8]}}]},
            "no tuned hyper-parameters in",
        ),
    ],
)
def test_another_shape_or_network_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_tuned(tmp_path, tuned())
    with pytest.raises(UserError) as raised:
        tiny(**uses(tmp_path, **changes))
    assert message.replace("(8,)", "[8]") in str(raised.value)


def test_a_file_under_the_name_of_another_shape_is_refused(tmp_path: Path) -> None:
    write_tuned(tmp_path, tuned()).rename(tmp_path / "maml--sinusoid-10-shot.yaml")
    with pytest.raises(UserError, match="tuned for shape '5-shot', but the grid asks for '10-shot'"):
        tiny(**uses(tmp_path, datasets=[{"name": "sinusoid", "shots": [10], "network": {"hidden": [8]}}]))


def test_a_changed_torn_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = write_tuned(tmp_path, tuned())
    whole = path.read_text(encoding="utf-8")
    inner = yaml.safe_load(whole)
    for text, message in (
        (whole.replace("inner_lr: 0.3", "inner_lr: 0.4"), "does not match its digest"),
        (whole.replace("schema_version: 1", "schema_version: 2"), "of version 2, but this bench reads version 1"),
        (yaml.safe_dump({name: value for name, value in inner.items() if name != "values"}), "values: required"),
        (whole[: len(whole) // 2], "maml--sinusoid-5-shot.yaml"),
        ("[1, 2]", "not a file of tuned hyper-parameters"),
        ("{", "not readable as YAML"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"maml--sinusoid-5-shot\.yaml") as raised:
            read_tuned(path)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("settings", [{"algorithms": ["maml"]}, {"set": {"meta_batch": 4}, "tuned": "x"}])
def test_settings_are_set_or_tuned(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="exactly one of `set` and `tuned` must be given"):
        tiny(settings=[settings])


def test_a_value_that_is_no_longer_allowed_is_refused(tmp_path: Path) -> None:
    write_tuned(tmp_path, tuned(values={"inner_lr": -1.0}))
    with pytest.raises(UserError, match="inner_lr"):
        tiny(**uses(tmp_path))
