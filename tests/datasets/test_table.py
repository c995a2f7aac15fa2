"""Tables of the user's own: what is read from each form, how it is split and standardized, and how it is cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.core.episodes import SPLITS, Shape, digest
from datasets.core.table_pools import TableDataset
from datasets.formats.table import Columns
from datasets.maintenance.verify import verify_own
from datasets.table import TableFile
from tests.datasets.tables import BY_CLASS, BY_TASK, CLASSES, FORMS, changed, frame, load, write

pytestmark = pytest.mark.usefixtures("user_cache")  # no test here touches the real user cache


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


def test_a_split_under_a_seed_is_the_same_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path, frame())
    choice = Columns("species", features=("a",))
    splits = []
    for seed in (0, 0, 1):
        dataset = load(path, choice, val_fraction=0.2, test_fraction=0.3, seed=seed)
        splits.append([[dataset.class_names[c][-1] for c in dataset.pools[s].class_ids] for s in SPLITS])
    assert splits[0] == splits[1] != splits[2]
    assert ["".join(names) for names in splits[0]] == ["04568", "23", "179"]


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
