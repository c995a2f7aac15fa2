"""Tables that are no data: each mistake is one line with file, column and row, and damage leaves nothing behind."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.episodes import SPLITS
from datasets.core.errors import BadData, UserError
from datasets.formats import table_files
from datasets.formats.table import Columns
from tests.datasets.tables import BY_CLASS, BY_TASK, FORMS, changed, frame, load, put, write

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


@pytest.mark.parametrize(
    ("change", "choice", "message"),
    [
        (put("a", 4, np.nan), BY_CLASS, "column 'a' has missing values, the first in row 5; fill them in"),
        (put("species", 7, ""), BY_CLASS, "column 'species' is empty in row 8; fill it in"),
        (put("a", 2, "many"), BY_CLASS, "column 'a' has 'many' in row 3, which is no number; correct it, or"),
        (put("a", 2, "a\nb"), BY_CLASS, "column 'a' has 'a b' in row 3, which is no number"),
        (put("b", 1, "inf"), BY_CLASS, "column 'b' has an infinite value in row 2; correct it"),
        (put("b", 1, "1e31"), BY_CLASS, "column 'b' has 1e\\+31, over 1e\\+30, in row 2; correct it, or give"),
        (lambda t: t.__setitem__("a", 0.1), BY_CLASS, "column 'a' has one value, 0.1, in all rows of meta-train"),
        (
            lambda t: t.__setitem__("a", (t["split"] == "test") * 1.0),
            BY_CLASS,
            "column 'a' has one value, 0, in all rows of meta-train, and says nothing; name it in `ignore`",
        ),
        (
            lambda t: t.__setitem__("a", t["a"].where(t["species"] != "class00", 1e9)),
            BY_CLASS,
            r"column 'a' has \+1e\+09 from the mean of meta-train in row \d+, over 1,000,000 standard deviations",
        ),
        (put("species", 0, "rare"), BY_CLASS, "class 'rare' has 1 row; it needs 2: leave it out, or add rows"),
        (put("species", 0, "rare"), BY_TASK, "task 'rare' has 1 row; it needs 2"),
        (put("split", 3, "tets"), BY_CLASS, "column 'split' has 'tets', did you mean 'test'.* allowed: train, val, t"),
        (lambda t: t.__setitem__("split", "train"), BY_CLASS, "column 'split' gives no rows to val; each split needs"),
        (
            lambda t: t.__setitem__("split", np.resize([*SPLITS], 60)),
            BY_CLASS,
            "class 'class00' is in test and train and val; all of its rows belong to one split",
        ),
        (None, Columns("specie", split="split"), "has no column 'specie', did you mean 'species'.* columns: species,"),
        (None, Columns("species", split="split", features=("a", "c")), "has no column 'c'"),
        (None, Columns("species", split="split", ignore=("a", "b", "dose")), "has no columns left for features"),
        (None, Columns("species", split="split", features=("a", "split")), "column 'split' cannot be a feature too"),
        (None, Columns("species", "species", "split"), "one column cannot be two of class or task, target and split"),
        (lambda t: t.iloc[:0], BY_CLASS, "has no rows"),
        (put("species", 0, "bell\a"), BY_CLASS, r"class .*bell\\x07.* is no name; use up to 200 printable characters"),
    ],
)  # fmt: skip
def test_what_no_network_takes_is_refused_in_one_line(
    change: Callable[[pd.DataFrame], object] | None, choice: Columns, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, changed(change or (lambda table: None)))
    with pytest.raises(BadData, match=message) as caught:
        load(path, choice)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not list((tmp_path / "user-cache").rglob("*.npy")) + list((tmp_path / "user-cache").rglob(".part-*"))


@pytest.mark.parametrize(
    ("suffix", "values", "message"),
    [
        (".parquet", ["a", "b"] * 30, "column 'a' holds text, such as '[ab]', not numbers; convert it"),
        (".parquet", [[1.0]] * 60, "column 'a' holds values of type list"),
        (".parquet", [None] * 60, "column 'a' has missing values, the first in row 1"),
        (".npz", ["a", "b"] * 30, "column 'a' holds text, such as '[ab]'"),
        (".npz", [None, 1] * 30, r"array 'a' holds pickled objects, which are not read; store numbers or strings"),
        (".npz", np.zeros((60, 2, 2)), r"array 'a' is float64 \(60, 2, 2\); each array has a row for each row"),
        (".npz", [1j] * 60, "neither numbers nor strings"),
    ],
)
def test_types_that_are_no_numbers_are_named(suffix: str, values: list[object], message: str, tmp_path: Path) -> None:
    table = frame()
    path = tmp_path / f"table{suffix}"
    if suffix == ".npz":
        np.savez(path, **{n: table[n].to_numpy("U") for n in ("species", "split")}, a=np.array(values), b=table["b"])
    else:
        table.assign(a=values).to_parquet(path)
    with pytest.raises(BadData, match=message):
        load(path, Columns("species", split="split", features=("a", "b")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "cannot be read as csv .*mpty"),
        ("t.csv", b"species,a,a\nx,1,2\n", "has two columns called 'a'; rename one of them"),
        ("t.csv", b"species,a\nx,1\nx\n", "cannot be read as csv .*Expected 2 columns, got 1"),
        ("t.csv", b"species,a\n\xff\xfe,1\n", "cannot be read as csv .*invalid UTF8"),
        ("t.parquet", b"PAR1 no more", "cannot be read as parquet"),
        ("t.npz", b"PK no more", "cannot be read as npz"),
        ("t.xlsx", b"", r"is no table; give a \.csv, \.tsv, \.parquet, \.npz file"),
    ],
)
def test_files_that_are_no_tables_are_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / name, Columns("species"), val_fraction=0.2, test_fraction=0.2)
    assert "\n" not in str(caught.value)


def test_a_pipe_a_folder_and_nothing_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, what in (("pipe.csv", "a named pipe"), ("folder.csv", "a folder"), ("no.csv", "there is no file at")):
        with pytest.raises(UserError, match=what):
            load(tmp_path / name)


@pytest.mark.parametrize("suffix", FORMS)
def test_a_table_that_is_too_large_is_refused_before_it_fills_the_memory(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, frame(), suffix)
    monkeypatch.setattr(table_files, "MOST_VALUES", 119)
    with pytest.raises(BadData, match=r"has more than 119 values in 2 columns of numbers; leave out columns \(`feat"):
        load(path)


def test_an_npz_that_announces_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
    with pytest.raises(BadData, match="has more than 67,108,864 values"):
        load(tmp_path / "t.npz", Columns("a"), val_fraction=0.2, test_fraction=0.2)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({}, "say how to split the rows, by .* or by `split_column`; got neither"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "val=0.5, test=0.5"),
        (
            {"val_fraction": 0.49, "test_fraction": 0.5},
            r"10 different class names are too few to split by \(0.49, 0.5\)",
        ),
    ],
)
def test_impossible_splits_are_named(split: dict[str, float], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(write(tmp_path, frame()), Columns("species", features=("a",)), **split)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(FORMS),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=6)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 2**12),
)
def test_a_damaged_table_is_read_or_refused_in_one_line(
    suffix: str, edits: list[tuple[int, bytes]], cut: int | None, tmp_path: Path
) -> None:
    path = write(tmp_path, frame(), suffix)
    content = bytearray(path.read_bytes())
    for place, piece in edits:
        place %= len(content)
        content[place : place + len(piece)] = piece
    path.write_bytes(content if cut is None else content[: cut % len(content)])
    message = ""
    try:
        dataset = load(path)
    except UserError as error:
        message = str(error)
    else:
        assert all(np.isfinite(dataset.pools[split].rows).all() for split in SPLITS)
    assert "\n" not in message
    assert not list((tmp_path / "user-cache").rglob(".part-*"))
