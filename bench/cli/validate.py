"""``bench validate FILE``: whether an archive of cells is whole, without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import Import, counted, import_named, wide_console

if TYPE_CHECKING:
    from bench.share.contents import Contents


def validate_(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that `bench pack` wrote.")],
    import_: Import = None,
) -> None:
    """Check an archive: digests, specifications, tables, weights, and that its cells compare. Nothing is run.

    The exit code is 0 if all is well, 1 if something is wrong with its cells, and 2 if it cannot be read.
    """
    from bench.share.contents import validate

    import_named(import_)
    contents = validate(archive)
    console = wide_console()
    for line in lines(contents):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if contents.problems:
        raise typer.Exit(1)


def lines(contents: Contents) -> Iterator[str]:
    """Yield what an archive holds, then what is wrong with it."""
    rows = contents.rows
    for (dataset, shape), cells in rows.groupby(["dataset", "shape"], sort=False):
        algorithms = ", ".join(dict.fromkeys(cells["algorithm"]))
        digests = cells["digest.test"].dropna() if "digest.test" in cells else ()
        episodes = ", ".join(dict.fromkeys(digest[:12] for digest in digests)) or "none"
        finished = int((cells["status"] == "ok").sum())
        how_many = f"{finished} of {counted(len(cells), 'cell')} finished"
        yield f"{dataset}, {shape}: {how_many} ({algorithms}); test episodes {episodes}"
    for environment, count in contents.environments:
        yield f"{counted(count, 'cell')} made with {environment}"
    yield from (f"note: {note}" for note in contents.notes)
    yield from (f"wrong: {problem}" for problem in contents.problems)
    verdict = f"{counted(len(contents.problems), 'problem')}" if contents.problems else "valid"
    yield f"{counted(len(rows), 'cell')}: {verdict}"
