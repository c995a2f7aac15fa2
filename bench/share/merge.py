"""The cells of one experiment put into another, where they belong together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.analysis.scores import check_comparable
from bench.share.archive import SUFFIX, unpacked
from bench.share.contents import Contents, contents_of
from bench.spec.cell import Cell
from bench.store.cost_file import UnreadableCosts, read_costs, write_costs
from bench.store.integrity import read_regular
from bench.store.requested import absorb
from bench.store.settings import refuse_other_settings, together
from bench.store.store import FILES, Store, read_cell
from bench.store.tables import EPISODES
from datasets import UserError


@dataclass(frozen=True)
class Merged:
    """The outcome of a merge.

    Attributes:
        added: ids of the cells that were added.
        kept: ids of those that were there already, with the same results.
    """

    added: tuple[str, ...]
    kept: tuple[str, ...]


def unpack(archive: Path | str, out: Path | str) -> Contents:
    """Write the cells of an archive as an experiment in a new or empty folder, once all of them are checked.

    Raises:
        UserError: the archive cannot be read, something is wrong with it, or the folder holds something.
    """
    target = Store(out)
    if target.root.exists() and not target.root.is_dir():
        raise UserError(f"{out} is a file; give a new or empty folder", "out")
    if target.root.exists() and any(target.root.iterdir()):
        raise UserError(
            f"{out} is not empty; give another folder, or merge into it with `python -m bench merge`", "out"
        )
    with unpacked(archive) as source:
        contents = _whole(source)
        try:
            costs = read_costs(source)
        except UnreadableCosts as error:
            raise UserError(f"{archive}: cost.json is {error}") from None
        target.create()
        _place(source, target, _cells(source))
        if costs is not None:
            write_costs(target, costs)
    return contents


def merge(source: Path | str, into: Path | str) -> Merged:
    """Put the cells of an experiment or an archive into another experiment.

    Cells of one dataset and shape must have the same test episodes, and an algorithm one setting on them. Where both
    have a cell, its results must be the same; where only one of the two finished it, that result counts. Costs stay
    where they are: times of two machines do not compare.

    Args:
        source: an experiment's folder, or an archive.
        into: an experiment's folder; the only one that is written to.

    Raises:
        UserError: they do not belong together, or cannot be read.
    """
    target = Store(into)
    if not target.cells.is_dir():
        start = f"copy {source} there" if Path(source).is_dir() else f"`python -m bench unpack {source} --out {into}`"
        raise UserError(f"{into} holds no experiment to merge into; to start one from {source}: {start}")
    list(target.folders())  # that there are any
    with _opened(source) as origin:
        if origin.root.resolve() == target.root.resolve():
            raise UserError(f"{source} and {into} are the same folder; give two")
        _whole(origin)
        cells = _cells(origin)
        try:
            refuse_other_settings([cell for cell in cells if origin.has_result(cell)], target)
        except UserError as error:
            reason = error.message.split(";")[0]
            raise UserError(f"{reason}; keep the two apart, and see them side by side with `bench report`") from None
        both = [store.rows().assign(experiment=store.label) for store in (target, origin)]
        check_comparable(together(pd.concat(both, ignore_index=True)))
        kept = [cell for cell in cells if _is_there(cell, origin, target)]
        added = [cell for cell in cells if cell not in kept]
        _place(origin, target, added)
    return Merged(tuple(cell.id for cell in added), tuple(cell.id for cell in kept))


@contextmanager
def _opened(source: Path | str) -> Iterator[Store]:
    if str(source).endswith(SUFFIX) and not Path(source).is_dir():
        with unpacked(source) as store:
            yield store
    else:
        yield Store(source)


def _whole(store: Store) -> Contents:
    contents = contents_of(store)
    if contents.problems:
        more = f" (and {len(contents.problems) - 1} more)" if len(contents.problems) > 1 else ""
        raise UserError(f"{store.label} is not whole: {contents.problems[0]}{more}")
    return contents


def _cells(store: Store) -> list[Cell]:
    return [read_cell(folder) for folder in store.folders()]


def _is_there(cell: Cell, origin: Store, target: Store) -> bool:
    """Return whether the target keeps its own; raise UserError where both have results that differ."""
    if not (target.cells / cell.id).is_dir() or target.damage(cell):
        return False
    if not target.has_result(cell):
        return not origin.has_result(cell)
    if origin.has_result(cell):
        theirs, ours = (read_regular(store.cells / cell.id / EPISODES) for store in (origin, target))
        if theirs != ours:
            raise UserError(
                f"{origin.label} and {target.label} hold {cell.id} with different results; "
                "`python -m bench repro` tells which can be repeated"
            )
    return True


def _place(origin: Store, target: Store, cells: list[Cell]) -> None:
    for cell in cells:
        if target.damage(cell):
            target.set_aside(cell)
        folder = origin.cells / cell.id
        target.add_files(cell, {name: read_regular(folder / name) for name in FILES if (folder / name).exists()})
    absorb(target, origin.experiment())
