"""All studies of a grid with the same budget each, the files of what they selected, and re-runs on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import optuna
from optuna.trial import FrozenTrial, TrialState

from algorithms import ALGORITHMS
from algorithms.core.hyperparameters import Situation
from algorithms.networks.network import has_norm_weights
from bench.execution.availability import reasons_to_skip
from bench.execution.events import OnEvent
from bench.execution.run import RunOptions, run_grid
from bench.protocol.setup import EVALUATION_SEED, network_of, test_shape
from bench.spec.cell import Cell
from bench.spec.grid import Grid, Settings, parse_grid
from bench.spec.tuned_file import Search, Spent, Tuned, Validation, write_tuned
from bench.store.store import Store
from bench.tuning.ledger import STATUS, Ledger, read
from bench.tuning.spec import Budget, Method, Plan, tunable
from bench.tuning.storage import Place
from bench.tuning.study import OnStudyEvent, Opened, open_study, run_study
from bench.tuning.trial import TrialOptions
from datasets import UserError
from datasets.core.episodes import Dataset, Split, digest

DATABASE, TUNED, REPORTED = "tuning.db", "tuned", "reported"
DEFAULT, WINNER = "default", "tuned"
SPLITS: tuple[Split, ...] = ("train", "val")  # what a search may see


OnStart = Callable[[Sequence[tuple[Plan, int]]], None]
"""Told of all studies, each with the number of its trials that ended before."""


class NothingFound(UserError):
    """Raised when no trial of a study gave a value."""


@dataclass(frozen=True)
class PlannedStudies:
    """The studies of a search, and the reasons why cells of the grid have none, by algorithm and dataset."""

    plans: tuple[Plan, ...]
    left_out: tuple[str, ...]


def plans(grid: Grid, method: Method, seed: int, root: Path, device: str = "cpu") -> PlannedStudies:
    """A study for each algorithm, dataset and shape of the grid, all trials of which train under ``seed``.

    Raises:
        UserError: nothing can be tuned, or the grid does not fit the data.
    """
    one_seed = parse_grid(grid.model_dump() | {"seeds": (seed,)}, f"grid '{grid.name}'")
    cells = one_seed.cells(device)
    left_out = [f"{cell.algorithm}: no hyper-parameters to tune" for cell in cells if not tunable(cell.algorithm)]
    wanted = [cell for cell in cells if tunable(cell.algorithm)]
    if not wanted:
        names = ", ".join(dict.fromkeys(cell.algorithm for cell in cells))
        raise UserError(f"{names} has no hyper-parameters to tune; `python -m bench list` shows other algorithms")
    missing = reasons_to_skip(wanted, root, SPLITS)
    left_out += [f"{cell.algorithm} on {cell.dataset}: {missing[cell.id]}" for cell in wanted if cell.id in missing]
    there = [cell for cell in wanted if cell.id not in missing]
    if not there:
        raise UserError(f"nothing to tune: {left_out[-1]}")
    entries = {(cell.dataset, cell.text): cell.entry for cell in there}
    datasets = {which: entry.load(root) for which, entry in entries.items()}
    studies = []
    for cell in there:
        dataset = datasets[cell.dataset, cell.text]
        stream = dataset.stream("val", test_shape(cell), EVALUATION_SEED)
        validation = digest(stream, cell.evaluation.val_episodes)
        plan = Plan(grid.name, cell, method, validation, situation_of(cell, dataset))
        try:
            _ = plan.space
            studies.append(plan)
        except UserError:  # none of its hyper-parameters has an effect here
            left_out.append(f"{plan.title}: no hyper-parameters to tune there")
    if not studies:
        raise UserError(f"nothing to tune: {left_out[-1]}")
    return PlannedStudies(tuple(studies), tuple(dict.fromkeys(left_out)))


def situation_of(cell: Cell, dataset: Dataset) -> Situation:
    """Return what the cell's hyper-parameters may need: of its dataset, its network and its algorithm."""
    network = network_of(cell, dataset, cell.n_way)
    n_classes = 1 if dataset.kind == "control" else dataset.examples(cell.seed).batch(0, 1).n_classes
    return Situation(dataset.kind, has_norm_weights(network), ALGORITHMS[cell.algorithm].factory.trains, n_classes)


def search(
    studies: Sequence[Plan],
    budget: Budget,
    place: Place,
    out: Path,
    options: TrialOptions,
    jobs: int,
    on_event: OnStudyEvent,
    on_result: Callable[[Plan, Path | UserError], None],
    on_start: OnStart = lambda studies: None,
) -> list[Opened]:
    """Run the studies one after the other, and write what each selected to ``out/tuned``; those that found something.

    Raises:
        UserError: the storage does not work, a study of one of these names searches something else, or no study found
            anything.
    """
    ended = []
    for plan in studies:  # all are refused before any runs
        with open_study(plan, place) as opened, place.errors_explained():
            ended.append((plan, read(opened.study()).ended))
    on_start(ended)
    done = []
    for plan in studies:
        opened = run_study(plan, budget, place, options, jobs, on_event)
        with place.errors_explained():
            try:
                on_result(plan, write_tuned(out / TUNED, result(opened, place)))
                done.append(opened)
            except NothingFound as error:
                opened.close()
                on_result(plan, error)
    if not done:
        raise UserError("no study has a result: none of its trials gave a value")
    return done


def selected(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial with the best first objective, the earliest of equals; None where there is none."""
    return read(study).best(study.directions[0] == optuna.study.StudyDirection.MAXIMIZE)


def default_trial(opened: Opened) -> FrozenTrial | None:
    """The complete trial with the grid's own settings; None where it failed, or where a range excludes them."""
    plan = opened.plan
    complete = (slot for slot in read(opened.study()).slots if slot.state == TrialState.COMPLETE)
    return next((trial for trial in complete if plan.with_values(trial.params) == plan.cell), None)


def winner(opened: Opened) -> Cell | None:
    """The study's cell with the hyper-parameters that it selected; None where no trial gave a value."""
    best = selected(opened.study())
    return None if best is None else opened.plan.with_values(best.params)


def default_won(opened: Opened) -> bool:
    """Return whether the study selected the settings that the grid has anyway: nothing is to be trained again then."""
    return winner(opened) == opened.plan.cell


def result(opened: Opened, place: Place) -> Tuned:
    """Return what the study selected, and what it cost; raises NothingFound where no trial gave a value."""
    plan, study = opened.plan, opened.study()
    ledger, best = read(study), selected(study)
    if best is None:
        kinds = sorted({str(trial.user_attrs.get(STATUS, "lost")) for trial in ledger.slots})
        message = f"all {ledger.ended} trials ended as {', '.join(kinds)}"
        raise NothingFound(f"{message}; see their messages in the storage, and narrow the ranges or raise `trials=`")
    cell, method = plan.cell, plan.method
    return Tuned(
        algorithm=cell.algorithm,
        dataset=cell.dataset,
        shape=plan.shape,
        network=cell.network,
        values=best.params,
        validation=Validation(
            metric=plan.metric,
            value=best.values[0],
            episodes=cell.evaluation.val_episodes,
            digest=plan.validation,
        ),
        search=Search(
            study=plan.study_name,
            storage=place.kind,
            settings=plan.digest,
            objective=method.objective,
            sampler=method.sampler,
            pruner=method.pruner,
            seed=cell.seed,
            trial=best.number,
        ),
        budget=spent(ledger),
    )


def spent(ledger: Ledger) -> Spent:
    """Return what the study cost so far."""
    return Spent(
        trials=ledger.ended,
        complete=ledger.count(TrialState.COMPLETE),
        pruned=ledger.count(TrialState.PRUNED),
        failed=ledger.count(TrialState.FAIL),
        repeated=len(ledger.repeated),
        episodes=ledger.episodes,
        seconds=round(ledger.seconds, 3),
    )


def reported(out: Path) -> list[Store]:
    """Return the experiments of ``rerun``; that of the winners does not exist where no study has one."""
    return [Store(out / REPORTED / name) for name in (DEFAULT, WINNER)]


def rerun(
    grid: Grid,
    done: Sequence[Opened],
    seeds: Sequence[int],
    out: Path,
    on_event: OnEvent,
    **options: Unpack[RunOptions],
) -> None:
    """Train and test the defaults and the winners of these studies on fresh seeds, as experiments in ``out/reported``.

    A winner that is the default is not trained twice.

    Raises:
        UserError: the search has seen one of the seeds.
    """
    all_plans = [opened.plan for opened in done]
    if seen := sorted({plan.cell.seed for plan in all_plans} & set(seeds)):
        raise UserError(f"{seen[0]} is the seed that the search selected on; give others", "report_seeds")
    winning_plans = [opened.plan for opened in done if not default_won(opened)]
    winners = (*grid.settings, Settings(tuned=str(out / TUNED)))
    for name, some, settings in ((DEFAULT, all_plans, grid.settings), (WINNER, winning_plans, winners)):
        if not some:
            continue
        content = grid.model_dump() | {
            "algorithms": tuple(dict.fromkeys(plan.cell.algorithm for plan in some)),
            "seeds": tuple(seeds),
            "datasets": tuple(_use(grid, plan) for plan in some),
            "settings": tuple(entry.model_dump() for entry in settings),
        }
        options["other_settings"] = "beside"  # a search that goes on may find other winners
        run_grid(parse_grid(content, f"grid '{grid.name}'"), out / REPORTED / name, on_event, **options)


def _use(grid: Grid, plan: Plan) -> dict[str, Any]:
    """The grid's entry for the study's dataset and shape, narrowed to its algorithm."""
    cell = plan.cell
    (use,) = (
        use
        for use in grid.datasets
        if use.name == cell.dataset
        and cell.n_way in use.all_ways
        and cell.n_shot in use.shots
        and (not use.algorithms or cell.algorithm in use.algorithms)
    )
    shape: dict[str, Any] = {"shots": (cell.n_shot,)}
    if cell.entry.kind == "classification":
        shape["ways"] = (cell.n_way,)
    return use.model_dump() | {"algorithms": (cell.algorithm,)} | shape
