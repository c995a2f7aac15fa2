"""``bench report DIR``: write the tables and figures of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.report.write import write_report


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; default: DIR/report.")] = None,
) -> None:
    """Write leaderboard.md, leaderboard.csv, cells.csv and the figures."""
    for path in write_report(folder, out).files:
        Console().print(str(path), soft_wrap=True, highlight=False)
