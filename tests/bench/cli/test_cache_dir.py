"""``--cache-dir``, and ``data show`` of what no registry knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from bench import cli
from tests.bench.helpers import ODD, PLUGINS, Main, entries_removed_again, write_grid


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield from commands(command, f"{name} ") if hasattr(command, "commands") else [(f"{before}{name}", command)]


def test_every_verb_that_reads_data_takes_it() -> None:
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands(typer.main.get_command(cli.app))
    }
    reading = {name for name, given in options.items() if "--data-root" in given}
    assert reading >= {"run", "tune", "report", "repro", "doctor", "data list", "data show", "data verify"}
    assert {name for name, given in options.items() if "--cache-dir" in given} == reading


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A grid with a table of its own."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"]).assign(kind=np.arange(60) % 10)
    table.to_csv(tmp_path / "table.csv", index=False)
    use = {"name": "mine", "kind": "table", "path": str(tmp_path / "table.csv"), "class_column": "kind", "shots": [1]}
    return write_grid(
        tmp_path / "grid.yaml", datasets=[use | {"split": {"val": 0.3, "test": 0.3}, "network": {"hidden": [8]}}]
    )


def test_the_cache_is_built_where_it_says_and_the_picture_written_where_asked(
    grid: Path, tmp_path: Path, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "other"))
    code, out, err = main(
        "data", "show", "mine", "--grid", grid, "--ways", "3", "--cache-dir", "here", "--out", tmp_path / "picture"
    )
    assert (code, err) == (0, ""), err
    assert len(list((tmp_path / "here").rglob("table-*/*.npy"))) == 3
    assert not (tmp_path / "other").exists()
    with Image.open(tmp_path / "picture") as image:
        assert image.format == "PNG"
    assert str(tmp_path / "picture") in out


def test_plugins_are_shown(tmp_path: Path, main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    with entries_removed_again():
        code, _, err = main("data", "show", "lines", "--import", ODD, "--shots", "5", "--out", tmp_path / "lines.png")
    assert (code, err) == (0, ""), err
    assert (tmp_path / "lines.png").stat().st_size > 1000


def test_what_cannot_be_a_folder_is_a_mistake_of_one_line(grid: Path, main: Main) -> None:
    code, _, err = main("data", "show", "mine", "--grid", grid, "--cache-dir", "~nosuchuser/x")
    assert code == 2
    assert "--cache-dir: there is no user 'nosuchuser'" in err
