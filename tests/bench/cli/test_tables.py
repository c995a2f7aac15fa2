"""Tables in terminals that are narrow, wide, or none."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli.tables import print_table
from bench.report.table_model import Column, ReportTable, table_of
from tests.bench.helpers import Main
from tests.bench.stats.stores import write


def printed(table: ReportTable, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(console, table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def table() -> ReportTable:
    columns = [
        Column("algorithm", numeric=False),
        Column("score"),
        Column("memory MiB"),
        Column("why", False, wrap=True),
    ]
    rows = [["maml", "12.345 ±0.678", "1,024", "a reason of several words"], ["meta-sgd", "0.5", "7", "-"]]
    return table_of("A table", columns, rows)


def test_a_table_that_fits_is_whole(table: ReportTable) -> None:
    lines = printed(table, 80).splitlines()
    assert lines[0] == "A table"
    assert [line.rstrip() for line in lines if line.startswith("maml")] == [
        "maml       12.345 ±0.678   1,024  a reason of several words"
    ]


@pytest.mark.parametrize("width", [24, 30, 40, 60])
def test_a_narrow_terminal_gets_parts_and_loses_nothing(table: ReportTable, width: int) -> None:
    text = printed(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in table.rows:
        for cell in row.cells[:3]:
            assert cell.text in text
    below = text.split("why")[1].replace("maml", "")
    assert "a reason of several words" in " ".join(below.split())
    assert text.count("meta-sgd") == text.count("algorithm")
    assert text.count("A table") == 1


@pytest.mark.parametrize("width", ["60", "200", None])
def test_leaderboards_datasets_and_comparisons_are_whole_at_any_width(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: str | None
) -> None:
    write(tmp_path / "here", {"maml": 0.8, "meta-sgd": 0.7, "protonet": 0.6})
    if width is None:
        monkeypatch.delenv("COLUMNS")  # as in a pipe
    else:
        monkeypatch.setenv("COLUMNS", width)
    whole = 160 if width is None else int(width)
    for verb in (("leaderboard", "here"), ("data", "list"), ("compare", "maml", "meta-sgd", "--results", "here")):
        code, out, err = main(*verb)
        assert (code, err) == (0, "")
        assert "…" not in out
        assert "\x1b" not in out
        if verb[0] == "leaderboard":
            assert out.count("meta-sgd") == (2 if whole == 60 else 1)
        if verb[0] == "data":  # which ends with paths, to be copied
            assert "mini-imagenet " in out
        elif width is not None:
            assert max(map(len, out.splitlines())) <= whole
        else:  # a sentence is a line
            below = out.rpartition("\n\n" if verb[0] == "leaderboard" else "Wilcoxon)\n")[2].strip().splitlines()
            assert len(below) >= 2
            assert all(line.endswith((".", ")", ";")) for line in below if line.strip()), below
            assert max(map(len, below)) > 100
