"""A finished cell is hashed and parsed once in a process, and again once anything of it was touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import bench
from bench.report.write import write_report
from bench.store import records, verified
from bench.store.store import Store
from tests.bench.helpers import one_cell, tiny
from tests.bench.stats.stores import write
from tests.bench.store.store_writers import MEASURED, outcome


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that were verified, in order; those that were just written count as settled."""
    cells: list[str] = []
    described = records.read_described

    def counted(folder: Path, files: object) -> object:
        cells.append(folder.name)
        return described(folder, files)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "read_described", counted)
    monkeypatch.setattr(verified, "SETTLED_NS", 0)
    return cells


def test_a_resumed_run_and_its_report_verify_each_cell_once(out: Path, read: list[str]) -> None:
    write(out, {"maml": 0.6, "reptile": 0.5}, seeds=[0, 1])
    first = Store(out).rows()
    assert len(read) == 4
    read.clear()
    assert Store(out).rows().equals(first)
    assert len(Store(out).episodes()) > 0
    assert len(bench.Results(out).leaderboard) == 2
    write_report(out)
    assert read == []


def test_episodes_and_curves_are_the_same_whether_the_cell_was_verified_before_or_not(
    out: Path, read: list[str]
) -> None:
    write(out, {"maml": 0.6})
    tables = Store(out).episodes(), Store(out).curves()
    assert len(read) == len(set(read))
    assert tables[0].equals(Store(out).episodes())
    assert tables[1].equals(Store(out).curves())


def test_what_is_touched_is_verified_again(out: Path, read: list[str]) -> None:
    store, cell = Store(out), one_cell()
    store.create()
    store.write_result(cell, outcome(0.25), MEASURED)
    assert store.damage(cell) is None
    place = store.cells / cell.id / "curve.parquet"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert store.damage(cell) is not None
    assert store.episodes().empty
    place.write_bytes(whole)
    os.utime(place, (1, 1))
    assert store.damage(cell) is None
    assert len(read) >= 3


def test_a_cell_that_was_just_written_is_verified_each_time(
    out: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change within the same tick of the clock would not show."""
    monkeypatch.setattr(verified, "SETTLED_NS", 10**15)
    write(out, {"maml": 0.6}, seeds=[0])
    for _ in range(2):
        Store(out).rows()
    assert len(read) == 2


@pytest.mark.usefixtures("odd")
@pytest.mark.usefixtures("read")
def test_a_cell_whose_dataset_is_not_registered_any_more_is_unknown(out: Path) -> None:
    store, (cell,) = Store(out), tiny(datasets=[{"name": "lines", "shots": [5]}]).cells()
    store.create()
    store.write_result(cell, outcome(0.25), MEASURED)
    assert list(store.rows()["status"]) == ["ok"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(verified.DATASETS._entries, "lines")
        assert list(store.rows()["status"]) == ["unknown"]
