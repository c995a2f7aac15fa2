"""The forecast of the time that cells will take, measured beside a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.forecast import Forecast
from bench.process.plugins import import_plugins
from tests.bench.helpers import Main, tiny


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
    main: Main, grid: Path, without_figures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(Forecast, "begin", lambda self, cells: begun.append([cell.id for cell in cells]))
    main("run", grid, "-q", "--algorithms", "maml")
    assert begun == []
    main("run", grid, "--jobs", "1")
    assert [[name.split("--")[0] for name in names] for names in begun] == [["finetune", "finetune"]]
