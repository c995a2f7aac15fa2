"""Wrong outputs, errors and side effects of plug-in algorithms: each is a row that says what was expected."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import bench
from algorithms.testing.checks import check
from bench.execution.events import Event, Started
from bench.process.plugins import import_plugins
from bench.protocol.cell_run import run_cell
from bench.spec.grid import parse_grid
from bench.store.store import Failure, Store
from datasets import UserError, load
from datasets.core.printable import first_line_of, printable, text_of
from tests.bench.helpers import GLYPHS, SINUSOID, Main, content, one_cell, statuses, tiny, write_grid

FAILS = ["one-for-all", "one-task", "stops-early", "surrogate", "unspeakable"]


def test_every_strange_algorithm_is_one_row(
    strange: str, tmp_path: Path, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_plugins([strange])
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["maml", *FAILS, "wanders"])
    code, printed, _ = main("run", grid, "--import", strange, "--out", "here", "--jobs", "1")
    assert code == 0
    assert r"RuntimeError: x\ud800y" in printed
    rows = Store(tmp_path / "here").rows().set_index("algorithm")
    assert rows["status"].to_dict() == {"maml": "ok", "wanders": "ok", **dict.fromkeys(FAILS, "error")}
    messages = rows["message"].to_dict()
    assert (
        "transductive outputs after step 2 are (3, 1, 1), but must be (3, 2, 1): 3 episodes, 2 queries"
        in (messages["one-for-all"])
    )
    assert "its first dimension must be the 3 episodes" in messages["one-task"]
    assert "but must come after 2" in messages["stops-early"]
    assert messages["surrogate"] == r"RuntimeError: x\ud800y"
    assert messages["unspeakable"] == "Speechless: no message, because its __str__ raises ZeroDivisionError"
    assert main("leaderboard", "here")[0] == 0


@pytest.mark.parametrize("use", [SINUSOID, GLYPHS], ids=["regression", "classification"])
@pytest.mark.parametrize("name", ["one-for-all", "one-task", "stops-early"])
def test_wrong_outputs_are_named_where_they_are_evaluated(strange: str, use: dict[str, object], name: str) -> None:
    import_plugins([strange])
    cell = one_cell(algorithms=[name], datasets=[dict(use)])
    with pytest.raises(ValueError, match=r"but (must|its first dimension must)"):
        run_cell(cell, load(cell.dataset))


def test_the_check_of_an_algorithm_survives_them_too(strange: str) -> None:
    import_plugins([strange])
    for name in ("surrogate", "unspeakable"):
        messages = [finding.message for finding in check(name) if finding.passed is False]
        assert messages
        assert "\ud800" not in "".join(messages)


def test_a_plugin_does_not_change_the_working_directory(
    strange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    import_plugins([strange])
    assert Path.cwd() == tmp_path


def test_another_thread_may_change_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While ``bench.run`` is at work with a relative folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def wander(event: Event) -> None:
        if isinstance(event, Started):
            os.chdir(tmp_path / "elsewhere")

    found: list[bench.Results] = []
    grid = tiny(seeds=[0, 1])
    thread = threading.Thread(target=lambda: found.append(bench.run(grid, "here", jobs=1, on_event=wander)))
    thread.start()
    thread.join()
    (results,) = found
    assert results.path == tmp_path / "here"
    assert statuses(tmp_path / "here") == {"maml": "ok"}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(results.leaderboard) == 1


def test_messages_are_made_whatever_an_exception_does() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    assert text_of(Mute()) == "no message, because its __str__ raises SystemExit"
    assert first_line_of(ValueError("\n a\nb")) == "a"
    assert first_line_of(ValueError()) == "no message"
    assert printable("a\ud800é") == r"a\ud800é"


@pytest.mark.parametrize("where", ["name", "label", "dataset", "description", "algorithm", "field"])
def test_text_that_no_file_takes_is_refused_in_one_line(where: str, tmp_path: Path, main: Main) -> None:
    strange = '"\\ud800"'
    lines = {
        "name": f"name: {strange}",
        "label": f"evaluation: {{label: {strange}}}",
        "dataset": f"datasets: [{{name: {strange}, shots: [5]}}]",
        "description": f"description: {strange}",
        "algorithm": f"algorithms: [{strange}]",
        "field": f"{strange}: 1",
    }
    usual = {"algorithms": "algorithms: [maml]", "datasets": "datasets: [{name: sinusoid, shots: [5]}]"}
    kept = [line for name, line in usual.items() if not lines[where].startswith(name)]
    place = tmp_path / "mine.yaml"
    place.write_text("\n".join([*kept, "train: {episodes: 10}", lines[where]]), encoding="utf-8")
    code, _, error = main("run", place, "--dry-run")
    assert code == 2
    assert error.count("\n") == 1
    assert "mine.yaml: " in error
    error.encode("utf-8")


def test_names_longer_than_a_files_are_shortened(tmp_path: Path) -> None:
    long = "a" * 400
    cells = [one_cell(evaluation={"label": long + end, "val_episodes": 1, "test_episodes": 2}) for end in "xy"]
    store = Store(tmp_path / "out")
    store.create()
    for cell in cells:
        store.write_failure(cell, Failure("error", "no luck"))
        assert len(cell.id) == 255
        store.checkpoint(cell).parent.mkdir(exist_ok=True)
        store.checkpoint(cell).touch()
    assert cells[0].id != cells[1].id
    assert len(store.rows()) == 2
    store.set_aside(cells[0])
    assert len(store.rows()) == 1


def test_a_long_label_runs(tmp_path: Path, main: Main) -> None:
    grid = write_grid(tmp_path / "mine.yaml", evaluation={"label": "b" * 300, "val_episodes": 1, "test_episodes": 3})
    assert main("run", grid, "--out", "here", "--quiet")[0] == 0
    assert statuses(tmp_path / "here") == {"maml": "ok"}


def test_a_seed_beyond_all_generators_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match="seed"):
        parse_grid(content(seeds=[10**30]))
