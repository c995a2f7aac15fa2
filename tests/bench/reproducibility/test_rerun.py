"""Running stored cells again: equal results, differences and cells that cannot be repeated are reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench
from bench.execution.events import Event, Started
from bench.process.plugins import import_plugins
from bench.process.same_environment import code_difference, environment_differences
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import Main, describe_anew, one_cell, tiny
from tests.bench.store.store_writers import MEASURED, outcome

MAML, FOMAML = (cell.id for cell in tiny(algorithms=["maml", "fomaml"]).cells())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two cells that were really run."""
    return bench.run(tiny(algorithms=["maml", "fomaml"]), tmp_path_factory.mktemp("original") / "results").path


@pytest.fixture
def stored(original: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "stored"))


def edit_json(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    place = folder / "result.json"
    result = json.loads(place.read_text())
    change(result)
    place.write_text(json.dumps(result))
    describe_anew(folder)


def scale_mse(folder: Path, factor: float) -> None:
    """Change the squared error of episode 2 after its first step, and the mean that the summary has, as a run would."""
    place = folder / "episodes.parquet"
    frame = pq.read_table(place).to_pandas()
    frame.loc[(frame["episode"] == 2) & (frame["step"] == 1), "mse"] *= factor
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), place)
    edit_json(folder, lambda result: result["summary"].update(test_mse=result["summary"]["test_mse"] * factor))


def other_torch(result: dict[str, Any]) -> None:
    result["environment"]["packages"]["torch"] = "1.0"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_run_again_here_is_the_same_byte_by_byte(original: Path) -> None:
    before = contents(original)
    found = bench.repro(original, jobs=2)
    assert found.agrees
    assert found.frame["cell"].tolist() == sorted([MAML, FOMAML])
    assert found.frame["verdict"].tolist() == ["same", "same"]
    assert not found.frame["environment"].map(len).any()
    assert contents(original) == before


def test_a_changed_number_is_found_with_its_episode(stored: Path) -> None:
    scale_mse(stored / "cells" / MAML, 1.0001)
    fomaml, maml = bench.repro(stored).cells
    assert (fomaml.verdict, maml.verdict) == ("same", "differs")
    assert any(line.startswith("summary test_mse: ") for line in maml.differences)
    assert "mse differs in 1 of 12 rows, first in episode 2, step 1: " in maml.first
    assert any(maml.first in line for line in maml.differences)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "same"), (1.05, "close"), (1.2, "differs"), (0.8, "differs")])
def test_in_another_environment_trained_numbers_may_differ_a_little(stored: Path, factor: float, verdict: str) -> None:
    if factor != 1.0:
        scale_mse(stored / "cells" / MAML, factor)
    edit_json(stored / "cells" / MAML, other_torch)
    (found,) = bench.repro(stored, cells=["maml--*"]).cells
    assert found.verdict == verdict
    assert found.agrees == (verdict != "differs")
    assert [line.split(" and ")[0] for line in found.environment] == ["torch: 1.0"]
    assert ("episode 2, step 1" in found.first) == (factor != 1.0)


@pytest.mark.parametrize("part", ["digests", "summary"])
def test_in_another_environment_data_and_counts_may_not_differ(stored: Path, part: str) -> None:
    edit_json(stored / "cells" / MAML, other_torch)
    name = {"digests": "test", "summary": "train_episodes"}[part]
    edit_json(stored / "cells" / MAML, lambda result: result[part].update({name: "0" if part == "digests" else 0}))
    (found,) = bench.repro(stored, cells=["maml--*"]).cells
    assert found.verdict == "differs"
    assert [line.split(": ")[0] for line in found.differences] == [f"{part} {name}"]


def test_another_commit_is_said_and_excuses_nothing(stored: Path) -> None:
    edit_json(stored / "cells" / MAML, lambda result: result["environment"].update(commit="0" * 40))
    scale_mse(stored / "cells" / MAML, 1.01)
    (found,) = bench.repro(stored, cells=["maml--*"]).cells
    assert found.verdict == "differs"
    assert found.code.startswith("code: 000000000000")


def test_a_part_of_the_cells_is_drawn_by_the_seed(stored: Path) -> None:
    drawn = [[one.cell for one in bench.repro(stored, sample=1, seed=seed).cells] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(names) for names in drawn] == [1, 1, 1]


def test_a_kept_repetition_is_continued(stored: Path, tmp_path: Path) -> None:
    bench.repro(stored, cells=["maml--*"], out=tmp_path / "again")
    events: list[Event] = []
    assert bench.repro(stored, out=tmp_path / "again", on_event=events.append).agrees
    assert [event.cell.algorithm for event in events if isinstance(event, Started)] == ["fomaml"]


def test_what_cannot_be_repeated_is_said_and_does_not_agree(out: Path, tmp_path: Path) -> None:
    store = Store(out)
    store.create()
    train = {"seconds": 2.0, "episodes": None, "n_query": 2, "eval_every": 2}
    seconds = one_cell(train=train)
    nowhere = one_cell(datasets=[{"name": "omniglot-small", "shots": [1]}])
    elsewhere = tiny().cells("cuda:77")[0]
    for cell in (seconds, nowhere, elsewhere):
        store.write_result(cell, outcome(kind=cell.entry.kind), MEASURED)
    repetition = bench.repro(out, data_root=tmp_path / "nothing")
    assert not repetition.agrees
    found = {one.cell: one for one in repetition.cells}
    assert {one.verdict for one in found.values()} == {"not repeated"}
    for cell, words in (
        (seconds, "its budget is 2 seconds"),
        (nowhere, "data not found: omniglot-small needs"),
        (elsewhere, "device: cannot use 'cuda:77'"),
    ):
        assert found[cell.id].differences[0].startswith(words)


def test_a_cell_that_fails_this_time_differs(tmp_path: Path, failing: str) -> None:
    import_plugins([failing])
    settings = [{"set": {"meta_batch": 4}}, {"algorithms": ["fails-once"], "set": {"flag": str(tmp_path / "flag")}}]
    (tmp_path / "flag").touch()
    bench.run(tiny(algorithms=["fails-once"], settings=settings), tmp_path / "out", plugins=[failing])
    (tmp_path / "flag").unlink()
    (found,) = bench.repro(tmp_path / "out", plugins=[failing]).cells
    assert (found.verdict, found.differences) == ("differs", ("ok and error (RuntimeError: the first time)",))


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "pattern": (
        {"cells": ["maml--*", "reptile--*"]},
        "cells: no finished cell matches 'reptile--.*named like fomaml",
    ),
    "sample": ({"sample": 0}, "sample: got 0"),
    "jobs": ({"jobs": -1}, "jobs: got -1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_the_users(original: Path, name: str) -> None:
    options, words = MISTAKES[name]
    with pytest.raises(UserError, match=words):
        bench.repro(original, **options)


def test_an_experiment_is_not_compared_with_itself(original: Path) -> None:
    with pytest.raises(UserError, match="is the experiment itself"):
        bench.repro(original, out=original)


def test_an_experiment_without_a_result_has_nothing_to_repeat(out: Path) -> None:
    Store(out).create()
    Store(out).write_failure(one_cell(), Failure("error", "no luck"))
    with pytest.raises(UserError, match="holds no finished cell"):
        bench.repro(out)


# the command


def test_the_command_ends_well_only_if_all_agree(main: Main, stored: Path) -> None:
    same = f"same          {MAML}\n1 cell: 1 the same byte by byte\n"
    assert main("repro", stored, "-q", "--cells", "maml--*") == (0, same, "")
    scale_mse(stored / "cells" / MAML, 1.05)
    code, printed, _ = main("repro", stored, "-q")
    told = printed.splitlines()
    assert code == 1
    assert told[:2] == [f"same          {FOMAML}", f"differs       {MAML}"]
    assert sum("episode 2, step 1" in line for line in told) == 1
    assert told[-1] == "2 cells: 1 the same byte by byte, 1 differs"


def test_the_command_prints_environments_and_tolerances(main: Main, stored: Path) -> None:
    for name in (MAML, FOMAML):
        scale_mse(stored / "cells" / name, 1.05)
        edit_json(stored / "cells" / name, other_torch)
    code, printed, _ = main("repro", stored, "-q")
    told = printed.splitlines()
    assert code == 0
    assert sum(line.startswith("stored and now (2 cells): torch: 1.0 and ") for line in told) == 1
    assert sum("first differing episode: " in line for line in told) == 2
    assert sum(line.startswith("    summary test_mse: ") for line in told) == 2
    assert any("within 2 points of accuracy or 10% of the squared error" in line for line in told)
    assert told[-1] == "2 cells: 0 the same byte by byte, 2 close"


def test_the_commands_mistakes_are_one_line(main: Main, tmp_path: Path) -> None:
    code, printed, err = main("repro", tmp_path / "nowhere", "-q")
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "does not exist" in err


# environments


def test_environments_differ_in_what_computes() -> None:
    one = {"packages": {"torch": "2.0", "matplotlib": "3"}, "threads": 1, "processor": "a", "gpus": [], "memory_mib": 1}
    assert environment_differences(one, one) == []
    changes: dict[str, tuple[dict[str, Any], list[str]]] = {
        "package": ({"packages": {"torch": "2.1"}}, ["torch: 2.0 and 2.1"]),
        "package that does not compute": ({"packages": {"torch": "2.0", "matplotlib": "4"}}, []),
        "package that one did without": ({"packages": {"torch": "2.0", "learn2learn": "1"}}, []),
        "threads": ({"threads": 2}, ["threads: 1 and 2"]),
        "processor": ({"processor": "b"}, ["processor: a and b"]),
        "memory": ({"memory_mib": 2}, []),
        "not taken down": ({"blas": {"torch": "mkl"}}, []),
        "variable": ({"variables": {"MKL_CBWR": "AVX2"}}, ["MKL_CBWR: None and AVX2"]),
        "variable that does not compute": ({"variables": {"PYTHONHASHSEED": "1"}}, []),
        "gpu": ({"gpus": ["a card"]}, []),
    }
    for name, (change, expected) in changes.items():
        assert environment_differences(one, one | change) == expected, name
    assert environment_differences(one, one | {"gpus": ["a card"]}, "cuda:0") == ["gpus: [] and ['a card']"]
    blas = [{"blas": {"torch": name, "numpy": "openblas"}} for name in ("mkl", "eigen")]
    assert environment_differences(*blas) == ["blas.torch: mkl and eigen"]


def test_the_code_is_named_with_its_changes() -> None:
    assert code_difference({"commit": "a" * 40}, {"commit": "a" * 40, "uncommitted": None}) == ""
    changed = {"commit": "a" * 40, "uncommitted": "b" * 64}
    assert code_difference({"commit": None}, changed) == "code: unknown and aaaaaaaaaaaa with changes bbbbbbbbbbbb"
