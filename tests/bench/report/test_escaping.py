"""Names and messages of others in Markdown and CSV: text, and neither markup nor formulas."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.report.escaping import in_markdown, prose_in_html, prose_in_latex, prose_in_markdown, to_csv
from bench.report.renderers import to_html, to_latex, to_markdown
from bench.report.table_model import Column, ReportTable, TableCell, table_of
from bench.report.write import write_report
from bench.store.store import Failure, Store
from tests.bench.helpers import Main, one_cell
from tests.bench.stats.stores import write_cost
from tests.bench.store.store_writers import outcome

COSTS = dict.fromkeys(["train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second"], 1.0)
EVIL = "=cmd|' /C calc'!A0 <b>[x](http://y)\n# `a` *b* _c_"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mini-imagenet 5-way", "mini-imagenet 5-way"),
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\\\|b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("two\nlines\r\n\nmore", "two lines more"),
        ("[x](y) *a* _b_ `c` ~d~ # e", r"\[x\](y) \*a\* \_b\_ \`c\` \~d\~ \# e"),
        ("x\ud800y", r"x\\ud800y"),
    ],
)
def test_markdown_shows_what_stands_there(text: str, shown: str) -> None:
    assert in_markdown(text) == shown


def test_commands_in_notes_are_code_and_the_rest_is_text() -> None:
    note = "No times of a_b: not measured; `python -m bench cost a_b <DIR>` measures it"
    assert prose_in_markdown(note) == r"No times of a\_b: not measured; `python -m bench cost a_b <DIR>` measures it"
    assert prose_in_markdown("one ` alone") == r"one \` alone"
    assert prose_in_latex(note) == (
        r"No times of a\_b: not measured; \texttt{python -m bench cost a\_b $<$DIR$>$} measures it"
    )
    assert str(prose_in_html(f"{note} & <b>")) == (
        "No times of a_b: not measured; <code>python -m bench cost a_b &lt;DIR&gt;</code> measures it &amp; &lt;b&gt;"
    )
    table = ReportTable("t", (Column("a", numeric=False),), (), marks=(note,), subtitle=note)
    assert to_html([table]).count("<code>python -m bench cost a_b &lt;DIR&gt;</code>") == 2
    assert "`" not in to_html([table])
    assert to_latex([table]).count(r"\texttt{python -m bench cost") == 2


@given(st.text("`\\*_<>[]()&a ", max_size=12))
def test_a_reader_of_markdown_sees_the_text_of_a_note_whatever_stands_in_it(text: str) -> None:
    shown = html.unescape(re.sub(r"</?(p|code)>", "", MarkdownIt().render(f"x{prose_in_markdown(text)}x")))
    assert re.sub(r"[\s`]", "", shown) == re.sub(r"[\s`]", "", f"x{text}x")


def test_a_table_keeps_its_cells() -> None:
    table = table_of(
        "t_1", [Column("a|b", numeric=False), Column("c")], [["x\n| y |", TableCell("<1>", 1, strong=True)]]
    )
    assert to_markdown(table) == [r"| a\|b | c |", "| --- | ---: |", r"| x \| y \| | **&lt;1&gt;** |"]
    assert r"x" in to_latex([table])
    assert r" & \textbf{$<$1$>$} \\" in to_latex([table])
    assert "<b>&lt;1&gt;</b>" in to_html([table])
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table_of("t", table.columns, [["alone"]])


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_in_csv_is_a_formula(first: str) -> None:
    frame = pd.DataFrame({f"{first}head": ["a", f"{first}1+1", None], "n": [-1.5, 2.0, None], "i": [1, None, "-x"]})
    read = first.replace("\r", "\n")
    heads, *rows = csv.reader(io.StringIO(to_csv(frame), newline=""))
    assert heads == [f"'{read}head", "n", "i"]
    assert rows == [["a", "-1.5", "1"], [f"'{read}1+1", "2.0", ""], ["", "", "'-x"]]


def test_csv_is_otherwise_what_pandas_writes() -> None:
    frame = pd.DataFrame({"a": ["x,y", 'a "word"'], "b": [1.23456789, -2.0], "c": [True, False], "d": [-3, 4]})
    assert to_csv(frame) == frame.to_csv(index=False)
    assert to_csv(frame, "%.3g") == frame.to_csv(index=False, float_format="%.3g")


def test_names_of_others_are_text_in_every_file_of_a_report(tmp_path: Path, main: Main) -> None:
    store = Store(tmp_path / "out")
    store.create()
    evaluation = {"val_episodes": 3, "test_episodes": 4, "n_query": 2, "label": EVIL}
    cell = one_cell(evaluation=evaluation).model_copy(update={"algorithm": EVIL})
    store.write_result(cell, outcome(), {"summary": COSTS, "environment": {}})
    store.write_failure(one_cell(seeds=[2]), Failure("error", EVIL))
    write_cost(store.root)
    folder = write_report(store.root).folder
    for text in ((folder / "leaderboard.md").read_text(), main("leaderboard", store.root, "--format", "md")[1]):
        assert "<b>" not in text
        assert r"\[x\](http://y) \# \`a\` \*b\* \_c\_" in text
        assert all(line.startswith(("#", "|", "- ", "!")) for line in text.splitlines() if line)
    tables = [(folder / name).read_text() for name in ("leaderboard.csv", "cells.csv")]
    for text in (*tables, main("leaderboard", store.root, "--format", "csv")[1]):
        cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
        assert f"'{EVIL}" in cells
        assert not any(cell.startswith("=") for cell in cells)
