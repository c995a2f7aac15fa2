"""``bench cost DIR``: measure time and memory of an experiment's settings apart from its cells."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli.common import CacheDir, Import, import_named, wide_console
from bench.cli.tables import print_note, print_table

if TYPE_CHECKING:
    from bench.cost.measure import Limits
    from bench.store.store import Store


def cost(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` wrote.")],
    missing: Annotated[
        bool, typer.Option("--missing", help="Only what is new or changed; by default all is measured anew.")
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(min=2, help="Measurements of each setting; default: 3 to 5, after what its cells took."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order within the rounds.")] = 0,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds of one process; default: those of its cells, 60 at least.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory that a process may have, such as 4GiB.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the table.")] = False,
) -> None:
    """Measure seconds of an outer step and of adapting to one task, and memory, one process at a time."""
    from bench.cost.measure import Limits
    from bench.process.memory_limit import parse_size
    from bench.report.costs import cost_notes, cost_report
    from bench.store.store import Store
    from datasets.storage.reading import usable_data_root

    limits = Limits(
        usable_data_root(data_root), timeout, None if memory is None else parse_size(memory), import_named(import_)
    )
    store = Store(folder)
    try:
        measure_with_status(store, limits, quiet, missing_only=missing, rounds=rounds, order_seed=seed)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; nothing of this measurement is kept")
        raise typer.Exit(130) from None
    console = wide_console()
    print_table(console, cost_report(store))
    for note in cost_notes(store):
        print_note(console, note, style="dim")


def measure_with_status(
    store: Store,
    limits: Limits,
    quiet: bool,
    *,
    missing_only: bool,
    rounds: int | None = None,
    least_rounds: int | None = None,
    order_seed: int = 0,
) -> None:
    """Measure the costs of an experiment; standard error shows what is measured now, where it is a terminal."""
    from bench.cost.measure import measure_costs
    from bench.cost.rounds import FEW_ROUNDS

    status = Console(stderr=True, quiet=quiet)
    with status.status("cost") as shown:
        measure_costs(
            store,
            limits,
            missing_only=missing_only,
            rounds=rounds,
            least_rounds=FEW_ROUNDS if least_rounds is None else least_rounds,
            order_seed=order_seed,
            command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
            say=shown.update,
        )
