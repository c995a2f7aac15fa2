"""``bench export DIR CELL``: write a trained learner as a folder that loads without its experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli import completion
from bench.cli.common import CacheDir, Import, below_here, comma_separated
from datasets import UserError


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    cell: Annotated[
        str,
        typer.Argument(
            metavar="CELL",
            help="The cell's id: the name of its folder in DIR/cells.",
            autocompletion=completion.cells,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write; a new or empty folder.")],
    data_root: Annotated[Path | None, typer.Option(help="Where the datasets lie; seldom needed.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
) -> None:
    """Export a trained learner: weights (safetensors), a description (JSON) and a model card (Markdown)."""
    from bench.learner.export import export_cell

    plugins = comma_separated(import_, "--import") or ()
    try:
        files = export_cell(folder, cell, out, data_root=data_root, plugins=plugins)
    except UserError as error:
        if error.field != "cell":
            raise
        raise UserError(error.message, "CELL") from None
    for path in files:
        Console().print(str(below_here(path)), soft_wrap=True, highlight=False, markup=False)
