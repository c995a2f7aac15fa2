"""``bench repro DIR``: run cells again from their stored specifications, and print what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import completion
from bench.cli.common import CacheDir, Import, comma_separated, counted, wide_console

if TYPE_CHECKING:
    from bench.reproducibility.rerun import Repetition


def repro(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote; it is only read.")],
    cells: Annotated[
        str | None,
        typer.Option(
            help="Only cells whose ids match, such as 'maml--*'; comma-separated.", autocompletion=completion.cells
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="Only this many of them, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of that draw.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Parallel jobs; default: one per processor.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Time limit of a cell in seconds.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the repeated cells in this folder; default: delete them.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress, only the result.")] = False,
) -> None:
    """Run finished cells again and compare: byte by byte in the same environment, else within tolerances.

    The exit code is 0 if all chosen cells agree, and 1 if one differs or cannot be repeated.
    """
    from bench.cli.progress import watcher
    from bench.process.resources import available_cpus
    from bench.reproducibility.rerun import repro as repeat

    console = wide_console()
    workers = jobs or available_cpus()
    with watcher(console, workers, quiet) as on_event:
        repetition = repeat(
            folder,
            cells=comma_separated(cells, "--cells") or (),
            sample=sample,
            seed=seed,
            out=out,
            jobs=workers,
            timeout=timeout,
            data_root=data_root,
            plugins=comma_separated(import_, "--import") or (),
            on_event=on_event,
        )
    for line in lines(repetition):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if not repetition.agrees:
        raise typer.Exit(1)


def lines(repetition: Repetition) -> Iterator[str]:
    """Yield the lines of every cell, then those of all cells together."""
    for cell in repetition.cells:
        yield f"{cell.verdict:<12}  {cell.cell}"
        yield from (f"    {line}" for line in cell.differences)
        yield from (f"    {line}" for line in cell.values if cell.verdict == "close")
        if cell.first and cell.first not in "".join(cell.differences):
            yield f"    first differing episode: {cell.first}"
    for line, count in Counter(
        line for cell in repetition.cells for line in (*cell.environment, cell.code) if line
    ).items():
        yield f"stored and now ({counted(count, 'cell')}): {line}"
    verdicts = Counter(cell.verdict for cell in repetition.cells)
    if verdicts["close"]:
        yield _tolerances()
    counts = ", ".join(f"{verdicts[name]} {name}" for name in ("close", "differs", "not repeated") if verdicts[name])
    text = f"{verdicts['same']} the same byte by byte{f', {counts}' if counts else ''}"
    yield f"{counted(len(repetition.cells), 'cell')}: {text}"


def _tolerances() -> str:
    from bench.reproducibility.diff import ACCURACY_TOLERANCE, MSE_TOLERANCE

    return (
        "close: in another environment, digests, episodes and counts are the same, and means over the test episodes "
        f"are within {100 * ACCURACY_TOLERANCE:g} points of accuracy or {100 * MSE_TOLERANCE:g}% of the squared error"
    )
