"""The command line: what it prints, what it returns, and that a user's mistake is one line."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench import api
from bench.cli.forecast import Forecast, kind_of
from bench.cli.progress import Board, Lines, Tally, duration, watcher
from bench.execution.events import (
    Abandoned,
    Elsewhere,
    EndedElsewhere,
    Event,
    Failed,
    Finished,
    Planned,
    Progressed,
    Started,
)
from bench.process.plugins import import_plugins
from bench.protocol.outcome import Progress
from bench.spec.grid import load_grid
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import (
    GLYPHS,
    SINUSOID,
    Main,
    command,
    environment,
    is_whole,
    statuses,
    tables,
    tiny,
    write_grid,
)
from tests.bench.stats.stores import write


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return write_grid(tmp_path / "mine.yaml", algorithms=["maml", "finetune"], datasets=[dict(SINUSOID), dict(GLYPHS)])


# run


def test_run_shows_progress_the_leaderboard_and_where_the_report_is(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, err = main("run", grid, "--jobs", "1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "4 cells, 0 finished before"
    ids = [cell.id for cell in load_grid(grid).cells()]
    for number, cell in enumerate(ids):
        assert f"[{number}/4] started {cell}" in lines
        (ended,) = [line for line in lines if line.startswith(f"[{number + 1}/4] ok {cell}: ")]
        assert (": mse " if "sinusoid" in cell else ": acc ") in ended
    assert "sinusoid 5-shot" in out
    assert "glyphs 3-way 1-shot" in out
    assert lines[-1] == "report: results/mine/report/index.html"
    assert (tmp_path / "results/mine/report/index.html").is_file()
    assert "\x1b" not in out
    assert tables(tmp_path / "results/mine").keys() == set(ids)


def test_quiet_shows_no_progress_but_the_leaderboard(main: Main, grid: Path) -> None:
    code, out, err = main("run", grid, "--quiet", "--out", "here")
    assert (code, err) == (0, "")
    assert "started" not in out
    assert "finished before" not in out
    assert "sinusoid 5-shot" in out
    assert "report: here/report/index.html" in out


def test_the_same_command_again_runs_nothing(main: Main, grid: Path) -> None:
    main("run", grid, "-q")
    code, out, _ = main("run", grid)
    assert code == 0
    assert out.startswith("4 cells, 4 finished before\n")
    assert "started" not in out


def test_other_settings_in_the_same_folder_are_refused_before_anything_runs(main: Main, tmp_path: Path) -> None:
    first = write_grid(tmp_path / "one.yaml", algorithms=["finetune"], datasets=[dict(SINUSOID)], seeds=[0])
    again = write_grid(tmp_path / "two.yaml", algorithms=["finetune"], datasets=[dict(SINUSOID)], seeds=[0, 1])
    changed = write_grid(
        tmp_path / "three.yaml",
        algorithms=["finetune"],
        datasets=[dict(SINUSOID)],
        seeds=[2, 0],
        settings=[{"set": {"head_lr": 0.5}}],
    )
    assert main("run", first, "-q", "--out", "here")[0] == 0
    assert main("run", again, "-q", "--out", "here")[0] == 0  # more seeds join
    before = sorted(path.name for path in (tmp_path / "here/cells").iterdir())
    code, out, err = main("run", changed, "-q", "--out", "here")
    assert (code, out) == (2, "")
    assert "here holds finetune on sinusoid 5-shot with other settings" in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "here/cells").iterdir()) == before


def test_options_narrow_the_grid(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, _ = main(
        *("run", grid, "--algorithms", "reptile, maml", "--datasets", "sinusoid", "--shots", "5", "--seeds", "3,1"),
        *("--jobs", "2", "--device", "cpu", "--timeout", "60", "--data-root", tmp_path, "--out", "x"),
    )
    assert code == 0
    rows = Store(tmp_path / "x").rows()
    assert set(zip(rows["algorithm"], rows["dataset"], rows["seed"], strict=True)) == {
        (algorithm, "sinusoid", seed) for algorithm in ("reptile", "maml") for seed in (1, 3)
    }
    assert set(rows["jobs"]) == {2}
    assert "4 cells" in out


def test_failed_cells_are_shown_and_the_others_make_the_exit_code(main: Main, tmp_path: Path, failing: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml")
    code, out, err = main("run", grid, "--import", failing, "--algorithms", "raises,maml")
    assert (code, err) == (0, "")
    assert "[1/2] error raises--sinusoid" in out
    assert "Without a result" in out
    assert "KeyError" in out.split("Without a result")[1]
    assert (tmp_path / "results/mine/report/leaderboard.md").read_text().count("KeyError") == 1


def test_failures_that_are_not_tried_again_are_counted_and_stay(main: Main, tmp_path: Path, failing: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["maml", "reptile"])
    assert main("run", grid, "--import", failing, "--algorithms", "raises,maml", "-q")[0] == 0
    code, out, err = main("run", grid, "--import", failing, "--algorithms", "raises,maml,reptile", "--retry", "none")
    assert (code, err) == (0, "")
    assert out.startswith("3 cells, 1 finished before, 1 failed before and not tried again\n[2/3] started reptile--")
    assert out.count("[3/3] ok reptile--") == 1
    assert "KeyError" in out.split("Without a result")[1]


def test_the_first_failure_ends_a_run_that_is_to_fail_fast(main: Main, tmp_path: Path, failing: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["maml", "reptile"])
    arguments = ("run", grid, "--import", failing, "--algorithms", "raises,maml", "--jobs", "1")
    code, out, err = main(*arguments, "--fail-fast")
    assert code == 1
    assert "started maml" not in out
    assert err.startswith("stopped at the first failure, raises--sinusoid-5-shot--seed0--")
    assert err.endswith("error: KeyError: 'a mistake in\\ntwo lines'; the same command continues\n")
    assert not (tmp_path / "results/mine/report").exists()
    code, out, err = main(*arguments, "--keep-going")
    assert (code, err) == (0, "")
    assert "[2/2] ok maml" in out


def test_a_run_without_any_result_has_exit_code_1(main: Main, tmp_path: Path, failing: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml")
    code, out, _ = main("run", grid, "--import", failing, "--algorithms", "raises")
    assert code == 1
    assert "Without a result" in out


def test_cells_without_data_are_skipped_visibly(main: Main, tmp_path: Path) -> None:
    uses = [dict(SINUSOID), {"name": "omniglot", "shots": [1]}]
    code, out, _ = main("run", write_grid(tmp_path / "mine.yaml", datasets=uses))
    assert code == 0
    assert "skipped maml--omniglot-5-way-1-shot--seed0" in out
    assert "skipped" in out.split("Without a result")[1]
    assert "python -m bench data fetch omniglot" in (tmp_path / "results/mine/report/leaderboard.md").read_text()


def test_a_dry_run_prints_the_cells_and_an_estimate_and_runs_nothing(main: Main, tmp_path: Path) -> None:
    uses = [dict(SINUSOID), {"name": "omniglot", "shots": [1]}]
    grid = write_grid(tmp_path / "mine.yaml", datasets=uses)
    code, out, err = main("run", grid, "--dry-run", "--jobs", "2")
    assert (code, err) == (0, "")
    assert not (tmp_path / "results").exists()
    sinusoid, omniglot = load_grid(grid).cells()
    assert f"{sinusoid.id}  about 0 s\n" in out
    assert f"{omniglot.id}  skipped: data not found\n" in out
    assert "python -m bench data fetch omniglot" in out
    assert "2 cells, 1 to run: about 0.0 minutes with 2 jobs" in out
    main("run", grid, "-q")
    assert f"{sinusoid.id}  finished\n" in main("run", grid, "--dry-run")[1]
    damaged = tmp_path / "results/mine/cells" / sinusoid.id / "curve.parquet"
    damaged.write_bytes(b"")
    assert f"{sinusoid.id}  about 0 s\n" in main("run", grid, "--dry-run")[1]
    assert damaged.is_file()
    Store(tmp_path / "results/mine").set_aside(sinusoid)
    Store(tmp_path / "results/mine").write_failure(sinusoid, Failure("timeout", "too slow"))
    assert f"{sinusoid.id}  timeout, not tried again\n" in main("run", grid, "--dry-run", "--retry", "oom")[1]
    assert f"{sinusoid.id}  about 0 s\n" in main("run", grid, "--dry-run", "--retry", "timeout")[1]


def test_a_dry_run_counts_what_is_finished_though_its_data_is_gone(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[{"name": "omniglot", "shots": [1]}])
    (cell,) = load_grid(grid).cells()
    write(tmp_path / "results/mine", {cell.algorithm: 0.5}, datasets=[{"name": "omniglot", "shots": [1]}], seeds=[0])
    out = main("run", grid, "--dry-run")[1]
    assert f"{cell.id}  finished\n" in out
    assert "skipped" not in out
    assert "fetch" not in out


def test_a_dry_run_for_a_cluster_does_not_judge_by_this_machine(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[dict(SINUSOID), {"name": "omniglot", "shots": [1]}])
    for more in ((), ("--device", "cuda:77")):
        code, out, err = main("run", grid, "--executor", "slurm", "--dry-run", *more)
        assert (code, err) == (0, "")
        assert "skipped" not in out
        assert "fetch" not in out
        assert out.count("to run on the cluster; it cannot be timed here") == (2 if more else 1)
        assert "2 cells, 2 to run: (measured on single steps just now" in out
    assert "with 3 jobs" in main("run", grid, "--executor", "slurm", "--dry-run", "--jobs", "3")[1]


def test_tables_keep_their_numbers_where_the_output_is_not_a_terminal(
    main: Main, grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    out = main("run", grid, "-q")[1]
    table = out.split("glyphs 3-way 1-shot")[1].split("Scores are means")[0]
    assert "…" not in table
    assert "transductive %" in table
    assert "finetune" in table


# mistakes

MISTAKES: dict[str, tuple[list[str], str]] = {
    "grid": (["run", "smok"], "did you mean 'smoke'?"),
    "grid file": (["run", "nowhere.yaml"], "no grid 'nowhere.yaml'"),
    "bad grid": (["run", "bad.yaml"], "bad.yaml: seeds.0: got 'x'"),
    "algorithm": (["run", "mine.yaml", "--algorithms", "mamal"], "did you mean 'maml'?"),
    "dataset": (["run", "mine.yaml", "--datasets", "omniglot"], "no dataset 'omniglot'; it has: sinusoid"),
    "shots": (["run", "mine.yaml", "--shots", "7"], "no cells with 7; it has: 5"),
    "shots in words": (["run", "mine.yaml", "--shots", "one"], "--shots: got 'one'"),
    "seed": (["run", "mine.yaml", "--seeds", "0,-1"], "--seeds: got '-1'; use whole numbers from 0"),
    "memory": (["run", "mine.yaml", "--memory", "much"], "--memory: got 'much'; use a number and a unit, such as 4GiB"),
    "tune's memory": (["tune", "mine.yaml", "--memory", "-1"], "--memory: got '-1'"),
    "retry": (["run", "mine.yaml", "--retry", "ooom"], "--retry: got 'ooom', did you mean 'oom'?"),
    "superscript": (["run", "mine.yaml", "--seeds", "²"], "--seeds: got '²'"),
    "no seeds": (["run", "mine.yaml", "--seeds", ","], "--seeds"),
    "no algorithms": (["run", "mine.yaml", "--algorithms", ""], "--algorithms"),
    "device": (["run", "mine.yaml", "--device", "quantum"], "--device: cannot use 'quantum'"),
    "dry device": (["run", "mine.yaml", "--device", "quantum", "--dry-run"], "--device: cannot use 'quantum'"),
    "out": (["run", "mine.yaml", "--out", "file"], "/file: File exists; choose another folder"),
    "data root": (["run", "mine.yaml", "--data-root", "file"], "--data-root: file is not a folder"),
    "dry data root": (["run", "mine.yaml", "--data-root", "file", "--dry-run"], "--data-root: file is not a folder"),
    "import": (["run", "mine.yaml", "--import", "nowhere.at_all"], "no module 'nowhere.at_all'"),
    "list's import": (["list", "--import", "nowhere"], "no module 'nowhere'"),
    "report": (["report", "nowhere"], "nowhere does not exist; give the folder"),
    "report on nothing": (["report", "empty"], "empty holds no finished"),
    "report's out": (["report", "done", "--out", "file"], "file"),
    "markup": (["run", "[bold]x[/bold]"], "no grid '[bold]x[/bold]'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(main: Main, tmp_path: Path, name: str) -> None:
    arguments, words = MISTAKES[name]
    write_grid(tmp_path / "mine.yaml")
    write_grid(tmp_path / "bad.yaml", seeds=["x"])
    (tmp_path / "file").touch()
    Store(tmp_path / "empty").create()
    Store(tmp_path / "done").create()
    Store(tmp_path / "done").write_failure(tiny().cells()[0], Failure("error", "no luck"))
    code, out, err = main(*arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert words in err
    assert not (tmp_path / "results").exists()


USAGES = {
    "verb": (["walk"], "'walk'; see: python -m bench --help"),
    "option": (["run", "mine.yaml", "--shotz", "1"], "--shotz"),
    "jobs": (["run", "--jobs", "0"], "'--jobs'"),
    "timeout": (["run", "--timeout", "-1"], "'--timeout'"),
    "number": (["run", "--timeout", "soon"], "invalid value for '--timeout'"),
    "checkpoints": (["run", "--checkpoint-every", "-5"], "'--checkpoint-every'"),
    "argument": (["report"], "missing argument"),
    "data": (["data", "fly"], "'fly'; see: python -m bench data --help"),
}


@pytest.mark.parametrize("name", USAGES)
def test_a_wrong_usage_is_one_line_and_exit_code_2(main: Main, name: str) -> None:
    arguments, words = USAGES[name]
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert words in err
    assert "--help" in err


def test_no_arguments_show_the_help(main: Main) -> None:
    code, out, err = main()
    assert code == 2
    assert "Usage: python -m bench" in out + err
    assert "leaderboard" in out + err


def test_help_names_every_verb_and_option(main: Main) -> None:
    code, out, _ = main("--help")
    assert code == 0
    assert all(verb in out for verb in ("run", "report", "list", "doctor"))
    out = main("run", "--help")[1]
    limits = ("timeout", "memory", "checkpoint-every", "retry", "fail-fast", "keep-going")
    for option in ("algorithms", "datasets", "shots", "seeds", "jobs", "device", *limits, "out", "dry-run", "quiet"):
        assert f"--{option}" in out


# the other verbs


def test_report_writes_the_tables_and_figures(main: Main, grid: Path, tmp_path: Path) -> None:
    main("run", grid, "-q")
    code, out, err = main("report", "results/mine", "--out", "elsewhere")
    assert (code, err) == (0, "")
    written = [Path(line) for line in out.splitlines()]
    assert {path.name for path in written} == {
        *("index.html", "cells.csv", *(f"leaderboard.{form}" for form in ("md", "csv", "parquet", "tex"))),
        *(
            f"{name}.{form}"
            for name in ("scores", "time", "memory", "steps", "training")
            for form in ("png", "svg", "pdf")
        ),
    }
    assert all((tmp_path / path).stat().st_size > 0 for path in written)
    assert all(path.parent == Path("elsewhere") for path in written)


def test_list_names_everything_with_its_paper(main: Main) -> None:
    code, out, err = main("list")
    assert (code, err) == (0, "")
    for name in ("maml", "fomaml", "reptile", "meta-sgd", "finetune", "sinusoid", "glyphs", "mini-imagenet", "smoke"):
        assert name in out
    assert "arXiv 1703.03400" in out


def test_list_shows_what_an_import_registers(main: Main, failing: str) -> None:
    assert "a test: hungry" in main("list", "--import", failing)[1]


def test_doctor_says_what_is_there_and_how_to_get_the_rest(main: Main, tmp_path: Path) -> None:
    code, out, err = main("doctor", "--data-root", tmp_path)
    assert (code, err) == (0, "")
    for name in ("python", "torch", "memory", "gpus", "threads", "data root", "data: glyphs", "data: omniglot"):
        assert name in out
    assert "python -m bench data fetch omniglot" in out
    assert f"{tmp_path}" in out
    assert "found, fingerprint" in out


def test_doctor_goes_on_where_data_is_damaged(main: Main, tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    for part in ("small1", "small2"):
        (tmp_path / "omniglot" / f"images_background_{part}.zip").write_text("no zip")
    code, out, err = main("doctor", "--data-root", tmp_path)
    assert (code, err) == (0, "")
    assert "images_background_small1.zip" in out
    assert "data: mini-imagenet" in out


# progress


def cells() -> list[Any]:
    return tiny(algorithms=["maml", "reptile"], datasets=[dict(SINUSOID), dict(GLYPHS)]).cells()


def test_plain_lines_do_not_tell_of_measurements() -> None:
    console = Console(file=io.StringIO(), width=60)
    lines = Lines(console, jobs=1)
    one, two, *_ = cells()
    lines.take(Planned(tuple(cells()), (two,)))
    lines.take(Started(one))
    lines.take(Progressed(one, Progress(10, 20, 0.5)))
    lines.take(Finished(one, 0.25, 3.0))
    lines.take(Failed(two, Failure("oom", "MemoryError: [much]")))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert out.splitlines() == [
        "4 cells, 1 finished before",
        f"[1/4] started {one.id}",
        f"[2/4] ok {one.id}: mse 0.250, 3.0 s, about 0:06 left",
        f"[2/4] oom {two.id}: MemoryError: [much]",
    ]


def test_plain_lines_tell_of_other_runs() -> None:
    console = Console(file=io.StringIO(), width=60)
    lines = Lines(console, jobs=1)
    one, two, three, four = cells()
    lines.take(Planned((one, two, three, four), (), ((four, Failure("oom", "much")),), ((one, "damaged: a file"),)))
    lines.take(Elsewhere(one, "node7, process 12"))
    lines.take(EndedElsewhere(one, None))
    lines.take(Elsewhere(two, "node7, process 12"))
    lines.take(EndedElsewhere(two, Failure("nan", "Diverged")))
    lines.take(Started(three))
    lines.take(Abandoned(three))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert out.splitlines() == [
        "4 cells, 0 finished before, 1 failed before and not tried again",
        f"set aside {one.id}: damaged: a file",
        f"[1/4] elsewhere {one.id}: another run is at work on it (node7, process 12)",
        f"[2/4] ok {one.id} (in another run)",
        f"[2/4] elsewhere {two.id}: another run is at work on it (node7, process 12)",
        f"[3/4] nan {two.id}: Diverged (in another run)",
        f"[3/4] started {three.id}",
        f"[3/4] given up {three.id}: another run took it over",
    ]


def test_the_board_shows_the_grid_the_running_cells_and_the_time_left() -> None:
    board = Board(jobs=2)
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    one, two, three, four = cells()
    console.print(board.render())
    board.take(Planned((one, two, three, four), ()))
    board.take(Started(one))
    board.take(Finished(one, 0.25, 30.0))
    board.take(Started(three))
    board.take(Progressed(three, Progress(5, 20, 0.612)))
    board.take(Elsewhere(two, "node7, process 12"))
    board.take(Failed(four, Failure("skipped", "no data")))
    console.print(board.render())
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(mark in out for mark in "✓–▸»")
    assert "acc 61.2%" in out
    assert "maml glyphs 3-way 1-shot seed 0" in out
    assert "2/4 cells" in out
    assert "about 0:" in out


def test_the_time_left_is_that_of_the_same_kind_of_cell_or_of_any(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("bench.cli.progress.time.monotonic", lambda: now)
    planned = tuple(tiny(algorithms=["maml", "reptile"], seeds=[0, 1, 2]).cells())
    maml, reptile = ([cell for cell in planned if cell.algorithm == name] for name in ("maml", "reptile"))
    tally = Tally(jobs=1)
    tally.take(Planned(planned, (maml[0],)))
    assert tally.time_left() is None
    tally.take(Started(maml[1]))
    tally.take(Finished(maml[1], 0.5, 30.0))
    assert tally.time_left() == 4 * 30.0  # one of its kind and three of another, of which nothing is known
    tally.take(Started(reptile[0]))
    tally.take(Finished(reptile[0], 0.5, 10.0))
    assert tally.time_left() == 30.0 + 2 * 10.0
    tally.take(Failed(reptile[1], Failure("skipped", "no data")))
    assert tally.time_left() == 30.0 + 10.0
    tally.take(Started(reptile[2]))
    tally.take(Started(maml[2]))
    now = 12.0
    assert tally.time_left() == 30.0 - 12.0  # two at once, and one is over its time already


def test_the_time_left_of_uneven_cells_is_that_of_the_forecast_scaled_by_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("bench.cli.progress.time.monotonic", lambda: now)
    planned = tuple(tiny(algorithms=["maml", "reptile"], seeds=[0, 1, 2]).cells())
    maml, reptile = ([cell for cell in planned if cell.algorithm == name] for name in ("maml", "reptile"))
    forecast = Forecast(Path())
    monkeypatch.setattr(forecast, "begin", lambda cells: None)
    forecast.going_on, forecast.seconds[kind_of(maml[0])] = True, 10.0
    tally = Tally(1, forecast)
    tally.take(Planned(planned, ()))
    tally.take(Started(maml[0]))
    tally.take(Finished(maml[0], 0.5, 20.0))
    assert tally.time_left() is None  # nothing is known of the dear ones yet
    forecast.going_on, forecast.seconds[kind_of(reptile[0])] = False, 1000.0
    assert tally.time_left() == 2 * 20.0 + 3 * 2000.0  # the machine is half as quick as was forecast
    for cell in maml[1:]:
        tally.take(Started(cell))
        tally.take(Finished(cell, 0.5, 20.0))
    tally.take(Started(reptile[0]))
    now = 300.0
    assert tally.time_left() == 1700.0 + 2 * 2000.0
    tally.take(Progressed(reptile[0], Progress(1, 10, None)))
    assert tally.time_left() == 9 * 300.0 + 2 * 2000.0  # it is slower than that


def test_many_jobs_do_not_shorten_the_longest_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.cli.progress.time.monotonic", lambda: 0.0)
    one, two = tiny(algorithms=["maml", "reptile"]).cells()
    forecast = Forecast(Path(), seconds={kind_of(one): 1.0, kind_of(two): 100.0})
    tally = Tally(4, forecast)
    tally.take(Planned((one, two), ()))
    assert tally.time_left() == 100.0


def test_the_forecast_measures_each_kind_and_survives_what_fails(failing: str) -> None:
    import_plugins([failing])
    kinds = ["maml", "raises", "exits", "finetune"]
    cells = tiny(algorithms=kinds, seeds=[0, 1]).cells()
    with Forecast(Path("/nowhere"), [failing]) as forecast:
        forecast.begin(cells)
        assert forecast._thread is not None
        forecast._thread.join()
        assert not forecast.going_on
    assert {algorithm for algorithm, _, _ in forecast.seconds} == {"maml", "finetune"}
    assert all(seconds > 0 for seconds in forecast.seconds.values())


def test_leaving_the_forecast_ends_what_it_measures(failing: str) -> None:
    import_plugins([failing])
    with Forecast(Path("/nowhere"), [failing]) as forecast:
        forecast.begin(tiny(algorithms=["sleeps", "maml"]).cells())
    assert not forecast.going_on
    assert forecast.seconds == {}


def test_a_run_of_more_cells_than_jobs_forecasts_those_that_are_left(
    main: Main, grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(Forecast, "begin", lambda self, cells: begun.append([cell.id for cell in cells]))
    main("run", grid, "-q", "--algorithms", "maml")
    assert begun == []
    main("run", grid, "--jobs", "1")
    assert [[name.split("--")[0] for name in names] for names in begun] == [["finetune", "finetune"]]


def test_the_board_counts_what_are_too_many_marks() -> None:
    board = Board(jobs=1)
    many = tuple(tiny(seeds=list(range(20))).cells())
    board.take(Planned(many, many[:12]))
    board.take(Failed(many[12], Failure("oom", "much")))
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(board.render())
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert "✓12 ·7 ✗1" in out


@pytest.mark.parametrize(
    ("terminal", "quiet", "shown"), [(True, False, True), (False, False, True), (True, True, False)]
)
def test_the_watcher_suits_the_output(terminal: bool, quiet: bool, shown: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    with watcher(console, 1, quiet) as tell:
        tell(Planned(tuple(cells()), ()))
        tell(Started(cells()[0]))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert bool(out) == shown
    assert ("started" in out) == (shown and not terminal)


def test_what_was_set_aside_stays_on_the_screen() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    one, *others = cells()
    with watcher(console, 1, quiet=False) as tell:
        tell(Planned((one, *others), (), damaged=((one, "damaged: curve.parquet is missing"),)))
        tell(Started(one))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"set aside {one.id}: damaged: curve.parquet is missing\n" in out


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (61, "1:01"), (3723, "1:02:03")])
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# interruptions of the whole run


def slow_grid(path: Path) -> Path:
    """Six cells of a bit less than half a second."""
    train = {"episodes": 60, "n_query": 2, "eval_every": 10}
    return write_grid(path, algorithms=["waits"], seeds=[0, 1, 2, 3, 4, 5], train=train)


@pytest.fixture
def undisturbed(tmp_path: Path, failing: str) -> dict[str, bytes]:
    """The tables of the slow grid, run in this process without interruption with one job."""
    import_plugins([failing])
    api.run(slow_grid(tmp_path / "slow.yaml"), tmp_path / "undisturbed", jobs=1, plugins=[failing])
    return tables(tmp_path / "undisturbed")


def start(folder: Path, jobs: str = "2", **changes: str) -> subprocess.Popen[str]:
    grid = slow_grid(folder / "slow.yaml")
    return subprocess.Popen(
        command("run", grid, "--import", "failing_algorithms", "--out", folder / "out", "--jobs", jobs),
        cwd=folder,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where the tests run in background
    )


def after_lines(process: subprocess.Popen[str], word: str, count: int) -> None:
    """Wait until the run has printed ``count`` lines with ``word``."""
    assert process.stdout is not None
    for line in process.stdout:
        count -= word in line
        if count == 0:
            return
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())


def test_a_killed_run_is_continued_with_the_same_results(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    process = start(tmp_path, PYTHONHASHSEED="3")
    after_lines(process, " ok ", 1)
    process.kill()
    process.communicate()
    _wait_until_gone(process.pid)
    before = tables(tmp_path / "out")
    assert 1 <= len(before) < 6
    assert is_whole(tmp_path / "out")
    second = start(tmp_path, PYTHONHASHSEED="4")
    out, err = second.communicate(timeout=120)
    assert (second.returncode, err) == (0, "")
    assert f"6 cells, {len(before)} finished before" in out
    assert tables(tmp_path / "out") == undisturbed
    assert is_whole(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/cells").glob(".tmp-*")] == []


def test_ctrl_c_leaves_a_store_that_the_same_command_continues(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """As a terminal does, the signal goes to the whole process group."""
    # what the standard library leaves open when it is interrupted is not ours to say
    process = start(tmp_path, jobs="1", PYTHONWARNINGS="ignore")
    after_lines(process, " ok ", 1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    expected = "interrupted; what is finished is kept, the same command continues\n"
    assert (process.returncode, err) == (130, expected)
    _wait_until_gone(process.pid)
    before = tables(tmp_path / "out")
    assert 1 <= len(before) < 6
    assert set(statuses(tmp_path / "out").values()) == {"ok"}
    assert is_whole(tmp_path / "out")
    api.run(tmp_path / "slow.yaml", tmp_path / "out", plugins=["failing_algorithms"])
    assert tables(tmp_path / "out") == undisturbed


def test_two_runs_into_one_store_at_once_end_with_one_whole_store(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    other = start(tmp_path, jobs="1")
    after_lines(other, " started ", 1)
    events: list[Event] = []
    api.run(tmp_path / "slow.yaml", tmp_path / "out", jobs=1, plugins=["failing_algorithms"], on_event=events.append)
    out, err = other.communicate(timeout=120)
    assert (other.returncode, err) == (0, "")
    mine = [event.cell.id for event in events if isinstance(event, Started)]
    theirs = 1 + out.count(" started ")
    assert len(mine) + theirs == 6  # no cell ran twice
    assert {type(event) for event in events} >= {Elsewhere, EndedElsewhere}
    assert all(f" ok {cell} (in another run)" in out for cell in mine)
    assert tables(tmp_path / "out") == undisturbed
    assert is_whole(tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out/report/leaderboard.csv")) == 1


def _wait_until_gone(group: int) -> None:
    """Until no process of the group is left; they end by themselves when their run is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("processes of an ended run are still at work")


def test_a_script_without_a_main_guard_can_call_run(tmp_path: Path) -> None:
    """Cells must not import the script that runs them: it would start the run again in each of them."""
    grid = write_grid(tmp_path / "mine.yaml")
    script = tmp_path / "script.py"
    script.write_text(f"import bench\nprint(bench.run({str(grid)!r}, 'out').cells['status'].tolist())\n")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("['ok']\n", "")
    assert done.returncode == 0


def test_user_errors_are_value_errors() -> None:
    assert issubclass(UserError, ValueError)
