"""The test episodes of a grid or an experiment, exported for another framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.external.episode_list import Written, write_episodes
from bench.process.plugins import import_plugins
from bench.spec.cell import Cell
from bench.spec.grid import Grid, load_grid, parse_grid
from bench.spec.variations import changed
from bench.store.store import Store
from datasets import UserError
from datasets.core.registry import among
from datasets.storage.reading import usable_data_root


def export_episodes(
    dataset: str,
    shape: str,
    out: Path | str,
    *,
    grid: Grid | Mapping[str, Any] | str | Path = "grid",
    results: Path | str | None = None,
    hparams: Mapping[str, Any] | None = None,
    arrays: bool | None = None,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
) -> Written:
    """Write the test episodes of a dataset and shape to a file that any framework can read.

    The episodes are those on which the cells of the grid or the experiment are tested, with the same digest.
    ``bench.score`` scores predictions on them.

    Args:
        dataset: name of a dataset of the grid or the experiment.
        shape: such as ``5-way 1-shot``, or ``10-shot`` for regression.
        out: the file, which ends in ``.npz``; see ``bench.external.episode_list.write_episodes`` for its arrays.
        grid: a grid, its name, a file, or a dictionary.
        results: an experiment's folder instead, whose finished cells say which episodes.
        hparams: values on top of the grid's, such as ``{"evaluation.test_episodes": 100}``.
        arrays: whether the inputs are in the file, or ids of classes and examples alone; by default of all but images.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further datasets.

    Raises:
        UserError: there is no such dataset or shape, the data is not there, or the file cannot be written.
    """
    import_plugins(plugins)
    if results is not None:
        if hparams:
            raise UserError("these are the episodes of finished cells, which nothing changes; leave it out", "hparams")
        list(Store(results).folders())  # that there are any
        where, cells = str(results), list(Store(results).finished_cells())
    else:
        chosen = parse_grid(dict(grid)) if isinstance(grid, Mapping) else grid
        chosen = changed(chosen if isinstance(chosen, Grid) else load_grid(chosen), hparams or {})
        where, cells = f"grid '{chosen.name}'", chosen.cells()
    return write_episodes(_cell_of(cells, dataset, shape, where), out, usable_data_root(data_root), arrays)


def _cell_of(cells: Sequence[Cell], dataset: str, shape: str, where: str) -> Cell:
    """Return the first cell on the dataset and shape; raises UserError where there is none."""
    for name, value, known in (
        ("dataset", dataset, dict.fromkeys(cell.dataset for cell in cells)),
        ("shape", shape, dict.fromkeys(cell.shape for cell in cells if cell.dataset == dataset)),
    ):
        if value not in known:
            of = f" of {dataset}" if name == "shape" else ""
            hint = among(value, list(known), "it has")
            other = "" if of else "; for another grid or experiment: `grid=` or `results=`"
            raise UserError(f"{where} has no {name} '{value}'{of}{hint}{other}")
    return next(cell for cell in cells if (cell.dataset, cell.shape) == (dataset, shape))
