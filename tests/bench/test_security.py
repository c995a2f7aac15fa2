"""Data that is read is never executed, names stay in their folder, and what is shown is escaped."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.write import write_report
from bench.spec.cell import Cell
from bench.spec.grid import load_grid
from bench.spec.tuned_file import tuned_name
from bench.store.checkpoint_file import CheckpointFile
from bench.store.store import Failure, Store, read_state
from datasets import UserError
from tests.bench.helpers import GLYPHS, ROOT, one_cell
from tests.bench.store.store_writers import MEASURED, outcome

EVIL = "<img src=x onerror=alert(1)>"
EXECUTING = {"eval", "exec", "compile", "__import__"}
EXECUTING_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
MAY = {"datasets/storage/restricted_pickle.py"}  # which finds nothing but arrays in plain containers


def renamed(algorithm: str, dataset: str, label: str) -> Cell:
    """A cell with names as no check would let through."""
    cell = one_cell(datasets=[dict(GLYPHS)])
    evaluation = cell.evaluation.model_copy(update={"label": label})
    folder = {"path": "nowhere", "channels": 1}
    changes = {"algorithm": algorithm, "dataset": dataset, "evaluation": evaluation, "folder": folder}
    return Cell.model_validate(cell.model_dump() | changes | {"evaluation": evaluation.model_dump()})


@given(
    names=st.tuples(*3 * [st.text(max_size=30) | st.sampled_from(["..", "/", "../../x", "~", "a\0b", ".", "con\n"])])
)
def test_no_name_leaves_the_experiments_folder(names: tuple[str, str, str]) -> None:
    cell, store = renamed(*names), Store("/results/here")
    for place, folder in (
        (store.cells / cell.id, "/results/here/cells"),
        (store.checkpoint(cell), "/results/here/cells/.checkpoints"),
        (store.cells / f"{tuned_name(*names)}.yaml", "/results/here/cells"),
    ):
        assert str(place.parent) == folder
        assert place.name not in ("", ".", "..")
        assert "\0" not in str(place)
        assert "/" not in place.name
    assert not cell.id.startswith(".")


def test_a_name_that_climbs_is_stored_inside(tmp_path: Path) -> None:
    store = Store(tmp_path / "a/b/results")
    store.create()
    cell = renamed("../../../x", "../..", "../../../y")
    store.write_failure(cell, Failure("error", "no luck"))
    assert [path.parent for path in tmp_path.rglob("failure.json")] == [store.cells / cell.id]
    assert store.rows()["cell"].tolist() == [cell.id]


class Payload:
    """An object whose pickle touches a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def test_programs_in_the_place_of_results_are_not_run(tmp_path: Path) -> None:
    store, cell, marker = Store(tmp_path / "out"), one_cell(), tmp_path / "executed"
    store.create()
    store.write_result(cell, outcome(), MEASURED)
    program = pickle.dumps(Payload(marker))
    folder = store.cells / cell.id
    store.checkpoint(cell).parent.mkdir()
    store.checkpoint(cell).write_bytes(program)
    assert CheckpointFile(store.checkpoint(cell), 0).read() is None
    (folder / "weights.safetensors").write_bytes(program)
    with pytest.raises(Exception, match="header"):
        read_state(folder)
    for name in ("episodes.parquet", "curve.parquet", "result.json", "cell.json"):
        (folder / name).write_bytes(program)
        assert store.rows()["status"].tolist() == ["damaged"]
        assert store.episodes().empty
    (store.root / "experiment.json").write_bytes(program)
    with pytest.raises(UserError, match=r"experiment\.json is not JSON"):
        store.experiment()
    assert not marker.exists()
    pickle.loads(program)
    assert marker.exists()  # it would have been seen


def test_programs_in_yaml_are_not_run(tmp_path: Path) -> None:
    grid = tmp_path / "evil.yaml"
    grid.write_text(f"algorithms: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'executed'}']\n")
    with pytest.raises(UserError, match="not readable as YAML"):
        load_grid(grid)
    assert not (tmp_path / "executed").exists()


def executed(text: str) -> Iterator[str]:
    """Yield the calls of a module that may execute what it reads."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in EXECUTING_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in EXECUTING_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in EXECUTING or called in ("torch.load", "yaml.unsafe_load", "yaml.full_load", "os.system"):
                yield called
            if any(
                word.arg in ("allow_pickle", "shell") and ast.unparse(word.value) != "False" for word in node.keywords
            ):
                yield called
            if called == "yaml.load" and [ast.unparse(argument) for argument in node.args[1:]] != ["_Loader"]:
                yield called


def test_nothing_here_executes_what_it_reads() -> None:
    files = [path for package in ("bench", "algorithms", "datasets") for path in sorted((ROOT / package).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): list(executed(path.read_text(encoding="utf-8"))) for path in files}
    assert len(files) > 100
    assert {name for name, calls in found.items() if calls} == MAY


@pytest.mark.parametrize(
    "text", ["import pickle", "torch.load(f)", "eval(x)", "np.load(f, allow_pickle=True)", "yaml.load(t, yaml.Loader)"]
)
def test_what_would_is_found(text: str) -> None:
    assert list(executed(text))


def test_names_and_messages_are_escaped_on_the_page(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    store.create()
    costs = dict.fromkeys(["train_seconds", "adapt_ms", "peak_mib", "peak_rise_mib", "tasks_per_second"], 1.0)
    evaluation = {"val_episodes": 3, "test_episodes": 4, "n_query": 2, "label": EVIL}
    cell = one_cell(evaluation=evaluation).model_copy(update={"algorithm": EVIL})
    store.write_result(cell, outcome(), {"summary": costs, "environment": {"packages": {EVIL: EVIL}}})
    store.write_failure(one_cell(seeds=[2]), Failure("error", EVIL, EVIL, log=EVIL))
    store.write_experiment({"grids": [{"name": EVIL, "description": EVIL}]})
    page = (write_report(store.root).folder / "index.html").read_text(encoding="utf-8")
    assert "&lt;img src=x" in page
    assert EVIL not in page
    assert "<img src=x" not in page
