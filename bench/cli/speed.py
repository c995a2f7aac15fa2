"""``bench speed``: time outer steps and evaluations beside other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from bench.cli.common import CacheDir, comma_separated, whole_numbers, wide_console
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
    if data:
        for option, is_set in (("--workloads", workloads), ("--contenders", contenders), ("--json", json_)):
            if is_set:
                raise UserError(f"{option}: --data times the drawing of all episodes and prints a table; leave one out")
        _sampling(rounds, out, data_root)
        return
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
        _show(table, left_out)
        if of_methods is not None:
            _show_methods(of_methods)
    if out is not None:
        for path in write(table, out, command, of_methods):
            status.print(str(path), soft_wrap=True, highlight=False)


def _chosen(option: str, text: str | None, known: dict[str, Named]) -> list[Named]:
    names = comma_separated(text, option) or tuple(known)
    for name in names:
        if name not in known:
            raise UserError(f"{option}: got '{name}'{suggest(name, list(known))}; use any of {', '.join(known)}")
    return [known[name] for name in names]


def _show(table: pd.DataFrame, left_out: list[str]) -> None:
    from bench.speed.table import OURS, overall

    console = wide_console()
    for (workload, threads), part in table.groupby(["workload", "threads"], sort=False):
        shown = Table("contender", title=f"{workload}, {threads} thread(s)", title_justify="left")
        for head in (
            "ms",
            "quartiles",
            "times ours",
            "95%",
            "GFLOP/s",
            "of peak",
            "MiB",
            "rise",
            "kept KiB",
            "gradient's error",
        ):
            shown.add_column(head, justify="right")
        for row in part.to_dict("records"):
            error = "-" if row["error"] != row["error"] else f"{row['error']:.0e}{' WRONG' if row['wrong'] else ''}"
            if row["problem"] or "median_ms" not in row or row["median_ms"] != row["median_ms"]:
                shown.add_row(row["contender"], row["problem"] or "no timing", *[""] * 9)
                continue
            theirs = row["contender"] != OURS
            shown.add_row(
                row["contender"],
                f"{row['median_ms']:.1f}",
                f"{row['q1_ms']:.1f} to {row['q3_ms']:.1f}",
                f"{row['times_ours']:.2f}" if theirs else "",
                f"{row['low']:.2f} to {row['high']:.2f}" if theirs else "",
                f"{row['gflops']:.0f}",
                f"{100 * row['of_peak']:.0f}%",
                f"{row['peak_mib']:.0f}",
                f"{row['rise_mib']:.0f}",
                _kib(row["kept_kib"]),
                error,
            )
        console.print(shown)
    means = overall(table)
    for row in means.to_dict("records"):
        console.print(
            f"{row['contender']}, {row['threads']} thread(s): {row['geometric_mean']:.2f} times ours on the "
            f"geometric mean of the targets' workloads, at least {row['least']:.2f}; "
            f"rise in memory {row['memory_of_ours']:.2f} times ours",
            highlight=False,
            soft_wrap=True,
        )
    for words in left_out:
        console.print(f"left out: {words}", highlight=False, soft_wrap=True)


def _kib(value: float) -> str:
    return "-" if value != value else f"{value:.1f}"


def _show_methods(table: pd.DataFrame) -> None:
    console = wide_console()
    for (network, threads), part in table.groupby(["network", "threads"], sort=False):
        title = f"every method's outer step on {network}, {threads} thread(s)"
        shown = Table("method", title=title, title_justify="left")
        for head in ("ms", "quartiles", "times MAML's", "95%", "MiB", "rise", "kept KiB"):
            shown.add_column(head, justify="right")
        for row in part.to_dict("records"):
            shown.add_row(
                row["method"],
                f"{row['median_ms']:.1f}",
                f"{row['q1_ms']:.1f} to {row['q3_ms']:.1f}",
                f"{row['times_maml']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}",
                f"{row['peak_mib']:.0f}",
                f"{row['rise_mib']:.0f}",
                _kib(row["kept_kib"]),
            )
        console.print(shown)


def _sampling(rounds: int, out: Path | None, data_root: Path | None) -> None:
    from bench.speed import drawing, sampling
    from datasets.storage.reading import usable_data_root

    timings = sampling.compare(rounds)
    table = Table("workload", "engine", "ms per meta-batch", "quartiles", "tasks per second", "times ours")
    for row in timings.itertuples():
        table.add_row(
            str(row.workload),
            str(row.engine),
            f"{row.median_ms:.2f}",
            f"{row.q1_ms:.2f} to {row.q3_ms:.2f}",
            f"{row.tasks_per_second:,.0f}",
            f"{row.times_ours:.1f}",
        )
    console = wide_console()
    console.print(table)
    shares, left_out = drawing.shares(drawing.cells_of(), usable_data_root(data_root), rounds)
    table = Table("dataset", "ms to draw a meta-batch", "ms of MAML's outer step on it", "share")
    for timed in shares.to_dict("records"):
        numbers = (f"{timed['draw_ms']:.2f}", f"{timed['step_ms']:.1f}", f"{100 * timed['share']:.1f}%")
        table.add_row(str(timed["dataset"]), *numbers)
    console.print(table)
    for reason in left_out:
        console.print(f"left out: {reason}", soft_wrap=True, highlight=False, markup=False)
    if out is not None:
        timings.to_csv(out / "sampling.csv", index=False)
        shares.to_csv(out / "drawing.csv", index=False)
