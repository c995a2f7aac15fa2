"""Tables of the user's own: what is read from each form, how it is split and standardized, and what is refused."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.randomness import choose_from_many, key_of
from datasets.core.registry import UserError
from datasets.core.table_pools import TableDataset
from datasets.formats import table_files
from datasets.formats.table import Columns
from datasets.maintenance.verify import verify_own
from datasets.storage.paths import BadData
from datasets.table import TableFile

CLASSES = [f"class{c:02}" for c in range(10)]
FORMS = (".csv", ".tsv", ".parquet", ".npz")


@pytest.fixture(autouse=True)
def _own_user_cache(user_cache: Path) -> None:
    """No test here touches the real user cache."""


def frame() -> pd.DataFrame:
    """Ten classes of six rows in mixed order: two features, one on a large offset, a target and a split."""
    rng = np.random.default_rng(0)
    species = rng.permutation(np.repeat(CLASSES, 6))
    split = ["test" if name < "class02" else "val" if name < "class04" else "train" for name in species]
    a, b = rng.normal(size=60), 1.6e9 + rng.integers(0, 100, 60)
    return pd.DataFrame({"species": species, "a": a, "b": b, "split": split, "dose": 3 * a + 1})


def write(folder: Path, table: pd.DataFrame, suffix: str = ".csv") -> Path:
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".npz":
        np.savez(
            path,
            **{name: table[name].to_numpy(dtype=None if table[name].dtype.kind in "if" else "U") for name in table},
        )
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


BY_CLASS = Columns("species", split="split", ignore=("dose",))
BY_TASK = Columns("species", "dose", "split")


def load(path: Path, choice: Columns = BY_CLASS, **split: float) -> TableDataset:
    dataset = TableFile("mine", path, choice, **split).load(path.parent / "root")  # type: ignore[arg-type]
    assert isinstance(dataset, TableDataset)
    return dataset


def test_the_same_rows_are_the_same_dataset_in_every_form(tmp_path: Path) -> None:
    found = [load(write(tmp_path, frame(), suffix)) for suffix in FORMS]
    assert len({dataset.fingerprint for dataset in found}) == 1
    shape = Shape(2, 1, 3)
    assert len({digest(dataset.stream("test", shape, 0), 10) for dataset in found}) == 1
    assert (found[0].name, found[0].kind, found[0].input_shape) == ("mine", "classification", (2,))
    assert found[0].class_names == tuple(CLASSES)


def test_an_array_of_many_columns_is_one_feature_of_an_npz(tmp_path: Path) -> None:
    table = frame()
    arrays = {"x": table[["a", "b"]].to_numpy(), "y": table["species"].to_numpy("U"), "odd": np.zeros((60, 3))}
    np.savez_compressed(tmp_path / "t.npz", **arrays)
    both = [
        Columns("y", features=("x",)),
        Columns("y", ignore=("odd",)),
        Columns("y", features=("x.0", "x.1")),
    ]
    pools = [load(tmp_path / "t.npz", choice, val_fraction=0.2, test_fraction=0.2).pools["val"] for choice in both]
    for pool in pools:
        np.testing.assert_array_equal(pool.rows, pools[0].rows)
    assert pools[0].rows.shape == (12, 2)


def test_columns_are_standardized_by_meta_train_alone(tmp_path: Path) -> None:
    table = frame()
    dataset = load(write(tmp_path, table), BY_TASK)
    columns = ["a", "b", "dose"]
    train = table[table["split"] == "train"][columns]
    for split in SPLITS:
        part = table[table["split"] == split].sort_values("species", kind="stable")
        expected = (part[columns] - train.mean()) / train.std(ddof=0)
        np.testing.assert_allclose(dataset.pools[split].rows, expected, rtol=2e-6, atol=1e-6)
    other = table.copy()
    other.loc[other["split"] == "test", "a"] *= 100
    changed = load(write(tmp_path, other), BY_TASK)
    np.testing.assert_array_equal(changed.pools["train"].rows, dataset.pools["train"].rows)


def test_episodes_of_classes_hold_the_rows_of_their_classes(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()))
    batch = dataset.stream("train", Shape(4, 2, 3), 0).batch(range(50))
    pool = dataset.pools["train"]
    for i in range(50):
        for way, number in enumerate(batch.class_ids[i]):
            place = list(pool.class_ids).index(number)
            own = {tuple(row) for row in pool.rows[pool.offsets[place] : pool.offsets[place + 1]].tolist()}
            rows = torch.cat([batch.support.x[i][batch.support.y[i] == way], batch.query_x[i][batch.query_y[i] == way]])
            drawn = {tuple(row) for row in rows.tolist()}
            assert len(drawn) == 5  # without replacement
            assert drawn <= own
    alone = dataset.stream("train", Shape(4, 2, 3), 0).batch([7])
    assert torch.equal(alone.support.x[0], batch.support.x[7])


def test_episodes_of_tasks_hold_one_task_each_and_its_targets(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()), BY_TASK)
    assert (dataset.kind, dataset.input_shape) == ("regression", (2,))
    batch = dataset.stream("test", Shape(1, 2, 4), 0).batch(range(40))
    assert batch.support.y.shape == (40, 2, 1)
    assert batch.query_x.shape == (40, 4, 2)
    assert set(batch.class_ids.flat) == {0, 1}
    rows = {tuple(row) for row in dataset.pools["test"].rows.tolist()}
    drawn = torch.cat(
        [torch.cat([batch.support.x, batch.support.y], 2), torch.cat([batch.query_x, batch.query_y], 2)], 1
    )
    for episode, number in zip(drawn.tolist(), batch.class_ids[:, 0], strict=True):
        start, end = dataset.pools["test"].offsets[number : number + 2]
        assert {tuple(row) for row in episode} == {tuple(row) for row in dataset.pools["test"].rows[start:end].tolist()}
        assert {tuple(row) for row in episode} <= rows


@pytest.mark.parametrize("choice", [BY_CLASS, BY_TASK])
def test_plain_batches_give_every_training_row_once_an_epoch(choice: Columns, tmp_path: Path) -> None:
    dataset = load(write(tmp_path, frame()), choice)
    examples = dataset.examples(0)
    whole, parts = examples.batch(0, 36), [examples.batch(0, 20), examples.batch(20, 16)]
    assert torch.equal(whole.x, torch.cat([part.x for part in parts]))
    assert sorted(whole.x.tolist()) == sorted(dataset.pools["train"].rows[:, :2].tolist())
    assert whole.n_classes == (6 if choice is BY_CLASS else 1)
    if choice is BY_TASK:
        np.testing.assert_allclose(whole.y[:, 0], whole.x[:, 0], atol=1e-5)  # the target is a line in the first feature


def test_a_split_under_a_seed_is_the_same_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path, frame())
    choice = Columns("species", features=("a",))
    splits = []
    for seed in (0, 0, 1):
        dataset = load(path, choice, val_fraction=0.2, test_fraction=0.3, seed=seed)
        splits.append([[dataset.class_names[c][-1] for c in dataset.pools[s].class_ids] for s in SPLITS])
    assert splits[0] == splits[1] != splits[2]
    assert ["".join(names) for names in splits[0]] == ["04568", "23", "179"]


def changed(change: Callable[[pd.DataFrame], object]) -> pd.DataFrame:
    table = frame()
    other = change(table)
    return other if isinstance(other, pd.DataFrame) else table


@pytest.mark.parametrize(
    ("change", "choice"),
    [
        (lambda t: t.__setitem__("a", 2 * t["a"]), BY_CLASS),  # the same standardized values
        (lambda t: t.__setitem__("a", t["a"].where(t.index != 5, 0.5)), BY_CLASS),
        (lambda t: t.rename(columns={"a": "c"}), BY_CLASS),
        (lambda t: t.__setitem__("species", t["species"].replace("class00", "other")), BY_CLASS),
        (lambda t: None, Columns("species", split="split", features=("a",))),
        (lambda t: None, Columns("species", split="split", features=("a", "b", "dose"))),
        (lambda t: None, Columns("species", "b", "split", features=("a",))),
    ],
)
def test_the_fingerprint_changes_with_contents_and_choice(
    change: Callable[[pd.DataFrame], object], choice: Columns, tmp_path: Path
) -> None:
    before = load(write(tmp_path, frame())).fingerprint
    assert load(write(tmp_path, changed(change)), choice).fingerprint != before


def test_columns_that_are_not_used_do_not_count(tmp_path: Path) -> None:
    before = load(write(tmp_path, frame())).fingerprint
    assert load(write(tmp_path, changed(lambda t: t.__setitem__("dose", "text")))).fingerprint == before


def put(column: str, row: int, value: object) -> Callable[[pd.DataFrame], object]:
    def change(table: pd.DataFrame) -> None:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value

    return change


@pytest.mark.parametrize(
    ("change", "choice", "message"),
    [
        (put("a", 4, np.nan), BY_CLASS, "column 'a' has missing values, the first in row 5; fill them in"),
        (put("species", 7, ""), BY_CLASS, "column 'species' is empty in row 8; fill it in"),
        (put("a", 2, "many"), BY_CLASS, "column 'a' has 'many' in row 3, which is no number; correct it, or"),
        (put("a", 2, "a\nb"), BY_CLASS, "column 'a' has 'a b' in row 3, which is no number"),
        (put("b", 1, "inf"), BY_CLASS, "column 'b' has an infinite value in row 2; correct it"),
        (put("b", 1, "1e31"), BY_CLASS, "column 'b' has 1e\\+31, over 1e\\+30, in row 2; correct it, give"),
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


@pytest.mark.parametrize(
    ("choice", "shape", "message"),
    [
        (BY_CLASS, Shape(3, 1, 1), "3-way episodes need 3 classes, but the test split of mine has 2"),
        (BY_CLASS, Shape(2, 3, 4), "3 shots and 4 queries need 7 rows per class, but class00 of the test .* has 6"),
        (BY_TASK, Shape(1, 3, 4), "3 shots and 4 queries need 7 rows per task, but class00 of the test .* has 6"),
        (BY_TASK, Shape(2, 1, 1), "one function each: n_way must be 1, got 2"),
    ],
)
def test_episodes_that_cannot_be_are_refused(choice: Columns, shape: Shape, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(write(tmp_path, frame()), choice).stream("test", shape, 0)


def test_the_cache_is_built_once_checked_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, frame())
    file = TableFile("mine", path, BY_CLASS)
    before = load(path)
    assert isinstance(before.pools["test"].rows, np.memmap)
    assert [check.finding for check in verify_own(file, tmp_path / "root")][-1] == "60 rows, as in the cache"
    array = next((tmp_path / "user-cache").rglob("table-*/test-*.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    assert not all(check.ok for check in verify_own(file, tmp_path / "root"))
    after = load(path)
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after.pools["test"].rows, frame_rows(before))
    monkeypatch.setattr("datasets.table.read_table", None)
    load(path)  # from the cache: nothing is read


def frame_rows(dataset: TableDataset) -> np.ndarray:
    """The test rows computed anew: the damaged cache was mapped by ``dataset``."""
    table = frame()
    train = table[table["split"] == "train"][["a", "b"]]
    part = table[table["split"] == "test"].sort_values("species", kind="stable")[["a", "b"]]
    return ((part - train.mean()) / train.std(ddof=0)).to_numpy(np.float32)


def test_large_classes_are_drawn_from_without_numbering_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = Shape(2, 1, 3)
    small = load(write(tmp_path, frame())).stream("test", shape, 0)
    before = small.identity(range(20))
    monkeypatch.setattr("datasets.core.table_pools.FEW", 5)
    after = small.identity(range(20))
    assert (before != after).any()
    assert all(len(set(row[2:])) == 4 for row in after.reshape(-1, 6).tolist())
    assert after[..., 2:].max() < 6


def test_rows_are_chosen_without_replacement_and_all_alike() -> None:
    keys = np.array([key_of("test", i) for i in range(4000)])
    drawn = choose_from_many(keys, 6, 3)
    assert all(len(set(row)) == 3 for row in drawn)
    for place in range(3):
        shares = np.bincount(drawn[:, place], minlength=6) / len(drawn)
        assert np.abs(shares - 1 / 6).max() < 0.03  # 5 standard deviations
    pairs = {(a, b) for a, b, _ in drawn.tolist()}
    assert len(pairs) == 30
    assert sorted(choose_from_many(keys[:1], 5, 5)[0]) == [0, 1, 2, 3, 4]
    assert choose_from_many(keys[:2], 2**31, 20).max() > 2**20
    with pytest.raises(ValueError, match="size=4, population=3"):
        choose_from_many(keys, 3, 4)


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
