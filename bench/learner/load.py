"""A learner from an experiment's cell, or from an export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from algorithms.core.modes import Mode
from bench.learner.cells import choose_cell, read_trained
from bench.learner.estimators import FewShotClassifier, FewShotRegressor, learner_of
from bench.learner.export import is_export, read_export
from bench.process.plugins import import_plugins
from bench.store.store import Store
from datasets import UserError


def load_learner(
    path: Path | str,
    *,
    algorithm: str | None = None,
    dataset: str | None = None,
    shape: str | None = None,
    seed: int | None = None,
    cell: str | None = None,
    mode: Mode = "inductive",
    exact: bool = True,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
) -> FewShotClassifier | FewShotRegressor:
    """Return a few-shot learner with the meta-state that a cell has trained.

    Args:
        path: an experiment's folder, or an export's; see ``bench.learner.export.export_cell``.
        algorithm: of the cell; may be left out where the experiment has one alone. The same holds for ``dataset`` and
            ``shape``.
        dataset: of the cell.
        shape: of the cell, such as ``5-way 1-shot``.
        seed: of the cell; the lowest finished one by default.
        cell: its id, where the others do not tell it from cells of other settings.
        mode: how batch norm treats queries; see ``FewShotClassifier``.
        exact: whether to compute as the cell did, to the bit, for several times the work; see ``FewShotClassifier``.
        data_root: where the datasets lie; read for fitted preprocessing, or where the entry has no input shape.
        plugins: modules that register the cell's algorithm or dataset, or hold its network.

    Raises:
        UserError: there is no such cell or several, its files are damaged, or it needs a module that is not imported.
    """
    import_plugins(plugins)
    if is_export(path):
        trained = read_export(path)
        own = dict(zip(("algorithm", "dataset", "shape", "seed"), trained.identity, strict=True))
        given = {"algorithm": algorithm, "dataset": dataset, "shape": shape, "seed": seed}
        for name, value in given.items():
            if value not in (None, own[name]):
                raise UserError(f"got {value}, but {path} is an export of {trained.name}; leave it out", name)
        if cell is not None:
            raise UserError(f"{path} is an export, which is of one cell; leave it out", "cell")
    else:
        trained = read_trained(choose_cell(path, algorithm, dataset, shape, seed, cell), Store(path), data_root)
    return learner_of(trained, mode, exact)
