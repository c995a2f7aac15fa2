"""YAML files that cannot be a grid: one line with the position, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.spec.tuned_file import read_tuned
from bench.spec.yaml_file import read_yaml
from datasets import UserError
from tests.bench.helpers import Main, tiny

MISTAKES = {
    "name: 2024-13-45": "'2024-13-45' in line 1, column 7 is a date; write it in quotes if it is text",
    "name: 2024-02-31": "'2024-02-31' in line 1, column 7 is a date",
    "name: 2024-02-11": "'2024-02-11' in line 1, column 7 is a date",
    "name: !!timestamp soon": "'soon' in line 1, column 7 is a date",
    "seeds: [!!int abc]": "'abc' in line 1, column 9 is not of type int",
    "seeds: [!!int '']": "'' in line 1, column 9 is not of type int",
    "seeds: [!!float abc]": "'abc' in line 1, column 9 is not of type float",
    "seeds: [!!float '']": "'' in line 1, column 9 is not of type float",
    "name: !!bool perhaps": "'perhaps' in line 1, column 7 is not of type bool",
    f"seeds: [{'9' * 5000}]": "the number in line 1, column 9 has 5,000 digits; 1,000 are allowed",
    f"seeds: [0x{'f' * 5000}]": "the number in line 1, column 9 has 5,002 digits; 1,000 are allowed",
    "name: !!binary aGVsbG8=": "'!!binary' in line 1, column 7 is not allowed; use text, numbers, lists and mappings",
    "name: !!binary '*'": "'!!binary' in line 1, column 7 is not allowed",
    "seeds: !!set {1, 2}": "'!!set' in line 1, column 8 is not allowed",
    "seeds: !!omap [a: 1]": "'!!omap' in line 1, column 8 is not allowed",
    'name: "\\ud800"': "'\\ud800' is not valid text",
    "? [1, 2]\n: 3": "found unhashable key",
}


@pytest.mark.parametrize("text", MISTAKES, ids=[text[:24] for text in MISTAKES])
def test_a_scalar_that_cannot_be_read_is_one_line(text: str, main: Main, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    code, _, errors = main("run", path, "--dry-run")
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert errors.startswith(f"error: {path}: not readable as YAML: ")
    assert MISTAKES[text] in errors
    with pytest.raises(UserError) as caught:
        read_tuned(path)
    assert MISTAKES[text] in str(caught.value)


def test_what_is_plain_is_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &one {x: 1, y: [1.5, true, null, '2024-02-31', 0x1f]}\nb: {<<: *one, z: é}\n", encoding="utf-8")
    one = {"x": 1, "y": [1.5, True, None, "2024-02-31", 31]}
    assert read_yaml(path) == {"a": one, "b": one | {"z": "é"}}


@pytest.mark.parametrize("option", ["--seeds", "--shots"])
def test_a_number_of_any_length_on_the_command_line_is_one_line(option: str, main: Main) -> None:
    code, _, errors = main("run", "smoke", option, "9" * 5000, "--dry-run")
    assert code == 2
    assert len(errors) < 300
    assert f"{option}: got '999" in errors


def test_a_number_that_python_cannot_write_is_one_line_in_a_script_too() -> None:
    with pytest.raises(UserError, match=r"seeds\.0: got a whole number of 16,610 bits; input should be less"):
        tiny(seeds=[10**5000])
