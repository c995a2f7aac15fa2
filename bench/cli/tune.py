"""``bench tune``: search for hyper-parameters, then re-run what was selected on fresh seeds and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algorithms import ALGORITHMS
from bench.cli import completion
from bench.cli.common import (
    CacheDir,
    Device,
    Import,
    Set,
    Track,
    below_here,
    comma_separated,
    end_where_panels_failed,
    import_named,
    one_of,
    whole_numbers,
    wide_console,
    with_values,
)
from bench.cli.data import OF_A_GRID
from bench.cli.tables import print_note, print_table
from bench.spec.shipped_grids import grid_names
from datasets import DATASETS, UserError
from datasets.core.registry import unknown

if TYPE_CHECKING:
    from bench.report.table_model import ReportTable
    from bench.spec.grid import Grid

USUAL_GRID = "tuning"


def tune(
    what: Annotated[
        str,
        typer.Argument(
            metavar="GRID|ALGORITHM",
            help="A grid, or an algorithm followed by a dataset.",
            autocompletion=completion.tuned,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Argument(help="The dataset to tune the algorithm on.", autocompletion=completion.dataset),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of each study; default: 20.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=1e-4, help="Hours of trials of each study, instead of --trials.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Parallel trials.")] = 1,
    sampler: Annotated[str, typer.Option(help="tpe, random, gp or cmaes.", autocompletion=completion.samplers)] = "tpe",
    pruner: Annotated[
        str | None,
        typer.Option(help="hyperband, median or none; default: median.", autocompletion=completion.pruners),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            help="accuracy (regression: squared error, control: return); accuracy,adapt_ms and accuracy,peak_mib "
            "minimize a cost as well.",
            autocompletion=completion.objectives,
        ),
    ] = "accuracy",
    storage: Annotated[
        str | None,
        typer.Option(help="sqlite:///FILE or postgresql://... (docs/tuning.md); default: SQLite under --out."),
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            help="The grid whose budgets and settings are used if an algorithm is named.",
            autocompletion=completion.grids,
        ),
    ] = USUAL_GRID,
    algorithms: Annotated[
        str | None,
        typer.Option(help="Only these algorithms of a grid, comma-separated.", autocompletion=completion.algorithms),
    ] = None,
    datasets_: Annotated[
        str | None,
        typer.Option(
            "--datasets", help="Only these datasets of a grid, comma-separated.", autocompletion=completion.datasets
        ),
    ] = None,
    ways: Annotated[str | None, typer.Option(help="These instead of the grid's, comma-separated.")] = None,
    shots: Annotated[str | None, typer.Option(help="These instead of the grid's, comma-separated.")] = None,
    set_: Set = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of training and of the sampler, in every trial.")] = 0,
    report_seeds: Annotated[
        str | None, typer.Option(help="Re-run defaults and winners on these seeds, comma-separated.")
    ] = None,
    device: Device = "cpu",
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Time limit of a trial in seconds.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory limit of a trial, such as 4GiB.")] = None,
    heartbeat: Annotated[
        int,
        typer.Option(
            min=1, help="Seconds between heartbeats of a trial; a worker that misses three is taken for dead."
        ),
    ] = 20,
    out: Annotated[Path | None, typer.Option(help="Folder of the experiment; default: results/GRID.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
    track: Track = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress, only the files that were written.")
    ] = False,
) -> None:
    """Search hyper-parameters of a grid's algorithms, with equal budgets, or of one algorithm on one dataset."""
    from bench.cli.progress import watcher
    from bench.cli.tuning_progress import TrialLines
    from bench.execution.run import folder_of
    from bench.process.memory_limit import parse_size
    from bench.process.resources import usable_device
    from bench.report.panels import Panels
    from bench.spec.tuned_file import tuned_name
    from bench.spec.variations import changed
    from bench.store.atomic import absolute
    from bench.tracking.cells import tracking_cells
    from bench.tracking.tracker import open_tracker
    from bench.tracking.trials import tracking_trials
    from bench.tuning.report.shown import result_tables
    from bench.tuning.report.write import write_tuning_report
    from bench.tuning.search import DATABASE, plans, reported, rerun, search
    from bench.tuning.spec import PRUNERS, SAMPLERS, Budget, Method, objective_of
    from bench.tuning.storage import place
    from bench.tuning.trial import TrialOptions
    from datasets.storage.reading import usable_data_root

    console = wide_console()
    limit = None if memory is None else parse_size(memory)
    plugins = import_named(import_)
    if trials is not None and hours is not None:
        raise UserError(f"--trials {trials} and --hours {hours:g} are two budgets; give one of them")
    budget = Budget(trials if hours is None else None, None if hours is None else 3600 * hours)
    budget = budget if hours is not None or trials is not None else Budget(20)
    goal = objective_of(objective)
    usual = "median" if goal == "accuracy" else "none"
    method = Method(
        goal, one_of("--sampler", sampler, SAMPLERS), one_of("--pruner", pruner or usual, PRUNERS), heartbeat
    )
    chosen = _chosen(
        what,
        dataset,
        grid,
        algorithms,
        datasets_,
        whole_numbers(ways, "--ways", 2),
        whole_numbers(shots, "--shots", 1),
    )
    chosen = with_values(set_, partial(changed, chosen))
    fresh = whole_numbers(report_seeds, "--report-seeds", least=0)
    if fresh and seed in fresh:
        raise UserError(f"--report-seeds: {seed} is the seed that the search selects on; give others")
    root = usable_data_root(data_root)
    folder = absolute(folder_of(chosen.name, out))
    where = place(storage, folder / DATABASE)
    studies = plans(chosen, method, seed, root, usable_device(device))
    for words in studies.left_out:
        _say(console, f"left out: {words}")
    lines = TrialLines(console, quiet, budget)
    where = replace(where, on_wait=lines.waiting)
    try:
        _make(folder)
        options = TrialOptions(root, timeout, limit, tuple(plugins))
        tracker = None if track is None else open_tracker(track, folder)
        on_trial = tracking_trials(tracker, lines.handle)
        done = search(studies.plans, budget, where, folder, options, jobs, on_trial, lines.result, lines.started)
        if fresh:
            with (
                watcher(console, jobs, quiet) as watch,
                tracking_cells(tracker, reported(folder), watch) as on_event,
            ):
                rerun(
                    chosen,
                    done,
                    fresh,
                    folder,
                    on_event,
                    data_root=root,
                    jobs=jobs,
                    device=device,
                    timeout=timeout,
                    memory=limit,
                    plugins=plugins,
                )
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what is finished is kept, the same command continues")
        raise typer.Exit(130) from None
    name = "tuning" if dataset is None else f"tuning--{tuned_name(what, dataset, studies.plans[0].shape)}"
    panels = Panels()
    with where.errors_explained():
        report = write_tuning_report(done, folder, chosen, budget, name, panels)
    for opened in done:
        opened.close()
    if not quiet:
        _print_results(console, result_tables(report.tables))
    _say(console, f"report: {below_here(report.page)}")
    if tracker is not None:
        _say(console, f"tracked; to see it: {tracker.view}")
    if len(done) < len(studies.plans):
        raise typer.Exit(1)
    if not fresh:
        _say(console, "to report the winners beside the defaults, add --report-seeds 10,11,12 to the same command")
    end_where_panels_failed(panels.lines())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write results to {folder}: {error.strerror}; choose another --out") from None


def _print_results(console: Console, tables: Sequence[ReportTable]) -> None:
    """Print default and tuned of every study, then how to read it."""
    from bench.report.table_model import shared_notes
    from bench.tuning.report.shown import BOLD

    console.print()
    shown = [table.without_details() for table in tables]
    for table in shown:
        print_table(console, table)
    for note in shared_notes(shown):
        if console.is_terminal or not note.startswith(BOLD):
            print_note(console, note, style="dim")


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _chosen(
    what: str,
    dataset: str | None,
    grid: str,
    algorithms: str | None,
    datasets: str | None,
    ways: tuple[int, ...] | None,
    shots: tuple[int, ...] | None,
) -> Grid:
    """The grid, or the part or variation of one that is an algorithm on a dataset; raises UserError."""
    from bench.spec.grid import load_grid, parse_grid
    from bench.spec.variations import narrowed

    if dataset is None:
        if what in ALGORITHMS and what not in grid_names():
            raise UserError(f"'{what}' is an algorithm; say on which dataset: `python -m bench tune {what} glyphs`")
        chosen = load_grid(what)
        chosen = narrowed(chosen, comma_separated(algorithms, "--algorithms"), comma_separated(datasets, "--datasets"))
        return _with_shapes(chosen, ways, shots)
    for option, value, named in (("--algorithms", algorithms, what), ("--datasets", datasets, dataset)):
        if value is not None:
            raise UserError(f"{option}: '{named}' is named already; leave the option out, or name a grid instead")
    name = ALGORITHMS[what].name
    base = load_grid(grid)
    content = base.model_dump() | {"algorithms": (name,)}
    uses = [use for use in base.datasets if use.name == dataset and (not use.algorithms or name in use.algorithms)]
    if uses:
        content["datasets"] = tuple(use.model_dump() for use in uses)
    else:
        known = [*dict.fromkeys([*(use.name for use in base.datasets), *DATASETS.names()])]
        if dataset not in DATASETS:
            raise unknown("dataset", dataset, known, OF_A_GRID)
        usual = (10,) if DATASETS[dataset].kind == "regression" else (1,)
        content["datasets"] = ({"name": dataset, "shots": shots or usual},)
    return _with_shapes(parse_grid(content, f"grid '{base.name}'"), ways, shots)


def _with_shapes(grid: Grid, ways: tuple[int, ...] | None, shots: tuple[int, ...] | None) -> Grid:
    from bench.spec.grid import parse_grid

    changes = [(name, values) for name, values in (("ways", ways), ("shots", shots)) if values is not None]
    if not changes:
        return grid
    uses = []
    for use in grid.datasets:
        fitting = [(n, v) for n, v in changes if n != "ways" or use.entry.kind == "classification"]
        uses.append(use.model_dump() | dict(fitting))
    return parse_grid(grid.model_dump() | {"datasets": tuple(uses)}, f"grid '{grid.name}'")
