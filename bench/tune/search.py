"""All studies of a grid, each with the same budget; what they selected as files; and the winners on fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from bench import api
from bench.events import OnEvent
from bench.protocol import EVALUATION_SEED, test_shape
from bench.spec import Grid, Settings, parse_grid
from bench.tune.ledger import STATUS, Ledger, read
from bench.tune.plan import Budget, Method, Plan, tunable
from bench.tune.storage import Place
from bench.tune.study import OnStudyEvent, Opened, open_study, run_study
from bench.tune.trial import Workshop
from bench.tuned import Search, Spent, Tuned, Validation, write_tuned
from datasets import UserError
from datasets.episodes import Split, digest

DATABASE, TUNED, REPORTED = "tuning.db", "tuned", "reported"
DEFAULT, WINNER = "default", "tuned"
SPLITS: tuple[Split, ...] = ("train", "val")  # what a search may see


@dataclass(frozen=True)
class Planned:
    """The studies of a search, and why cells of the grid have none, by algorithm and dataset in words."""

    plans: tuple[Plan, ...]
    left_out: tuple[str, ...]


def plans(grid: Grid, method: Method, seed: int, root: Path, device: str = "cpu") -> Planned:
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
    missing = api.reasons_to_skip(wanted, root, SPLITS)
    left_out += [f"{cell.algorithm} on {cell.dataset}: {missing[cell.id]}" for cell in wanted if cell.id in missing]
    there = [cell for cell in wanted if cell.id not in missing]
    if not there:
        raise UserError(f"nothing to tune: {left_out[-1]}")
    datasets = {cell.dataset: cell.entry.load(root) for cell in there}
    found = []
    for cell in there:
        stream = datasets[cell.dataset].stream("val", test_shape(cell), EVALUATION_SEED)
        plan = Plan(grid.name, cell, method, digest(stream, cell.evaluation.val_episodes))
        _ = plan.space  # raises where conditions leave nothing
        found.append(plan)
    return Planned(tuple(found), tuple(dict.fromkeys(left_out)))


def search(
    found: Sequence[Plan],
    budget: Budget,
    place: Place,
    out: Path,
    workshop: Workshop,
    jobs: int,
    on_event: OnStudyEvent,
    on_tuned: Callable[[Plan, Path], None],
) -> list[Opened]:
    """Run the studies one after the other, and write what each selected to ``out/tuned``.

    Raises:
        UserError: the storage does not work, a study of one of these names searches something else, or no trial of a
            study gave a value.
    """
    for plan in found:
        open_study(plan, place)  # all are refused before any runs
    done = []
    for plan in found:
        opened = run_study(plan, budget, place, workshop, jobs, on_event)
        with place.speaking():
            on_tuned(plan, write_tuned(out / TUNED, result(opened, place)))
        done.append(opened)
    return done


def selected(study: optuna.Study) -> FrozenTrial | None:
    """The complete trial with the best first objective, the earliest of equals; None where there is none."""
    sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return min(complete, key=lambda trial: (sign * trial.values[0], trial.number), default=None)


def result(opened: Opened, place: Place) -> Tuned:
    """What the study selected, and what it cost; raises UserError where no trial gave a value."""
    plan, study = opened.plan, opened.study()
    ledger, best = read(study), selected(study)
    if best is None:
        kinds = sorted({str(trial.user_attrs.get(STATUS, "lost")) for trial in ledger.slots})
        said = f"all {ledger.ended} trials ended as {', '.join(kinds)}"
        raise UserError(f"{plan.title}: {said}; see their messages in the storage, or narrow the ranges")
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
    """What the study cost so far."""
    return Spent(
        trials=ledger.ended,
        complete=ledger.count(TrialState.COMPLETE),
        pruned=ledger.count(TrialState.PRUNED),
        failed=ledger.count(TrialState.FAIL),
        repeated=len(ledger.repeated),
        episodes=ledger.episodes,
        seconds=round(ledger.seconds, 3),
    )


def rerun(
    grid: Grid,
    found: Sequence[Plan],
    seeds: Sequence[int],
    out: Path,
    data_root: Path,
    *,
    jobs: int,
    device: str,
    timeout: float | None,
    plugins: Sequence[str],
    on_event: OnEvent,
) -> None:
    """Train and test the defaults and the winners on fresh seeds, as experiments in ``out/reported``.

    Raises:
        UserError: the search has seen one of the seeds.
    """
    if seen := sorted({plan.cell.seed for plan in found} & set(seeds)):
        raise UserError(f"--report-seeds: {seen[0]} is the seed that the search selected on; give others")
    algorithms = tuple(dict.fromkeys(plan.cell.algorithm for plan in found))
    names = {plan.cell.dataset for plan in found}
    changes = {
        "algorithms": algorithms,
        "seeds": tuple(seeds),
        "datasets": tuple(use.model_dump() for use in grid.datasets if use.name in names),
    }
    default = parse_grid(grid.model_dump() | changes, f"grid '{grid.name}'")
    winners = (*grid.settings, Settings(tuned=str(out / TUNED)))
    content = default.model_dump() | {"settings": tuple(one.model_dump() for one in winners)}
    for name, one in ((DEFAULT, default), (WINNER, parse_grid(content, f"grid '{grid.name}'"))):
        api.run(
            one,
            out / REPORTED / name,
            jobs=jobs,
            device=device,
            timeout=timeout,
            data_root=data_root,
            plugins=plugins,
            on_event=on_event,
        )
