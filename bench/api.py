"""Running and loading experiments as functions for scripts and notebooks. They print nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from bench.analysis.costs import cost_table
from bench.analysis.leaderboard import board_of, leaderboard
from bench.analysis.scores import comparable
from bench.cost.measure import Limits, NotMeasured, measure_costs
from bench.execution.events import OnEvent, ignore
from bench.execution.run import RunOptions, folder_of, run_grid
from bench.process.plugins import import_plugins
from bench.process.resources import usable_device
from bench.spec.grid import Grid, load_grid, parse_grid
from bench.spec.shipped_grids import is_shipped
from bench.spec.variations import changed, narrowed
from bench.store.atomic import absolute, make_writable
from bench.store.cost_file import UnreadableCosts
from bench.store.store import Store
from bench.tracking.cells import tracking_cells
from bench.tracking.tracker import TrackerName, open_tracker
from datasets import UserError
from datasets.core.registry import suggest
from datasets.storage.reading import usable_data_root

if TYPE_CHECKING:
    from bench.tuning.spec import Objective, PrunerName, SamplerName
    from bench.tuning.study import StudyEvent


@dataclass(frozen=True)
class Results:
    """An experiment on disk.

    Attributes:
        path: its folder.
    """

    path: Path

    @property
    def cells(self) -> pd.DataFrame:
        """A row per cell: specification, status, summary numbers, digests."""
        return Store(self.path).rows()

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of the cells that ended without a result."""
        cells = self.cells
        return cells[cells["status"] != "ok"]

    @property
    def episodes(self) -> pd.DataFrame:
        """A row per finished cell, test episode and inner step."""
        return Store(self.path).episodes()

    @property
    def curves(self) -> pd.DataFrame:
        """A row per finished cell and measurement during training: outer step, training loss, validation."""
        return Store(self.path).curves()

    @property
    def leaderboard(self) -> pd.DataFrame:
        """A row per dataset, shape and algorithm, best first; see ``bench.analysis.leaderboard``."""
        return leaderboard(Store(self.path))

    @property
    def cost(self) -> pd.DataFrame:
        """A row per setting whose time and memory were measured; see ``bench.analysis.costs.cost_table``."""
        try:
            return cost_table(Store(self.path))
        except UnreadableCosts as error:
            raise UserError(f"{self.path}: cost.json is {error}") from None

    def _repr_html_(self) -> str:
        """Return the leaderboard for a notebook, with the cells without a result."""
        from bench.report.leaderboard import failure_table, leaderboard_tables
        from bench.report.renderers import to_html

        rows, episodes = comparable(Store(self.path))
        failed = failure_table(rows)
        return to_html([*leaderboard_tables(board_of(rows, episodes)), *([failed] if failed.rows else [])])


def run(
    grid: Grid | Mapping[str, Any] | str | Path = "grid",
    out: Path | str | None = None,
    *,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    ways: Sequence[int] | None = None,
    hparams: Mapping[str, Any] | None = None,
    cost: bool | None = None,
    track: TrackerName | None = None,
    on_event: OnEvent = ignore,
    **options: Unpack[RunOptions],
) -> Results:
    """Run the cells of a grid that a folder does not hold yet, and return all that it holds then.

    Other runs on the same folder, of this machine or others, take their share of the cells; this returns when all have
    ended.

    Args:
        grid: a grid, the name of one in ``bench/spec/grids``, a file, or a dictionary with what a file would hold.
        out: the experiment's folder; ``results/<grid name>`` by default.
        algorithms: these instead of the grid's.
        datasets: only these of the grid's.
        shots: only these of the grid's.
        seeds: these instead of the grid's.
        ways: only these of the grid's; datasets without classes are left out with it.
        hparams: values on top of the grid's, as ``{"inner_lr": 0.1, "maml.test_steps": 5, "train.episodes": 4000}``;
            see ``bench.spec.variations.changed``.
        cost: whether time and memory are measured when the cells have ended, where they are missing; see
            ``measure_cost``. By default for the grids that come with the package, and not on a cluster.
        track: log each cell as a run of ``tensorboard`` or ``mlflow``, in ``out``; see docs/running.md.
        on_event: called with everything that happens; see ``bench.execution.events``.
        options: how the cells are run, such as ``jobs=2``; see ``bench.execution.run.RunOptions``.

    Raises:
        UserError: a mistake in the grid or the options, or other settings in ``out``, before anything runs; or
            ``CannotWrite``, where the folder cannot be written any more.
        FirstFailure: with ``fail_fast``.
        TypeError: there is no such option.

    >>> results = run("smoke", algorithms=["finetune"], datasets=["sinusoid"], hparams={"train.episodes": 8}, jobs=1)
    >>> results.cells[["algorithm", "dataset", "shape", "status"]]
      algorithm   dataset    shape status
    0  finetune  sinusoid  10-shot     ok
    """
    import_plugins(options.get("plugins", ()))
    chosen = narrowed(_grid_of(grid), algorithms, datasets, shots, seeds, ways)
    chosen = changed(chosen, hparams or {})
    folder = folder_of(chosen.name, out)
    tracker = None if track is None else open_tracker(track, folder)
    with tracking_cells(tracker, [Store(folder)], on_event) as handle:
        results = Results(run_grid(chosen, folder, handle, **options).root)
    if cost if cost is not None else is_shipped(grid) and options.get("cluster") is None:
        root, plugins = usable_data_root(options.get("data_root")), options.get("plugins", ())
        limits = Limits(root, None, options.get("memory"), plugins)
        with suppress(NotMeasured):
            measure_costs(Store(results.path), limits, missing_only=True, least_rounds=1)
    return results


@dataclass(frozen=True)
class Tuning:
    """The outcome of a search for hyper-parameters.

    Attributes:
        path: the experiment's folder; ``path / "tuned"`` is what a grid's ``tuned`` takes.
        studies: a row per study: its budget, its selected values, and whether the default won.
        trials: a row per attempt at a trial.
        compared: a row per study: default and tuned on the reported seeds; empty without them.
        report: the page of the search, ``index.html`` in the folder of its tables and figures.
        left_out: why cells of the grid have no study.
    """

    path: Path
    studies: pd.DataFrame
    trials: pd.DataFrame
    compared: pd.DataFrame
    report: Path
    left_out: tuple[str, ...]


def tune(
    grid: Grid | Mapping[str, Any] | str | Path = "tuning",
    out: Path | str | None = None,
    *,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    hparams: Mapping[str, Any] | None = None,
    trials: int | None = None,
    hours: float | None = None,
    jobs: int = 1,
    sampler: SamplerName = "tpe",
    pruner: PrunerName | None = None,
    objective: Objective = "accuracy",
    storage: str | None = None,
    seed: int = 0,
    report_seeds: Sequence[int] = (),
    device: str = "cpu",
    timeout: float | None = None,
    memory: int | None = None,
    heartbeat: int = 20,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
    track: TrackerName | None = None,
    on_trial: Callable[[StudyEvent], None] = lambda event: None,
    on_event: OnEvent = ignore,
) -> Tuning:
    """Search hyper-parameters of a grid's algorithms, with the same budget for each, and report what was selected.

    A search continues where it stopped, and processes of several machines share one; see docs/tuning.md.

    Args:
        grid: a grid, its name, a file, or a dictionary.
        out: the experiment's folder; ``results/<grid name>`` by default.
        algorithms: these instead of the grid's.
        datasets: only these of the grid's.
        shots: only these of the grid's.
        hparams: values on top of the grid's, as in ``run``; those that are searched begin there.
        trials: of each study; 20 by default.
        hours: of trials of each study, instead of ``trials``.
        jobs: trials that run in parallel.
        sampler: ``tpe``, ``random``, ``gp`` or ``cmaes``.
        pruner: ``hyperband``, ``median`` or ``none``; by default the median, and none with two objectives.
        objective: ``accuracy``, or a cost beside it: ``accuracy,adapt_ms`` or ``accuracy,peak_mib``.
        storage: URL of a database; by default SQLite in ``out``.
        seed: of training and of the sampler, in every trial.
        report_seeds: seeds on which the defaults and the winners are trained and tested; none by default.
        device: a torch device.
        timeout: wall seconds that a trial may take.
        memory: bytes of resident memory that a trial's process may have.
        heartbeat: seconds between two signs of life of a trial.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.
        track: log each trial and each cell as a run of ``tensorboard`` or ``mlflow``, in ``out``.
        on_trial: told of each trial that ended; see ``bench.tuning.study``.
        on_event: told of everything that happens on the reported seeds.

    Raises:
        UserError: a mistake in the grid or the options, nothing can be tuned, or no trial gave a value.
    """
    from bench.tracking.trials import tracking_trials
    from bench.tuning.report.write import write_tuning_report
    from bench.tuning.search import DATABASE, plans, reported, rerun, search
    from bench.tuning.spec import PRUNERS, SAMPLERS, Budget, Method, objective_of
    from bench.tuning.storage import place
    from bench.tuning.trial import TrialOptions

    import_plugins(plugins)
    goal = objective_of(objective)
    pruner = pruner or ("median" if goal == "accuracy" else "none")
    for name, value, allowed in (("sampler", sampler, SAMPLERS), ("pruner", pruner, PRUNERS)):
        if value not in allowed:
            raise UserError(f"got '{value}'{suggest(value, list(allowed))}; use one of {', '.join(allowed)}", name)
    for name, number in (("trials", trials), ("jobs", jobs), ("heartbeat", heartbeat)):
        if number is not None and number < 1:
            raise UserError(f"got {number}; use a whole number from 1", name)
    if hours is not None and not (0 < hours < math.inf and trials is None):
        raise UserError(f"got {hours}; use a number above 0, and no `trials=` beside it", "hours")
    if seed in report_seeds:
        raise UserError(f"{seed} is the seed that the search selects on; give others", "report_seeds")
    budget = Budget(trials or 20) if hours is None else Budget(None, 3600 * hours)
    chosen = changed(narrowed(_grid_of(grid), algorithms, datasets, shots), hparams or {})
    root, folder = usable_data_root(data_root), absolute(folder_of(chosen.name, out))
    studies = plans(chosen, Method(goal, sampler, pruner, heartbeat), seed, root, usable_device(device))
    make_writable(folder)
    where = place(storage, folder / DATABASE)
    limits = TrialOptions(root, timeout, memory, tuple(plugins))
    tracker = None if track is None else open_tracker(track, folder)
    on_trial = tracking_trials(tracker, on_trial)
    done = search(studies.plans, budget, where, folder, limits, jobs, on_trial, lambda plan, result: None)
    try:
        if report_seeds:
            options: RunOptions = {"jobs": jobs, "device": device, "timeout": timeout, "memory": memory}
            options |= {"data_root": root, "plugins": plugins}
            with tracking_cells(tracker, reported(folder), on_event) as handle:
                rerun(chosen, done, report_seeds, folder, handle, **options)
        with where.errors_explained():
            report = write_tuning_report(done, folder, chosen, budget)
        tables = report.tables
        return Tuning(folder, tables.studies, tables.trials, tables.compared, report.page, studies.left_out)
    finally:
        for opened in done:
            opened.close()


def measure_cost(
    path: Path | str,
    *,
    missing_only: bool = False,
    rounds: int | None = None,
    order_seed: int = 0,
    timeout: float | None = None,
    memory: int | None = None,
    data_root: Path | str | None = None,
    plugins: Sequence[str] = (),
) -> pd.DataFrame:
    """Measure seconds of an outer step and of adapting to one task, and memory, apart from an experiment's cells.

    Each setting that has a finished cell is measured in processes of its own, one at a time, in rounds of a random
    order. What is measured is stored with the experiment, and its tables show it.

    Args:
        path: the experiment's folder.
        missing_only: measure only what is new or changed; by default all is measured anew.
        rounds: how often each setting is measured; by default three to five times, after what its cells took.
        order_seed: of the order within the rounds.
        timeout: wall seconds of one process; by default those of the setting's cells, and a minute at least.
        memory: bytes of resident memory that a process may have; no limit by default.
        data_root: where the datasets lie; see ``datasets.data_root``.
        plugins: modules that register further algorithms or datasets.

    Returns:
        ``Results(path).cost``.

    Raises:
        UserError: no cell is finished, or another process measures the same; or ``CannotWrite``.
    """
    import_plugins(plugins)
    limits = Limits(usable_data_root(data_root), timeout, memory, plugins)
    command = f"bench.measure_cost({str(path)!r})"
    options: dict[str, Any] = {"missing_only": missing_only, "rounds": rounds, "order_seed": order_seed}
    measure_costs(Store(path), limits, command=command, **options)
    return Results(Path(path)).cost


def load(path: Path | str) -> pd.DataFrame:
    """Return the cells of the experiment in a folder, a row each.

    ``Results(path)`` has its episodes, curves and leaderboard too.

    Raises:
        UserError: the folder holds no results.
    """
    return Store(path).rows()


def _grid_of(grid: Grid | Mapping[str, Any] | str | Path) -> Grid:
    if isinstance(grid, Mapping):
        return parse_grid(dict(grid))
    return grid if isinstance(grid, Grid) else load_grid(grid)
