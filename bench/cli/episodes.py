"""``bench episodes DATASET SHAPE``: write test episodes to a file for another framework."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli import completion
from bench.cli.common import CacheDir, Import, Set, import_named, with_values
from datasets import UserError


def episodes(
    dataset: Annotated[str, typer.Argument(help="Of the grid.", autocompletion=completion.dataset)],
    shape: Annotated[str, typer.Argument(help="Such as '5-way 1-shot', or 10-shot for regression.")],
    out: Annotated[Path, typer.Option(help="The file, which ends in .npz.")],
    grid: Annotated[
        str, typer.Option(help="Whose test episodes; a name or a YAML file.", autocompletion=completion.grids)
    ] = "grid",
    results: Annotated[Path | None, typer.Option(help="Those of an experiment's finished cells instead.")] = None,
    set_: Set = None,
    arrays: Annotated[
        bool | None,
        typer.Option("--arrays/--ids", help="Write the inputs, or ids alone; default: ids for images alone."),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
) -> None:
    """Write the test episodes of a dataset and shape to a file, for predictions of any framework."""
    from bench.external.api import export_episodes
    from bench.spec.grid import load_grid
    from bench.spec.variations import changed

    plugins = import_named(import_)
    if results is not None and set_:
        raise UserError(f"--set: the episodes of {results} are those of its finished cells; leave it out")
    written = export_episodes(
        dataset,
        shape,
        out,
        grid=with_values(set_, partial(changed, load_grid(grid))) if results is None else grid,
        results=results,
        arrays=arrays,
        data_root=data_root,
        plugins=plugins,
    )
    console = Console()
    shapes = ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in written.arrays.items())
    for line in (
        f"{out}: {written.episodes.evaluation.test_episodes} test episodes, digest {written.episodes.digest[:12]}",
        f"arrays: {shapes}",
        f"next: python -m bench score PREDICTIONS --episodes {out} --name NAME --source WHO --train-episodes N "
        "--out DIR ...",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
