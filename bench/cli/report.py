"""``bench report DIR``: write the page, the tables and the figures of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.common import CacheDir, Import, below_here, end_where_panels_failed, import_named


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default: DIR/report, with --compare DIR/report-beside-NAME.")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="Another experiment to show together with this one; may be repeated."),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the datasets, for pictures of episodes; default: $BENCH_DATA.")
    ] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
) -> None:
    """Write index.html (one page that opens from disk), the leaderboard as .md, .csv, .parquet, .tex, and figures."""
    from bench.report.write import write_report
    from datasets.storage.reading import usable_data_root

    import_named(import_)
    written = write_report(folder, out, beside=compare or (), data_root=usable_data_root(data_root))
    for path in written.files:
        Console().print(str(below_here(path)), soft_wrap=True, highlight=False)
    end_where_panels_failed(written.failed)
