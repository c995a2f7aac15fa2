"""Grids: every mistake is one line that names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.grid import load_grid, parse_grid
from datasets import UserError
from tests.bench.helpers import GLYPHS, SINUSOID, content, tiny, write_grid


def mistake(act: Callable[[], object]) -> str:
    """The message of the UserError that ``act`` raises, which must be one line."""
    with pytest.raises(UserError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown algorithm": (
        {"algorithms": ["mamal"]},
        ["algorithms", "'mamal'", "did you mean 'maml'?", "`python -m bench list` lists all"],
    ),
    "unknown dataset": (
        {"datasets": [{"name": "omniglott", "shots": [1]}]},
        ["datasets.0.name", "'omniglott'", "did you mean 'omniglot'?", "`python -m bench list` lists all"],
    ),
    "algorithm twice": ({"algorithms": ["maml", "maml"]}, ["algorithms", "'maml' is given more than once"]),
    "seed twice": ({"seeds": [3, 3]}, ["seeds", "3 is given more than once"]),
    "negative seed": ({"seeds": [-1]}, ["seeds.0", "got -1", "greater than or equal to 0"]),
    "no algorithm": ({"algorithms": []}, ["algorithms", "got []", "at least 1 item"]),
    "no dataset": ({"datasets": []}, ["datasets", "got []", "at least 1 item"]),
    "no seed": ({"seeds": []}, ["seeds", "got []", "at least 1 item"]),
    "no shots": ({"datasets": [{"name": "sinusoid", "shots": []}]}, ["datasets.0.shots", "got []"]),
    "no ways": ({"datasets": [{"name": "glyphs", "ways": [], "shots": [1]}]}, ["datasets.0.ways", "got []"]),
    "shots missing": ({"datasets": [{"name": "sinusoid"}]}, ["datasets.0.shots", "required"]),
    "zero shots": ({"datasets": [{"name": "sinusoid", "shots": [0]}]}, ["datasets.0.shots", "0 is not allowed", "1"]),
    "shots in words": ({"datasets": [{"name": "sinusoid", "shots": ["one"]}]}, ["datasets.0.shots.0", "'one'", "int"]),
    "dataset as text": ({"datasets": ["sinusoid"]}, ["datasets.0", "'sinusoid'", "a mapping of fields"]),
    "shape twice": (
        {"datasets": [dict(SINUSOID), dict(SINUSOID)]},
        ["sinusoid with 5 shots is given more than once"],
    ),
    "shot twice": ({"datasets": [{"name": "sinusoid", "shots": [5, 5]}]}, ["sinusoid with 5 shots", "more than once"]),
    "ways of regression": ({"datasets": [{"name": "sinusoid", "ways": [5], "shots": [1]}]}, ["sinusoid", "`ways`"]),
    "one way": ({"datasets": [{"name": "glyphs", "ways": [1], "shots": [1]}]}, ["glyphs", "ways", "1", "2"]),
    "unknown field": ({"algoritms": ["maml"]}, ["algoritms", "unknown field, did you mean 'algorithms'?", "seeds"]),
    "unknown field of train": (
        {"train": {"episode": 5}},
        ["train.episode", "did you mean 'episodes'?", "eval_every"],
    ),
    "unknown field of a dataset": (
        {"datasets": [{"name": "sinusoid", "shot": [1], "shots": [1]}]},
        ["datasets.0.shot", "did you mean 'shots'?", "network"],
    ),
    "unknown field of a network": (
        {"datasets": [{"name": "glyphs", "shots": [1], "network": {"chanels": 4}}]},
        ["datasets.0.network.chanels", "did you mean 'channels'?"],
    ),
    "unknown field of settings": ({"settings": [{"sets": {}, "set": {}}]}, ["settings.0.sets", "did you mean 'set'?"]),
    "no budget": ({"train": {}}, ["train", "exactly one of `episodes` and `seconds`", "episodes=None, seconds=None"]),
    "two budgets": ({"train": {"episodes": 5, "seconds": 1}}, ["train", "exactly one", "episodes=5, seconds=1.0"]),
    "no episodes": ({"train": {"episodes": 0}}, ["train.episodes", "got 0", "greater than or equal to 1"]),
    "endless": ({"train": {"seconds": float("inf")}}, ["train.seconds", "got inf", "finite"]),
    "not a number": ({"train": {"seconds": float("nan")}}, ["train.seconds", "got nan"]),
    "one test episode": ({"evaluation": {"test_episodes": 1}}, ["evaluation.test_episodes", "got 1", "equal to 2"]),
    "unknown selection": ({"evaluation": {"select_by": "both"}}, ["evaluation.select_by", "'both'", "'inductive'"]),
    "train of a dataset": (
        {"datasets": [{"name": "sinusoid", "shots": [1], "train": {"episode": 5}}]},
        ["datasets (sinusoid): train", "episode", "did you mean 'episodes'?"],
    ),
    "evaluation of a dataset": (
        {"datasets": [{"name": "sinusoid", "shots": [1], "evaluation": {"n_query": 0}}]},
        ["datasets (sinusoid): evaluation", "n_query", "got 0"],
    ),
    "network of the other kind": (
        {"datasets": [{"name": "glyphs", "shots": [1], "network": {"hidden": [4]}}]},
        ["glyphs", "network.hidden", "allowed there: channels"],
    ),
    "image network for sinusoids": (
        {"datasets": [{"name": "sinusoid", "shots": [1], "network": {"channels": 4}}]},
        ["sinusoid", "network.channels", "allowed there: hidden"],
    ),
    "no hidden layer": (
        {"datasets": [{"name": "sinusoid", "shots": [1], "network": {"hidden": []}}]},
        ["datasets.0.network.hidden", "got []"],
    ),
    "empty hidden layer": (
        {"datasets": [{"name": "sinusoid", "shots": [1], "network": {"hidden": [8, 0]}}]},
        ["datasets.0.network.hidden", "got 0", "greater than or equal to 1"],
    ),
    "setting of a named algorithm": (
        {"settings": [{"algorithms": ["maml"], "set": {"iner_lr": 1}}]},
        ["settings.0.set.iner_lr", "maml", "did you mean 'inner_lr'?", "`python -m bench list maml`"],
    ),
    "setting of nobody": ({"settings": [{"set": {"warmth": 1}}]}, ["settings.0.set.warmth", "no algorithm"]),
    "setting's value": ({"settings": [{"set": {"inner_lr": -0.5}}]}, ["maml", "inner_lr", "got -0.5", "than 0"]),
    "setting's type": ({"settings": [{"set": {"meta_batch": "four"}}]}, ["maml", "meta_batch", "'four'", "integer"]),
    "endless setting": ({"settings": [{"set": {"inner_lr": float("inf")}}]}, ["inner_lr", "got inf", "finite"]),
    "setting for an unknown algorithm": (
        {"settings": [{"algorithms": ["retpile"], "set": {}}]},
        ["settings.0.algorithms", "did you mean 'reptile'?"],
    ),
    "setting for an unknown dataset": (
        {"settings": [{"datasets": ["glyph"], "set": {}}]},
        ["settings.0.datasets", "did you mean 'glyphs'?"],
    ),
    "a name that leaves the folder": ({"name": "../elsewhere"}, ["name", "'../elsewhere'"]),
    "an empty name": ({"name": ""}, ["name", "''"]),
    "countless test episodes": (
        {"evaluation": {"test_episodes": 10**30}},
        ["evaluation.test_episodes", f"got {10**30}", "less than or equal to 1000000"],
    ),
    "countless validation episodes": (
        {"evaluation": {"val_episodes": 2_000_000}},
        ["evaluation.val_episodes", "got 2000000", "less than or equal to 1000000"],
    ),
    "endless training": ({"train": {"episodes": 10**30}}, ["train.episodes", f"got {10**30}", "1000000000"]),
    "endless seconds": ({"train": {"seconds": 1e300}}, ["train.seconds", "got 1e+300", "1000000000"]),
    "countless queries": ({"train": {"episodes": 1, "n_query": 10**30}}, ["train.n_query", f"got {10**30}", "10000"]),
    "countless shots": ({"datasets": [{"name": "sinusoid", "shots": [10**30]}]}, ["shots", f"{10**30} is", "10,000"]),
    "countless ways": ({"datasets": [{"name": "glyphs", "ways": [10**6], "shots": [1]}]}, ["ways", "1000000 is"]),
    "countless channels": (
        {"datasets": [GLYPHS | {"network": {"channels": 10**30}}]},
        ["datasets.0.network.channels", f"got {10**30}", "65536"],
    ),
    "a seed that no table holds": ({"seeds": [10**30]}, ["seeds.0", f"got {10**30}", "9223372036854775807"]),
    "a setting beyond measure": (
        {"settings": [{"set": {"test_steps": 10**30}}]},
        ["maml", "test_steps", "too large; whole numbers up to 1,000,000,000"],
    ),
    "algorithms as text": ({"algorithms": "maml"}, ["algorithms", "'maml'"]),
    "several": ({"algorithms": [], "seeds": []}, ["(and 1 more mistake"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_file_field_value_and_what_is_allowed(name: str, tmp_path: Path) -> None:
    changes, expected = MISTAKES[name]
    path = write_grid(tmp_path / "mine.yaml", **changes)
    message = mistake(lambda: load_grid(path))
    assert message.startswith(f"{path}: ")
    for part in expected:
        assert part in message, message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file is empty"),
        ("- maml", "this is a list"),
        ("maml", "this is one value"),
        ("algorithms: [maml", "not readable as YAML"),
        ("algorithms: !!python/object/apply:os.system ['echo']", "not readable as YAML"),
        ("algorithms: [maml]\nalgorithms: [reptile]", "'algorithms' is given more than once"),
        ("[" * 5000, "not readable as YAML"),
        ("algorithms: [\x00]", "not readable as YAML"),
        ("1: 2", "algorithms: required"),
        ("algoritms: [maml]", "algoritms: unknown field, did you mean 'algorithms'?"),
    ],
)
def test_a_file_that_is_no_grid_is_refused_in_one_line(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    message = mistake(lambda: load_grid(path))
    assert message.startswith(f"{path}: ")
    assert part in message


@pytest.mark.parametrize("field", ["algorithms", "train", "description", "settings", "datasets", "unknown"])
def test_a_yaml_bomb_is_refused_without_being_spelled_out(field: str, tmp_path: Path) -> None:
    """Nested aliases: 10^12 elements if anything walked or printed them."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join([*lines, f"{field}: *a11"]), encoding="utf-8")
    with pytest.raises(UserError):
        load_grid(path)
    path.write_text(yaml.safe_dump(content()) + "\n".join(["x:", *(f"  {line}" for line in lines), f"{field}: *a11"]))
    assert str(path) in mistake(lambda: load_grid(path))


def test_a_bomb_in_a_settings_value_is_refused_without_being_spelled_out() -> None:
    bomb: list[Any] = ["x"] * 10
    for _ in range(12):
        bomb = [bomb] * 10
    assert "inner_lr" in mistake(lambda: tiny(settings=[{"set": {"inner_lr": bomb}}]))
    assert "episodes" in mistake(lambda: tiny(datasets=[{**SINUSOID, "train": {"episodes": bomb}}]))


def test_a_file_in_another_encoding_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("description: größer".encode("latin-1"))
    assert "not readable as YAML" in mistake(lambda: load_grid(path))


def test_an_unknown_grid_suggests_the_nearest() -> None:
    message = mistake(lambda: load_grid("smok"))
    assert "'smok'" in message
    assert "did you mean 'smoke'?" in message
    assert mistake(lambda: load_grid("nowhere.yaml")).startswith("nowhere.yaml: no such file; give another path, or ")


def test_a_folder_is_not_a_grid(tmp_path: Path) -> None:
    assert f"{tmp_path}: a folder, not a grid" in mistake(lambda: load_grid(tmp_path))


@given(st.recursive(st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4), st.lists))
@settings(max_examples=60)
def test_whatever_stands_in_a_field_is_a_grid_or_one_line(value: Any) -> None:
    for name in content():
        message = ""
        try:
            parse_grid(content(**{name: value}), "f")
        except UserError as error:
            message = str(error)
        assert "\n" not in message
        assert message[:3] in ("", "f: ")


def test_a_list_is_called_a_list(tmp_path: Path) -> None:
    place = write_grid(tmp_path / "mine.yaml", seeds="one")
    with pytest.raises(UserError, match=r"seeds: got 'one'; input should be a list, such as \[1, 5\]"):
        load_grid(place)


@pytest.mark.parametrize(("dataset", "engine"), [(SINUSOID, "fused"), (GLYPHS, "stacked")], ids=["MLP", "Conv4"])
def test_an_engine_that_is_not_written_for_the_network_is_refused(dataset: dict[str, Any], engine: Any) -> None:
    grid = tiny(datasets=[dataset])
    said = mistake(lambda: grid.cells(engine=engine))
    assert f"engine: {dataset['name']}: engine '{engine}' is written for" in said
    assert "loop, " in said


@pytest.mark.parametrize(
    ("dataset", "device", "expected"),
    [
        (SINUSOID, "cpu", "is for Conv4 and modules, not for MLP"),
        (GLYPHS, "cpu", "the engine fused computes in float32"),
        (GLYPHS, "cuda", "'bf16' is for the device cpu, not for cuda"),
    ],
    ids=["MLP", "Conv4", "GPU"],
)
def test_a_precision_that_an_engine_or_a_device_does_not_have_is_refused(
    dataset: dict[str, Any], device: str, expected: str
) -> None:
    grid = tiny(datasets=[dataset])
    said = mistake(lambda: grid.cells(device, precision="bf16"))
    assert said.startswith("precision: ")
    assert expected in said
