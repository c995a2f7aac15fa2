"""Stored cells that a failing disk has damaged: no table is wrong, and the next run replaces them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.analysis.leaderboard import leaderboard
from bench.execution.events import Event, Planned, Started
from bench.report.write import write_report
from bench.reproducibility.diff import differences
from bench.spec.cell import Cell
from bench.store.schema import RESULT_SCHEMA
from bench.store.store import Failure, Store, read_cell
from datasets import UserError
from tests.bench.helpers import Faults, tiny
from tests.bench.stats.stores import write
from tests.bench.store.store_writers import MEASURED, outcome

FIXTURES = Path(__file__).parent / "fixtures"
FILES = ("cell.json", "result.json", "episodes.parquet", "curve.parquet", "weights.safetensors", "log.txt")

MENDED = "`python -m bench run` sets it aside and runs it again"


@pytest.fixture
def cell() -> Cell:
    return tiny().cells()[0]


@pytest.fixture
def store(tmp_path: Path, cell: Cell) -> Store:
    """Holds one finished cell."""
    store = Store(tmp_path / "results")
    store.create()
    store.write_result(cell, outcome(0.25), MEASURED, log="a word")
    return store


def only_row(store: Store) -> dict[str, object]:
    (row,) = store.rows().to_dict("records")
    return row


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off_at_any_byte_is_noticed(store: Store, cell: Cell, name: str, faults: Faults) -> None:
    """As after a power cut on a disk that lied about what it had written."""
    place = store.cells / cell.id / name
    whole, good = place.read_bytes(), only_row(store)
    for length in [*range(0, len(whole) - 1, faults.stride(13)), len(whole) - 1]:
        with faults("stored file cut off at a byte"):
            place.write_bytes(whole[:length])
            damage = store.damage(cell)
            if name == "result.json" and length == len(whole) - 1:
                assert only_row(store) == good  # the line's end is all that is missing
            else:
                assert damage is not None
                assert damage.startswith(f"damaged: {name} ")
    place.write_bytes(whole[: len(whole) // 2])
    assert store.episodes().empty
    place.unlink()
    assert only_row(store)["status"] == "damaged"
    place.write_bytes(whole)
    assert only_row(store) == good


@pytest.mark.parametrize("name", [name for name in FILES if name != "result.json"])
def test_other_contents_of_the_same_size_are_noticed(store: Store, cell: Cell, name: str, faults: Faults) -> None:
    place = store.cells / cell.id / name
    whole = place.read_bytes()
    with faults("stored file with other contents"):
        place.write_bytes(bytes(len(whole)))
        assert only_row(store)["status"] == "damaged"
        middle = len(whole) // 2
        place.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        assert only_row(store)["status"] == "damaged"


@pytest.mark.parametrize("name", ["cell.json", "failure.json"])
def test_a_failure_cut_off_at_any_byte_is_noticed(store: Store, cell: Cell, name: str, faults: Faults) -> None:
    shutil.rmtree(store.cells / cell.id)
    store.write_failure(cell, Failure("oom", "MemoryError: much"))
    place = store.cells / cell.id / name
    whole = place.read_bytes()
    for length in range(len(whole) - 1):
        with faults("stored file cut off at a byte"):
            place.write_bytes(whole[:length])
            assert store.damage(cell) == f"damaged: {name} is not JSON; {MENDED}"


def test_what_is_known_of_a_damaged_cell_is_told(store: Store, cell: Cell) -> None:
    place = store.cells / cell.id
    (place / "curve.parquet").write_bytes(b"PAR1")
    row = only_row(store)
    assert (row["algorithm"], row["dataset"], row["shape"], row["seed"]) == ("maml", "sinusoid", "5-shot", 0)
    size = len(outcome_bytes(store, cell, "curve.parquet"))
    assert row["message"] == (f"damaged: curve.parquet has 4 bytes instead of {size}; {MENDED}")
    (place / "cell.json").write_text("{")
    row = only_row(store)
    assert (row["cell"], row["algorithm"], row["seed"]) == (cell.id, "?", -1)


def outcome_bytes(store: Store, cell: Cell, name: str) -> bytes:
    other = Store(store.root.parent / "other")
    other.create()
    other.write_result(cell, outcome(0.25), MEASURED)
    return (other.cells / cell.id / name).read_bytes()


@pytest.mark.parametrize("name", ["cell.json", "result.json", "episodes.parquet"])
def test_damaged_cells_are_left_out_of_the_tables_and_said(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "damaged", {"maml": 0.8, "reptile": 0.7}, seeds=range(3))
    place = next((folder / "cells").glob("maml--*seed1*")) / name
    place.write_bytes(place.read_bytes()[:-2])
    absent = write(tmp_path / "absent", {"maml": 0.8, "reptile": 0.7}, seeds=range(3), absent=[("maml", 1)])
    columns = ["algorithm", "seeds", "accuracy_transductive", "accuracy_transductive_low", "rank"]
    boards = [leaderboard(Store(where))[columns] for where in (folder, absent)]
    pd.testing.assert_frame_equal(*boards)
    written = write_report(folder)
    (line,) = [line for line in (written.folder / "leaderboard.md").read_text().splitlines() if "| damaged |" in line]
    assert f"damaged: {name} " in line
    assert "sets it aside and runs it again" in (written.folder / "index.html").read_text()


def test_a_store_with_nothing_but_a_damaged_cell_has_a_report(store: Store, cell: Cell) -> None:
    (store.cells / cell.id / "cell.json").write_text("{")
    assert "| damaged |" in (write_report(store.root).folder / "leaderboard.md").read_text()


@pytest.mark.parametrize("name", ["cell.json", "result.json", "episodes.parquet", "weights.safetensors"])
def test_a_run_sets_damaged_cells_aside_and_runs_them_again(tmp_path: Path, name: str, faults: Faults) -> None:
    grid = tiny(seeds=[0, 1])
    bench.run(grid, tmp_path / "undisturbed", jobs=1)
    bench.run(grid, tmp_path / "out", jobs=1)
    damaged, whole = grid.cells()
    place = tmp_path / "out/cells" / damaged.id / name
    with faults("damaged cell under a run"):
        place.write_bytes(place.read_bytes()[:-2])
        left = place.read_bytes()
        events: list[Event] = []
        bench.run(grid, tmp_path / "out", jobs=1, on_event=events.append)
        planned = events[0]
        assert isinstance(planned, Planned)
        assert planned.finished == (whole,)
        ((cell, why),) = planned.damaged
        assert cell == damaged
        assert why.startswith("damaged: ")
        assert [event.cell for event in events if isinstance(event, Started)] == [damaged]
        assert differences(tmp_path / "undisturbed", tmp_path / "out") == []
        (aside,) = (tmp_path / "out/cells/.damaged").iterdir()
        assert aside.name.startswith(damaged.id)
        assert (aside / name).read_bytes() == left


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_what_each_version_wrote_is_read(version: int) -> None:
    store = Store(FIXTURES / f"schema-{version}")
    rows = store.rows().set_index("algorithm")
    assert rows["status"].to_dict() == {"maml": "ok", "reptile": "timeout"}
    assert rows.loc["maml", "test_mse"] == 4.643059730529785
    assert rows.loc["maml", "schema_version"] == RESULT_SCHEMA
    assert rows["numerics"].notna().to_dict() == {"maml": version >= 4, "reptile": False}
    assert rows.loc["maml", "digest.test"].startswith("3302cb96230dd515")
    (reptile,) = (read_cell(folder) for folder in store.folders() if folder.name.startswith("reptile"))
    assert store.failure(reptile) == Failure("timeout", "over the time limit of 1.5 s", "", 2, 1.5, 300.0, "last words")
    assert len(store.episodes()) == 4 * 3
    experiment = store.experiment()
    assert [grid["algorithms"] for grid in experiment["grids"]] == [["maml", "reptile"]]
    assert len(experiment["commands"]) == (1 if version >= 3 else 0)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_what_each_version_finished_is_not_run_again(tmp_path: Path, version: int) -> None:
    shutil.copytree(FIXTURES / f"schema-{version}", tmp_path / "out")
    events: list[Event] = []
    results = bench.run(tiny(algorithms=["maml", "reptile"]), tmp_path / "out", on_event=events.append)
    assert [event.cell.algorithm for event in events if isinstance(event, Started)] == ["reptile"]
    planned = events[0]
    assert isinstance(planned, Planned)
    assert len(planned.other_numerics) == 1  # the first three do not say which, and the fourth names older ones
    assert set(results.cells["status"]) == {"ok"}
    assert len(results.leaderboard) == 2


@pytest.mark.parametrize("name", ["episodes.parquet", "curve.parquet", "weights.safetensors"])
def test_a_cut_off_file_of_the_first_version_is_noticed_too(tmp_path: Path, name: str) -> None:
    shutil.copytree(FIXTURES / "schema-1", tmp_path / "out")
    (place,) = (tmp_path / "out/cells").glob(f"*/{name}")
    whole = place.read_bytes()
    for length in range(0, len(whole), 7):
        place.write_bytes(whole[:length])
        assert "damaged" in set(Store(tmp_path / "out").rows()["status"])


@pytest.mark.parametrize("version", [0, -1, None, "1"])
def test_a_version_that_never_was_is_damage(store: Store, cell: Cell, version: object) -> None:
    place = store.cells / cell.id / "result.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"schema_version": version}))
    assert only_row(store)["status"] == "damaged"


def test_a_newer_failure_is_refused_in_words(tmp_path: Path, cell: Cell) -> None:
    store = Store(tmp_path / "out")
    store.create()
    store.write_failure(cell, Failure("oom", "much"))
    place = store.cells / cell.id / "failure.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"schema_version": 99}))
    assert only_row(store)["status"] == "newer"
    with pytest.raises(UserError, match=rf"{cell.id}: written by a newer version \(schema 99 of failure\.json"):
        bench.run(tiny(), store.root)


def test_a_newer_experiment_is_refused_in_words(store: Store) -> None:
    store.write_experiment({"schema_version": 99})
    with pytest.raises(UserError, match=r"experiment\.json: written by a newer version \(schema 99"):
        store.experiment()
    (store.root / "experiment.json").write_text("{")
    with pytest.raises(UserError, match=r"experiment\.json: "):
        store.experiment()
