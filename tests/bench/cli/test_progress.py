"""The progress of a run: lines, a table, and the time that is left."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.cli.forecast import Forecast, group_of
from bench.cli.progress import Board, Lines, Tally, duration, watcher
from bench.execution.events import (
    Abandoned,
    Elsewhere,
    EndedElsewhere,
    Failed,
    Finished,
    Planned,
    Progressed,
    Started,
)
from bench.protocol.outcome import Progress
from bench.store.store import Failure
from tests.bench.helpers import GLYPHS, SINUSOID, tiny


def cells() -> list[Any]:
    return tiny(algorithms=["maml", "reptile"], datasets=[dict(SINUSOID), dict(GLYPHS)]).cells()


def test_plain_lines_do_not_tell_of_measurements() -> None:
    console = Console(file=io.StringIO(), width=60)
    lines = Lines(console, jobs=1)
    one, two, *_ = cells()
    lines.handle(Planned(tuple(cells()), (two,)))
    lines.handle(Started(one))
    lines.handle(Progressed(one, Progress(10, 20, 0.5)))
    lines.handle(Finished(one, 0.25, 3.0))
    lines.handle(Failed(two, Failure("oom", "MemoryError: [much]")))
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
    lines.handle(Planned((one, two, three, four), (), ((four, Failure("oom", "much")),), ((one, "damaged: a file"),)))
    lines.handle(Elsewhere(one, "node7, process 12"))
    lines.handle(EndedElsewhere(one, None))
    lines.handle(Elsewhere(two, "node7, process 12"))
    lines.handle(EndedElsewhere(two, Failure("nan", "Diverged")))
    lines.handle(Started(three))
    lines.handle(Abandoned(three))
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert out.splitlines() == [
        "4 cells, 0 finished before, 1 failed before and not tried again",
        f"set aside {one.id}: damaged: a file",
        f"[1/4] elsewhere {one.id}: another run is running it (node7, process 12)",
        f"[2/4] ok {one.id} (in another run)",
        f"[2/4] elsewhere {two.id}: another run is running it (node7, process 12)",
        f"[3/4] nan {two.id}: Diverged (in another run)",
        f"[3/4] started {three.id}",
        f"[3/4] given up {three.id}: another run took it over",
    ]


def test_the_board_shows_the_grid_the_running_cells_and_the_time_left() -> None:
    board = Board(jobs=2)
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    one, two, three, four = cells()
    console.print(board.render())
    board.handle(Planned((one, two, three, four), ()))
    board.handle(Started(one))
    board.handle(Finished(one, 0.25, 30.0))
    board.handle(Started(three))
    board.handle(Progressed(three, Progress(5, 20, 0.612)))
    board.handle(Elsewhere(two, "node7, process 12"))
    board.handle(Failed(four, Failure("skipped", "no data")))
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
    tally.handle(Planned(planned, (maml[0],)))
    assert tally.time_left() is None
    tally.handle(Started(maml[1]))
    tally.handle(Finished(maml[1], 0.5, 30.0))
    assert tally.time_left() == 4 * 30.0  # one of its kind and three of another, of which nothing is known
    tally.handle(Started(reptile[0]))
    tally.handle(Finished(reptile[0], 0.5, 10.0))
    assert tally.time_left() == 30.0 + 2 * 10.0
    tally.handle(Failed(reptile[1], Failure("skipped", "no data")))
    assert tally.time_left() == 30.0 + 10.0
    tally.handle(Started(reptile[2]))
    tally.handle(Started(maml[2]))
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
    forecast.going_on, forecast.seconds[group_of(maml[0])] = True, 10.0
    tally = Tally(1, forecast)
    tally.handle(Planned(planned, ()))
    tally.handle(Started(maml[0]))
    tally.handle(Finished(maml[0], 0.5, 20.0))
    assert tally.time_left() is None  # nothing is known of the dear ones yet
    forecast.going_on, forecast.seconds[group_of(reptile[0])] = False, 1000.0
    assert tally.time_left() == 2 * 20.0 + 3 * 2000.0  # the machine is half as quick as was forecast
    for cell in maml[1:]:
        tally.handle(Started(cell))
        tally.handle(Finished(cell, 0.5, 20.0))
    tally.handle(Started(reptile[0]))
    now = 300.0
    assert tally.time_left() == 1700.0 + 2 * 2000.0
    tally.handle(Progressed(reptile[0], Progress(1, 10, None)))
    assert tally.time_left() == 9 * 300.0 + 2 * 2000.0  # it is slower than that


def test_a_cell_of_which_nothing_is_known_takes_as_long_as_others_on_its_dataset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mean of many quick cells that come first would say far too little."""
    monkeypatch.setattr(Forecast, "begin", lambda self, cells: None)
    planned = tuple(tiny(algorithms=["maml", "reptile"], datasets=[dict(SINUSOID), dict(GLYPHS)], seeds=[0]).cells())
    quick, slow = ([cell for cell in planned if cell.dataset == name] for name in ("sinusoid", "glyphs"))
    tally = Tally(1, Forecast(Path(), seconds={group_of(slow[0]): 60.0}))
    tally.handle(Planned(planned, tuple(slow[:1])))
    for cell in quick:
        tally.handle(Started(cell))
        tally.handle(Finished(cell, 0.5, 1.0))
    assert tally.time_left() == 60.0


def test_many_jobs_do_not_shorten_the_longest_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.cli.progress.time.monotonic", lambda: 0.0)
    one, two = tiny(algorithms=["maml", "reptile"]).cells()
    forecast = Forecast(Path(), seconds={group_of(one): 1.0, group_of(two): 100.0})
    tally = Tally(4, forecast)
    tally.handle(Planned((one, two), ()))
    assert tally.time_left() == 100.0


def test_the_board_counts_what_are_too_many_marks() -> None:
    board = Board(jobs=1)
    many = tuple(tiny(seeds=list(range(20))).cells())
    board.handle(Planned(many, many[:12]))
    board.handle(Failed(many[12], Failure("oom", "much")))
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
