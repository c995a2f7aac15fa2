"""Experiments read as one: merged, side by side, partial, and with cells of a newer version among them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import bench
from bench.analysis.experiments import gather
from bench.analysis.leaderboard import leaderboard
from bench.report.leaderboard import failure_table
from bench.report.summary import summary
from bench.report.write import write_report
from bench.store.schema import KNOWN
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import describe_anew, tiny
from tests.bench.stats.stores import GLYPHS, write


def test_two_halves_of_an_experiment_merge_into_the_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", {"maml": 0.8, "reptile": 0.6}, seeds=[0, 1, 2, 3])
    halves = [
        write(tmp_path / f"half{i}", {"maml": 0.8, "reptile": 0.6}, seeds=s) for i, s in enumerate(([0, 1], [2, 3]))
    ]
    merged = gather(halves)
    board = leaderboard(Store(whole))
    assert merged.board[board.columns].equals(board)
    assert merged.notes == ()


def test_cells_that_both_hold_count_once(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"maml": 0.8}, seeds=[0, 1, 2])
    shutil.copytree(one, tmp_path / "other")
    both = gather([one, tmp_path / "other"])
    assert both.board["seeds"].tolist() == [3]
    assert len(both.episodes) == len(Store(one).episodes())
    assert both.notes == ("3 cells are in more than one experiment and count once",)


def test_other_settings_stand_side_by_side(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", {"maml": 0.6, "reptile": 0.5}, cost=None)
    changed = tmp_path / "changed"
    slower = tiny(datasets=[dict(GLYPHS)], seeds=[0, 1, 2], settings=[{"set": {"meta_batch": 2, "test_steps": 2}}])
    made = write(tmp_path / "made", {"maml": 0.9})
    for cell, folder in zip(slower.cells(), sorted((made / "cells").glob("maml--*")), strict=True):
        place = changed / "cells" / cell.id
        shutil.copytree(folder, place)
        (place / "cell.json").write_text(cell.model_dump_json())
        describe_anew(place)
    both = gather([plain, changed])
    names = ["maml (meta_batch=2)", "maml (meta_batch=4)"]
    assert both.board["algorithm"].tolist() == [*names, "reptile"]
    assert both.board["accuracy_transductive"].is_monotonic_decreasing
    assert set(both.episodes["algorithm"]) == set(both.board["algorithm"])
    assert both.notes == (
        f"algorithms with several settings have a row for each: {names[1]} of plain; {names[0]} of changed",
    )
    shutil.copytree(changed / "cells", plain / "cells", dirs_exist_ok=True)
    columns = both.board.columns
    assert gather([plain]).board[columns].equals(both.board)


def test_experiments_on_different_episodes_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"maml": 0.8}, digests={"maml": "a"})
    other = write(tmp_path / "other", {"reptile": 0.8}, digests={"reptile": "b"})
    with pytest.raises(UserError, match="one and other tested glyphs 3-way 1-shot on different episodes"):
        gather([one, other])


def test_cells_that_were_asked_for_and_not_run_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", {"maml": 0.8, "reptile": 0.7}, absent=[("reptile", 1), ("reptile", 2), ("maml", 2)])
    grid = tiny(algorithms=["maml", "reptile"], datasets=[dict(GLYPHS)], seeds=[0, 1, 2])
    Store(folder).write_experiment({"grids": [grid.model_dump(mode="json")]})
    found = gather([folder])
    assert found.never_run == (("glyphs", "reptile, maml", 3),) or found.never_run == (("glyphs", "maml, reptile", 3),)
    assert "3 cells were not run" in summary(found)[0]
    page = (write_report(folder).folder / "index.html").read_text()
    assert "not finished yet; the same command continues" in page


def test_a_grid_with_an_algorithm_that_is_not_registered_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", {"maml": 0.8})
    content = tiny(datasets=[dict(GLYPHS)]).model_dump(mode="json") | {"algorithms": ["somebodys"]}
    Store(folder).write_experiment({"grids": [content]})
    (note,) = gather([folder]).notes
    assert note.startswith("cells that were not run cannot be counted: ")
    assert "somebodys" in note


@pytest.mark.parametrize("name", ["cell.json", "result.json"])
def test_cells_of_a_newer_version_are_set_aside_and_named(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "e", {"maml": 0.8, "reptile": 0.7})
    place = next((folder / "cells").glob("maml--*seed0*")) / name
    content = json.loads(place.read_text())
    place.write_text(json.dumps(content | {"schema_version": 99, "a new field": 1}))
    board = leaderboard(Store(folder))
    counts = {(row["shape"], row["algorithm"]): row["seeds"] for row in board.to_dict("records")}
    assert counts["3-way 1-shot", "maml"] == 2
    assert "accuracy_transductive_at_chance" not in board  # it says nothing about the algorithm
    (row,) = failure_table(Store(folder).rows()).rows
    status, count, dataset, whose, why = (cell.text for cell in row.cells)
    assert (status, count, dataset, whose) == ("newer", "1", "glyphs", "maml")
    assert why == (
        f"written by a newer version (schema 99 of {name}, this one reads {KNOWN[name]}); "
        "update the benchmark to read it"
    )
    page = (write_report(folder).folder / "index.html").read_text()
    assert "written by a newer version" in page


def test_failures_alone_make_a_page_that_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    for cell in tiny().cells():
        store.write_failure(cell, Failure("oom", "MemoryError: <b>much</b>"))
    page = (write_report(tmp_path).folder / "index.html").read_text()
    assert "No cell has a result." in page
    assert "MemoryError: &lt;b&gt;much&lt;/b&gt;" in page
    assert "<b>much" not in page


def test_the_api_and_the_report_show_the_same_board(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", {"maml": 0.8, "reptile": 0.7})
    assert bench.Results(folder).leaderboard.equals(gather([folder]).board)
