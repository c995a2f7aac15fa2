"""``bench report``."""

from __future__ import annotations

from pathlib import Path

from tests.bench.helpers import Main
from tests.bench.stats.stores import write


def test_report_writes_the_tables_and_figures(main: Main, tmp_path: Path) -> None:
    write(tmp_path / "results/mine", {"maml": 0.6, "reptile": 0.5})
    code, out, err = main("report", "results/mine", "--out", "elsewhere")
    assert (code, err) == (0, "")
    written = [Path(line) for line in out.splitlines()]
    assert {path.name for path in written} == {
        *("index.html", "cells.csv", *(f"leaderboard.{form}" for form in ("md", "csv", "parquet", "tex"))),
        *(f"{name}.{form}" for name in ("scores", "time", "memory", "steps") for form in ("png", "svg", "pdf")),
    }
    assert all((tmp_path / path).stat().st_size > 0 for path in written)
    assert all(path.parent == Path("elsewhere") for path in written)
