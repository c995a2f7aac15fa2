"""``bench unpack FILE``: an archive of cells as an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli.common import Import, below_here, counted, import_named


def unpack_(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `bench pack` wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; a new or empty folder.")],
    import_: Import = None,
) -> None:
    """Check an archive as `validate` does, then write its cells as an experiment."""
    from bench.share.merge import unpack
    from bench.store.atomic import absolute

    import_named(import_)
    contents = unpack(archive, out)
    text = f"{below_here(absolute(out))}: {counted(len(contents.rows), 'cell')}"
    Console().print(text, soft_wrap=True, highlight=False, markup=False)
