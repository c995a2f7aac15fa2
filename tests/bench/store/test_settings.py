"""Settings of an experiment: cells that differ in more than the seed are rows of their own, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.analysis.experiments import gather
from bench.analysis.leaderboard import leaderboard
from bench.report.provenance import commands
from bench.report.write import write_report
from bench.spec.grid import parse_grid
from bench.store.requested import union
from bench.store.settings import labels
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import SINUSOID, Main, content, one_cell, tiny, write_grid
from tests.bench.stats.stores import GLYPHS, write

FIVE: dict[str, Any] = {**GLYPHS, "network": {"channels": 5}}
SEED_1: dict[str, Any] = {"seeds": [1], "settings": [{"set": {"meta_batch": 4, "test_steps": 1}}]}


def changed(**changes: Any) -> list[dict[str, Any]]:
    """Settings of a tiny grid with these hyper-parameters."""
    return [{"set": {"meta_batch": 4, "test_steps": 2, **changes}}]


# what counts together


def test_seeds_under_other_settings_are_rows_of_their_own_with_ranks_of_their_own(out: Path) -> None:
    write(out, {"maml": 0.8, "reptile": 0.6})
    write(out, {"maml": 0.4}, datasets=[FIVE], seeds=[3, 4, 5])
    board = leaderboard(Store(out)).set_index("algorithm")
    four, five = "maml (network.channels=4)", "maml (network.channels=5)"
    assert list(board.index) == [four, "reptile", five]
    assert board["seeds"].to_dict() == {four: 3, "reptile": 3, five: 3}
    assert board.loc[four, "accuracy_transductive"] == pytest.approx(0.8, abs=0.03)
    assert board.loc[five, "accuracy_transductive"] == pytest.approx(0.4, abs=0.03)
    assert (board.loc[four, "rank"], board.loc[four, "p_rank_1"]) == (1, 1.0)
    page = (write_report(out).folder / "index.html").read_text()
    assert four in page
    assert five in page


def test_merged_folders_pool_no_settings_though_their_seeds_differ(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"maml": 0.8}, seeds=[0, 1], cost=None)
    other = write(tmp_path / "other", {"maml": 0.4}, datasets=[FIVE], seeds=[2, 3], cost=None)
    both = gather([one, other])
    assert both.board["seeds"].tolist() == [2, 2]
    assert both.board["algorithm"].tolist() == ["maml (network.channels=4)", "maml (network.channels=5)"]
    (one / "cells" / ".lock").unlink(missing_ok=True)
    shutil.copytree(other / "cells", one / "cells", dirs_exist_ok=True)
    assert leaderboard(Store(one)).equals(both.board)


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"settings": changed(inner_lr=0.5)}, "inner_lr=0.5"),
        ({"train": {"episodes": 20, "n_query": 2, "eval_every": 2}}, "train.episodes=20"),
        ({"datasets": [{**SINUSOID, "network": {"hidden": [9]}}]}, "network.hidden=[9]"),
        ({"evaluation": {"val_episodes": 9, "test_episodes": 4, "n_query": 2}}, "evaluation.val_episodes=9"),
    ],
)
def test_whatever_differs_is_the_label(changes: dict[str, Any], label: str) -> None:
    assert labels([one_cell().setting, one_cell(**changes).setting])[1] == label
    assert one_cell().setting == one_cell(seeds=[7]).setting


def test_engine_and_device_are_settings_too() -> None:
    (plain,), (loop,) = tiny().cells(), tiny().cells(engine="loop")
    assert labels([plain.setting, loop.setting]) == ["engine=usual", "engine=loop"]
    (other,) = tiny().cells(device="cuda")
    assert labels([plain.setting, other.setting]) == ["device=cpu", "device=cuda"]


def test_labels_that_read_the_same_are_told_apart() -> None:
    one, other = labels([{"hparams": {"a": 0.1}}, {"hparams": {"a": 0.1 + 1e-9}}])
    assert one != other
    assert one.startswith("a=0.1, ")


def test_many_differences_are_counted() -> None:
    names = [f"h{i}" for i in range(6)]
    one, other = labels([{"hparams": dict.fromkeys(names, value)} for value in (1, 2)])
    assert (one, other) == ("h0=1, h1=1, h2=1 and 3 more", "h0=2, h1=2, h2=2 and 3 more")


# what a result stands in for


def test_a_result_stands_in_for_a_failure_under_other_settings(out: Path) -> None:
    write(out, {"maml": 0.8, "reptile": 0.6}, failed={("maml", seed): "nan" for seed in range(3)}, datasets=[FIVE])
    write(out, {"maml": 0.8}, datasets=[GLYPHS], seeds=range(4))
    board = leaderboard(Store(out)).set_index("algorithm")
    assert board.loc["maml", ["seeds", "failed"]].tolist() == [4, 0]
    assert "accuracy_transductive_at_chance" not in board
    assert any(note.startswith("3 cells without a result do not count") for note in gather([out]).notes)
    assert len(bench.load(out)) == 10  # nothing is hidden there


def test_a_failure_without_a_result_of_its_seed_stays(out: Path) -> None:
    write(out, {"maml": 0.8}, failed={("maml", 1): "nan", ("maml", 2): "nan"})
    board = leaderboard(Store(out))
    assert board[["seeds", "failed"]].to_numpy().tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", ["timeout", "skipped", "error"])
@pytest.mark.parametrize("first", ["failed", "finished"])
def test_a_result_beats_a_failure_whichever_folder_it_lies_in(tmp_path: Path, kind: str, first: str) -> None:
    failed = write(tmp_path / "failed", {"maml": 0.8}, failed={("maml", 1): kind})
    finished = write(tmp_path / "finished", {"maml": 0.8})
    order = [failed, finished] if first == "failed" else [finished, failed]
    both = gather(order)
    assert both.board[["seeds", "failed"]].to_numpy().tolist() == [[3, 0]]
    assert both.board.equals(leaderboard(Store(finished)))
    assert len(both.folders) == 3


# what a run refuses


def test_the_library_refuses_other_settings_whatever_the_seed(out: Path) -> None:
    bench.run(tiny(), out)
    before = (out / "experiment.json").read_bytes()
    with pytest.raises(UserError, match=r"holds maml on sinusoid 5-shot with other .*test_steps=2 there, test_"):
        bench.run(tiny(**SEED_1), out)
    assert (out / "experiment.json").read_bytes() == before
    assert len(bench.load(out)) == 1
    bench.run(tiny(**SEED_1), out, other_settings="beside")
    assert set(bench.Results(out).leaderboard["algorithm"]) == {"maml (test_steps=1)", "maml (test_steps=2)"}


def test_the_command_refuses_them_too_also_in_a_dry_run(main: Main, tmp_path: Path) -> None:
    first, other = write_grid(tmp_path / "one.yaml"), write_grid(tmp_path / "two.yaml", **SEED_1)
    assert main("run", first, "-q", "--out", "x")[0] == 0
    for more in ((), ("--dry-run",)):
        code, out, err = main("run", other, "-q", "--out", "x", *more)
        assert (code, out) == (2, "")
        assert "with other settings than these (test_steps=2 there, test_steps=1 here); give another --out" in err
        assert err.count("\n") == 1
    code, _, err = main("run", first, "-q", "--out", "x", "--engine", "loop", "--seeds", "1")
    assert (code, "engine=usual there, engine=loop here" in err) == (2, True)


def test_mended_settings_finish_what_failed(main: Main, tmp_path: Path) -> None:
    store = Store(tmp_path / "x")
    store.create()
    for cell in tiny(seeds=[0, 1], settings=changed(inner_lr=9.0)).cells():
        store.write_failure(cell, Failure("nan", "Diverged"))
    code, out, _ = main("run", write_grid(tmp_path / "one.yaml", seeds=[0, 1]), "-q", "--out", "x")
    assert code == 0
    assert "Diverged" not in out
    assert "Without a result" not in out
    board = leaderboard(store)
    assert board[["algorithm", "seeds", "failed"]].to_numpy().tolist() == [["maml", 2, 0]]


# what was asked for


def asked(folder: Path) -> list[dict[str, Any]]:
    return list(Store(folder).experiment()["grids"])


def test_a_narrower_run_shortens_nothing(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["maml", "reptile"], seeds=[0, 1])
    store = Store(tmp_path / "x")
    whole = tiny(name="mine", algorithms=["maml", "reptile"], seeds=[0, 1]).model_dump(mode="json")
    store.create()
    store.write_experiment({"grids": [whole], "commands": []})
    assert main("run", grid, "-q", "--out", "x", "--algorithms", "maml", "--seeds", "0")[0] == 0
    assert asked(tmp_path / "x") == [whole]
    (said,) = store.experiment()["commands"]
    assert said["command"] == f"python -m bench run {grid} -q --out x --algorithms maml --seeds 0"
    assert said["cells"] == 1
    assert said["time"].endswith("+00:00")
    experiments = gather([tmp_path / "x"])
    assert experiments.never_run == (("sinusoid", "maml, reptile", 3),) or experiments.never_run[0][2] == 3
    assert commands(experiments) == ["python -m bench run mine.yaml --out results/x-again"]


def test_more_extends_what_was_asked_and_every_command_is_kept(out: Path) -> None:
    bench.run(tiny(), out)
    bench.run(tiny(seeds=[1]), out)
    bench.run(tiny(algorithms=["maml", "finetune"], seeds=[0, 1]), out)
    bench.run(tiny(datasets=[{**SINUSOID, "shots": [4]}]), out)
    (one, two) = asked(out)
    assert (one["algorithms"], one["seeds"]) == (["maml", "finetune"], [0, 1])
    assert two["datasets"][0]["shots"] == [4]
    assert [said["cells"] for said in Store(out).experiment()["commands"]] == [1, 1, 4, 1]
    names = ["grid.yaml", "grid-2.yaml"]
    assert commands(gather([out])) == [f"python -m bench run {name} --out results/results-again" for name in names]


def test_grids_join_only_where_no_cell_comes_with_it() -> None:
    one, other = (tiny(**SEED_1 | {"seeds": [s]}).model_dump(mode="json") for s in (0, 1))
    (joined,) = union([one], other)
    assert joined["seeds"] == [0, 1]
    wide = tiny(algorithms=["maml", "reptile"], seeds=[2]).model_dump(mode="json")
    assert union([one], wide) == [one, wide]
    parts = [tiny(datasets=[{**SINUSOID, "shots": [n]}]).model_dump(mode="json") for n in (4, 5)]
    (both,) = union([parts[0]], parts[1])
    assert {cell.n_shot for cell in parse_grid(both).cells()} == {4, 5}


def test_a_grid_that_cannot_be_read_here_is_kept(out: Path) -> None:
    store = Store(out)
    store.create()
    strange = content(name="theirs", algorithms=["somebodys"])
    store.write_experiment({"grids": [strange]})
    bench.run(tiny(), out)
    assert [grid["name"] for grid in asked(out)] == ["theirs", "grid"]


def test_what_an_older_version_asked_is_kept(out: Path) -> None:
    out.mkdir()
    old = tiny(algorithms=["maml", "finetune"]).model_dump(mode="json")
    (out / "experiment.json").write_text(json.dumps({"schema_version": 1, "grid": old}))
    bench.run(tiny(), out)
    assert asked(out) == [old]
    assert len(gather([out]).never_run) == 1


@pytest.mark.parametrize("text", ["{", '{"schema_version": 2, "grids": ["x"]}', '{"schema_version": 2, "grids": 5}'])
def test_a_damaged_experiment_is_left_as_it_is_and_said(out: Path, text: str) -> None:
    out.mkdir()
    (out / "experiment.json").write_text(text)
    with pytest.raises(UserError, match=r"experiment\.json: .*; move it away"):
        bench.run(tiny(), out)
    assert (out / "experiment.json").read_text() == text
