"""The finished cell of an experiment that a learner is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.learner.preprocessing import fitted_form, is_fitted
from bench.learner.trained import DataForm, Trained
from bench.spec.cell import Cell
from bench.store.records import WEIGHTS, read_record
from bench.store.store import Store, read_state
from datasets import UserError
from datasets.core.registry import MOST_LISTED, among
from datasets.storage.reading import usable_data_root


def read_trained(cell: Cell, store: Store, data_root: Path | str | None = None) -> Trained:
    """Return the meta-state of a finished cell of the store, verified and tried.

    Raises:
        UserError: its files are damaged, it needs what is not here, its table or texts have changed, or it is a policy.
    """
    if cell.entry.kind == "control":
        raise UserError(
            f"{cell.id} is a policy: it adapts by acting in an environment, not to labelled examples, so that it can "
            f"be neither fitted nor exported; its weights are in {store.label}/cells/{cell.id}/{WEIGHTS}"
        )
    if damage := store.damage(cell):
        raise UserError(f"{cell.id}: {damage}")
    entry = cell.entry
    folder = store.cells / cell.id
    dataset = entry.load(usable_data_root(data_root)) if is_fitted(cell) or entry.input_shape is None else None
    input_shape = entry.input_shape if dataset is None else dataset.input_shape
    assert input_shape is not None
    form = DataForm.of_entry(entry, input_shape, cell.text)
    if dataset is not None and is_fitted(cell):
        form = fitted_form(form, cell, dataset, read_record(folder).row.get("digest.dataset"))
    trained = Trained(cell, form, read_state(folder))
    trained.check()
    return trained


def choose_cell(
    path: Path | str,
    algorithm: str | None = None,
    dataset: str | None = None,
    shape: str | None = None,
    seed: int | None = None,
    cell: str | None = None,
) -> Cell:
    """Return the finished cell of an experiment that the arguments name; see ``load_learner``.

    Raises:
        UserError: there is none, or there are several.
    """
    store = Store(path)
    list(store.folders())  # that there are any
    finished = list(store.finished_cells())
    chosen = [one for one in finished if one.external is None]
    for one in finished:
        if one.external is not None and (one.id == cell or (cell is None and one.algorithm == algorithm)):
            raise UserError(f"{one.algorithm} is external ({one.external.source}): {path} has its predictions alone")
    if not chosen:
        raise UserError(f"{path} holds no finished cell; `python -m bench run` continues where it stopped")
    wanted = {"cell": cell, "algorithm": algorithm, "dataset": dataset, "shape": shape, "seed": seed}
    for name, value in wanted.items():
        if name == "cell" and value is None:
            continue
        own = [_value(one, name) for one in chosen]
        values = list(dict.fromkeys(own))
        if value is not None and value not in values:
            elsewhere = f"the folder {store.label}/cells" if name == "cell" else ""
            hint = among(str(value), [str(one) for one in values], "it has", elsewhere)
            raise UserError(f"{path} has no finished cell with {value}{hint}", name)
        if value is None and name == "seed":
            value = min(one.seed for one in chosen)
        elif value is None and len(values) > 1:
            raise UserError(f"{path} has several; choose one of: {_listed(values)}", name)
        chosen = [one for one, has in zip(chosen, own, strict=True) if value in (None, has)]
    if len(chosen) > 1:
        raise UserError(
            f"{path} has {len(chosen)} such cells, of several settings; choose one of: "
            f"{_listed([one.id for one in chosen])}",
            "cell",
        )
    return chosen[0]


def _value(cell: Cell, name: str) -> str | int:
    value: str | int = cell.id if name == "cell" else getattr(cell, name)
    return value


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:MOST_LISTED]))
    return f"{shown} and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else shown
