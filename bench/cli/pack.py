"""``bench pack DIR``: put the cells of an experiment into one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.common import Import, below_here, counted, import_named


def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote; it is only read.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The archive, a file that ends in .zip.")],
    weights: Annotated[
        bool, typer.Option("--weights/--without-weights", help="Pack the trained weights too, or results alone.")
    ] = True,
    import_: Import = None,
) -> None:
    """Pack the cells of an experiment into an archive with their digests; the same cells give the same bytes."""
    from bench.share.archive import write_archive
    from bench.store.atomic import absolute

    import_named(import_)
    cells, digest = write_archive(folder, out, weights)
    text = f"{below_here(absolute(out))}: {counted(cells, 'cell')}, SHA-256 {digest}"
    Console().print(text, soft_wrap=True, highlight=False, markup=False)
