"""``bench run GRID``: run what is not finished yet, then show the leaderboard and write the report."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algorithms.engines.names import ENGINES, PRECISIONS
from bench.cli import completion
from bench.cli.clusters import EXECUTORS, chosen_cluster
from bench.cli.common import (
    CacheDir,
    Device,
    Import,
    Set,
    Track,
    below_here,
    comma_separated,
    counted,
    end_where_panels_failed,
    import_named,
    one_of,
    whole_numbers,
    wide_console,
    with_values,
)
from bench.cli.cost import measure_with_status
from bench.cli.leaderboard import show_leaderboard
from bench.cli.options import in_options
from bench.protocol.checkpoint import CHECKPOINT_SECONDS
from datasets import UserError

if TYPE_CHECKING:
    from bench.execution.events import Planned
    from bench.spec.cell import Cell


def run(
    grid: Annotated[
        str,
        typer.Argument(
            help="A grid's name (see `bench list`) or the path of a YAML file.", autocompletion=completion.grids
        ),
    ] = "grid",
    algorithms: Annotated[
        str | None, typer.Option(help="Only these, comma-separated.", autocompletion=completion.algorithms)
    ] = None,
    datasets_: Annotated[
        str | None,
        typer.Option("--datasets", help="Only these, comma-separated.", autocompletion=completion.datasets),
    ] = None,
    shots: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    ways: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    seeds: Annotated[str | None, typer.Option(help="These instead of the grid's, comma-separated.")] = None,
    set_: Set = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Parallel jobs; default: one per processor, or as many as the cluster has room for."),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(help="local, ray or slurm; see docs/cluster.md.", autocompletion=completion.choice(*EXECUTORS)),
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="host:port of a Ray cluster, or auto; default: start one here.")
    ] = None,
    cpus_per_cell: Annotated[
        float | None, typer.Option(min=0, help="Processors per cell on a cluster; default: 1.")
    ] = None,
    gpus_per_cell: Annotated[
        float | None, typer.Option(min=0, help="GPUs per cell on a cluster, such as 0.25; default: 0.")
    ] = None,
    slurm: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Option of sbatch; may be repeated.")
    ] = None,
    device: Device = "cpu",
    engine: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(ENGINES)}; default: the fastest.", autocompletion=completion.choice(*ENGINES)),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="bf16: networks' bodies in bfloat16 (docs/speed.md); default: float32.",
            autocompletion=completion.choice(*PRECISIONS),
        ),
    ] = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Time limit of a cell in seconds.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory limit of a cell, such as 4GiB.")] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Seconds between two checkpoints of a cell; 0 writes none.")
    ] = CHECKPOINT_SECONDS,
    retry: Annotated[
        str,
        typer.Option(
            help="Failures of earlier runs to try again: failed (all), timeout, oom or none.",
            autocompletion=completion.choice(*completion.RETRIES),
        ),
    ] = "failed",
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast/--keep-going", help="End the run, with its running cells, at the first failure."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default: results/GRID.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
    cost: Annotated[
        bool | None,
        typer.Option(
            "--cost/--no-cost",
            help="Measure time and memory at the end; default: for the grids that come with the package.",
        ),
    ] = None,
    track: Track = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and an estimate of their time, and run nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress, only the leaderboard.")] = False,
) -> None:
    """Run the cells of a grid that are not finished yet, then print the leaderboard and write the report."""
    from bench.spec.grid import load_grid
    from bench.spec.variations import changed, narrowed

    plugins = import_named(import_)
    wanted = (
        comma_separated(algorithms, "--algorithms"),
        comma_separated(datasets_, "--datasets"),
        whole_numbers(shots, "--shots", least=1),
        whole_numbers(seeds, "--seeds", least=0),
        whole_numbers(ways, "--ways", least=2),
    )
    chosen = narrowed(load_grid(grid), *wanted)
    chosen = with_values(set_, partial(changed, chosen))

    # what is wrong with the grid is said before what takes seconds to import
    from algorithms.engines.precision import check_processor
    from bench.cli.forecast import Forecast
    from bench.cli.progress import watcher
    from bench.cost.measure import Limits, NotMeasured
    from bench.execution.queue import RETRIES, plan
    from bench.execution.run import FirstFailure, folder_of, run_grid
    from bench.process.memory_limit import parse_size
    from bench.process.resources import available_cpus, usable_device
    from bench.report.write import write_report
    from bench.spec.shipped_grids import is_shipped
    from bench.store.settings import refuse_other_settings
    from bench.store.store import Store
    from bench.tracking.cells import tracking_cells
    from bench.tracking.tracker import open_tracker
    from datasets.storage.reading import usable_data_root

    console = wide_console()
    limit = None if memory is None else parse_size(memory)
    again = one_of("--retry", retry, RETRIES)
    mapped = one_of("--engine", engine, ENGINES) if engine is not None else None
    cluster = chosen_cluster(executor, ray_address, cpus_per_cell, gpus_per_cell, slurm or ())
    rounded = one_of("--precision", precision, PRECISIONS) if precision is not None else None
    if not cluster:
        check_processor(rounded)
    cells = chosen.cells(device if cluster else usable_device(device), mapped, rounded)
    folder = folder_of(chosen.name, out)
    workers = jobs or available_cpus()
    for words in chosen.left_out:
        console.print(f"left out: {words}", soft_wrap=True, highlight=False, markup=False)
    if dry_run:
        refuse_other_settings(cells, Store(folder))
        at_once = jobs if cluster else workers  # a cluster's room is not known before it is asked
        _dry_run(console, plan(cells, Store(folder), again), data_root, at_once, cluster is not None)
        return
    tracker = None if track is None else open_tracker(track, folder)
    try:
        local = cluster is None and {cell.device for cell in cells} == {"cpu"}  # or this machine cannot know their time
        forecast = Forecast(usable_data_root(data_root), plugins, limit) if local and not quiet else None
        with (
            forecast or nullcontext(),
            watcher(console, workers, quiet, forecast) as watch,
            tracking_cells(tracker, [Store(folder)], watch) as on_event,
        ):
            store = run_grid(
                chosen,
                folder,
                on_event,
                jobs=jobs,
                device=device,
                engine=mapped,
                precision=rounded,
                timeout=timeout,
                memory=limit,
                checkpoint_every=checkpoint_every or None,
                retry=again,
                fail_fast=fail_fast,
                data_root=data_root,
                plugins=plugins,
                cluster=cluster,
                command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
            )
        if cost if cost is not None else is_shipped(grid) and cluster is None:
            limits = Limits(usable_data_root(data_root), None, limit, plugins)
            try:
                measure_with_status(store, limits, quiet, missing_only=True, least_rounds=1)
            except NotMeasured as error:
                console.print(f"no cost: {error}", soft_wrap=True, highlight=False, markup=False)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what is finished is kept, the same command continues")
        raise typer.Exit(130) from None
    except FirstFailure as error:
        message = f"stopped at the first failure, {error}; the same command continues"
        Console(stderr=True).print(message, soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(1) from None
    written = write_report(store.root, data_root=usable_data_root(data_root))
    show_leaderboard(console, written.experiments.rows, written.board)
    console.print(f"report: {below_here(written.files[0])}", soft_wrap=True)
    if tracker is not None:
        console.print(f"tracked; to see it: {tracker.view}", soft_wrap=True, highlight=False, markup=False)
    if (written.experiments.rows["status"] == "ok").sum() == 0:
        raise typer.Exit(1)
    end_where_panels_failed(written.failed)


def _dry_run(console: Console, planned: Planned, data_root: Path | None, jobs: int | None, elsewhere: bool) -> None:
    """Print what a run would do; where the cells run on a cluster, what is missing here says nothing of it."""
    from bench.execution.availability import reasons_to_skip
    from bench.execution.runtime_estimate import estimate
    from datasets.storage.reading import usable_data_root

    root, cells = usable_data_root(data_root), planned.cells
    ended = {cell.id: "finished" for cell in planned.finished}
    ended |= {cell.id: f"{failure.kind}, not tried again" for cell, failure in planned.failed}
    left = [cell for cell in cells if cell.id not in ended]
    missing = _not_here(left, root) if elsewhere else reasons_to_skip(left, root)
    here = [cell for cell in left if cell.id not in missing]
    seconds = estimate(here, root)
    for cell in cells:
        if cell.id in ended:
            state = ended[cell.id]
        elif cell.id in seconds:
            state = time_text(seconds[cell.id])
        elif elsewhere:
            state = "to run on the cluster; it cannot be timed here"
        else:
            continue
        console.print(f"{cell.id}  {state}", soft_wrap=True, highlight=False)
    for reason, count in Counter(() if elsewhere else missing.values()).items():
        console.print(f"{counted(count, 'cell')} skipped: {reason}", soft_wrap=True, highlight=False)
    total = sum(seconds.values())
    to_run = left if elsewhere else here
    untimed = f" without the {len(missing)} that cannot be timed here" if elsewhere and missing else ""
    longest = max(seconds.values(), default=0.0)  # a cell has one process
    planned_cells = f"{counted(len(cells), 'cell')}, {len(to_run)} to run"
    if not seconds:
        console.print(f"{planned_cells}{untimed}", soft_wrap=True, highlight=False)
        return
    alone = f"{time_text(total)} with 1 job"
    times = f"{time_text(max(total / jobs, longest))} with {jobs} jobs, {alone}" if jobs and jobs > 1 else alone
    console.print(
        f"{planned_cells}: {times}{untimed} (measured on single steps just now, beside what else runs)",
        soft_wrap=True,
        highlight=False,
    )


def time_text(seconds: float) -> str:
    """Return an estimated time in words.

    >>> time_text(0.2), time_text(42.3), time_text(420), time_text(9000)
    ('under a second', 'about 42 s', 'about 7 minutes', 'about 2.5 hours')
    """
    if seconds < 1:
        return "under a second"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    if seconds < 7200:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _not_here(cells: Sequence[Cell], root: Path) -> dict[str, str]:
    """Return why cells of a cluster cannot be timed on this machine (device, data or library), by cell id."""
    from algorithms.engines.precision import check_processor
    from bench.execution.availability import reasons_to_skip
    from bench.process.resources import usable_device

    reasons: dict[str, str] = {}
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        mine = [cell for cell in cells if cell.dataset == dataset]
        try:
            usable_device(mine[0].device)
            check_processor(mine[0].precision)
            reasons |= reasons_to_skip(mine, root)
        except UserError as error:
            reasons |= {cell.id: in_options(error) for cell in mine}
    return reasons
