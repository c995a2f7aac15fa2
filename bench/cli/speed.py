"""``bench speed``: time outer steps and evaluations beside other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from bench.cli.common import CacheDir, comma_separated, comma_separated_all, whole_numbers, wide_console
from bench.cli.tables import print_table
from datasets import UserError
from datasets.core.registry import suggest

if TYPE_CHECKING:
    import pandas as pd

Named = TypeVar("Named")

LISTED = "; an unknown name prints them all"


def speed(
    data: Annotated[
        bool, typer.Option("--data", help="Time only the sampling of episodes, beside learn2learn's.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Time only acting in an environment, beside a plain Gymnasium loop.")
    ] = False,
    workloads: Annotated[str | None, typer.Option(help=f"Only these, comma-separated{LISTED}.")] = None,
    contenders: Annotated[str | None, typer.Option(help=f"Only these and ours, comma-separated{LISTED}.")] = None,
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2.")] = "1",
    rounds: Annotated[int, typer.Option(min=3, help="Timed rounds; in each one every contender runs once.")] = 10,
    methods: Annotated[
        bool | None,
        typer.Option(
            "--methods/--no-methods",
            help="Also time the outer step of every method; default: unless --workloads or --contenders is given.",
        ),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option("--datasets", "--dataset", help="With --data: only the drawing of these, comma-separated."),
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets, for --data.")] = None,
    cache_dir: CacheDir = None,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write tables, JSON and a figure to this folder.")] = None,
) -> None:
    """Time outer steps and evaluations beside other libraries, in alternating rounds."""
    from bench.speed.contenders import CONTENDERS
    from bench.speed.report import as_json, measure, measure_methods, write
    from bench.speed.workloads import WORKLOADS
    from bench.store.atomic import make_writable

    if out is not None:
        make_writable(out)
    if data or control:
        alone = "--data times the drawing of all episodes" if data else "--control times acting"
        others = (("--control", data and control), ("--workloads", workloads), ("--contenders", contenders))
        for option, is_set in (*others, ("--json", json_)):
            if is_set:
                raise UserError(f"{option}: {alone} and prints a table; leave one out")
    if control:
        _acting(rounds, out)
        return
    if data:
        _sampling(rounds, comma_separated_all(datasets, "--datasets"), out, data_root)
        return
    if datasets:
        raise UserError("--datasets: it is for --data; add that, or leave it out")
    chosen = _chosen("--workloads", workloads, {entry.name: entry for entry in WORKLOADS})
    racing = _chosen("--contenders", contenders, {entry.name: entry for entry in CONTENDERS})
    ours = CONTENDERS[0]
    command = " ".join(
        ["python -m bench speed"]
        + [f"--workloads {workloads}"] * bool(workloads)
        + [f'--contenders "{contenders}"'] * bool(contenders)
        + [f"--threads {threads} --rounds {rounds}"]
        + ["--methods" if methods else "--no-methods"] * (methods is not None)
    )
    status = Console(stderr=True)
    counts = whole_numbers(threads, "--threads", 1) or (1,)
    wanted = not (workloads or contenders) if methods is None else methods
    with status.status("") as shown:
        table, left_out = measure(
            chosen,
            racing if ours in racing else [ours, *racing],
            counts,
            rounds,
            lambda text: shown.update(text),
        )
        of_methods = measure_methods(counts, rounds, lambda text: shown.update(text)) if wanted else None
    if json_:
        typer.echo(as_json(table, command, of_methods), nl=False)
    else:
        _show(table, left_out, of_methods)
    if out is not None:
        for path in write(table, out, command, of_methods):
            status.print(str(path), soft_wrap=True, highlight=False)


def _chosen(option: str, text: str | None, known: dict[str, Named]) -> list[Named]:
    names = comma_separated(text, option) or tuple(known)
    for name in names:
        if name not in known:
            raise UserError(f"{option}: got '{name}'{suggest(name, list(known))}; use any of {', '.join(known)}")
    return [known[name] for name in names]


def _show(table: pd.DataFrame, left_out: list[str], of_methods: pd.DataFrame | None) -> None:
    from bench.speed.summary import contender_tables, mean_lines, method_tables

    console = wide_console()
    for shown in contender_tables(table):
        print_table(console, shown)
    for line in [*mean_lines(table), *(f"left out: {words}" for words in left_out)]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for shown in method_tables(of_methods) if of_methods is not None else ():
        print_table(console, shown)


def _acting(rounds: int, out: Path | None) -> None:
    """Print environment steps per second."""
    from bench.speed import acting
    from bench.speed.summary import acting_table

    rates = acting.compare(rounds)
    print_table(wide_console(), acting_table(rates))
    if out is not None:
        rates.to_csv(out / "acting.csv", index=False)


def _sampling(rounds: int, datasets: tuple[str, ...], out: Path | None, data_root: Path | None) -> None:
    """Print the times of drawing; of the datasets that are named alone, or of all and of made-up pools."""
    from bench.speed import drawing, sampling
    from bench.speed.summary import drawing_table, sampling_table
    from datasets.storage.reading import usable_data_root

    console = wide_console()
    timings = None if datasets else sampling.compare(rounds)
    if timings is not None:
        print_table(console, sampling_table(timings))
    known = [*drawing.NAMES, *drawing.TABLES]
    for name in datasets:
        if name not in known:
            raise UserError(f"--datasets: unknown dataset '{name}'{suggest(name, known)}; known: {', '.join(known)}")
    cells = drawing.cells_of([name for name in drawing.NAMES if name in (datasets or known)])
    tables = [(cell, table) for cell, table in drawing.tables() if cell.dataset in (datasets or known)]
    shares, left_out = drawing.shares(cells, usable_data_root(data_root), rounds, tables)
    print_table(console, drawing_table(shares))
    for reason in left_out:
        console.print(f"left out: {reason}", soft_wrap=True, highlight=False, markup=False)
    if out is not None:
        if timings is not None:
            timings.to_csv(out / "sampling.csv", index=False)
        shares.to_csv(out / "drawing.csv", index=False)
