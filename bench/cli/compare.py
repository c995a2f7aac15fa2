"""``bench compare A B``: the difference of two algorithms, its interval, and the claims that it supports."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algorithms.core.modes import MODES
from bench.cli import completion
from bench.cli.common import Datasets, Import, comma_separated_all, counted, folds, import_named, one_of
from bench.cli.tables import print_note
from datasets import UserError

if TYPE_CHECKING:
    from bench.analysis.comparison import Comparison

DEFAULT = Path("results/grid")
FORMATS = ("text", "csv", "json")
UNFOLDED = 10_000  # columns of a file or a pipe


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="An algorithm of the experiment.", autocompletion=completion.algorithms)
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B", help="Another algorithm; effects are A minus B.", autocompletion=completion.algorithms
        ),
    ],
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help=f"The folder that `bench run` wrote; default: {DEFAULT}.")
    ] = None,
    datasets: Datasets = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option("--shapes", "--shape", help="Only these, comma-separated, such as '5-way 1-shot'."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="transductive or inductive, for classification; default: transductive.",
            autocompletion=completion.choice(*MODES),
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="accuracy, nll, mse or return; default: accuracy, mse for regression, return for control.",
            autocompletion=completion.choice(*completion.METRICS),
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Compare results at this budget of training episodes (see `evaluation.test_at`)."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Compare after this many inner steps at test; default: after the last."),
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", help="text, csv or json.", autocompletion=completion.choice(*FORMATS)),
    ] = "text",
    import_: Import = None,
) -> None:
    """Compare two algorithms on shared seeds and episodes: the difference, its interval, and what may be claimed."""
    from bench.analysis.claims import claims
    from bench.analysis.compare import compare as compare_algorithms
    from bench.analysis.scores import METRICS
    from bench.report.escaping import to_csv

    import_named(import_)
    one_of("--format", format_, FORMATS)
    if results is None and not DEFAULT.exists():
        raise UserError(f"there is no {DEFAULT} here; name the folder that `python -m bench run` wrote", "results")
    comparisons = compare_algorithms(
        DEFAULT if results is None else results,
        a,
        b,
        datasets=comma_separated_all(datasets, "--datasets"),
        shapes=comma_separated_all(shapes, "--shapes"),
        mode=None if mode is None else one_of("--mode", mode, MODES),
        metric=None if metric is None else one_of("--metric", metric, METRICS),
        budget=budget,
        steps=steps,
    )
    if format_ == "text":
        console = Console(highlight=False, markup=False)
        columns = console.width if folds(console) else UNFOLDED
        for comparison in comparisons.pairs:
            for line in (*_numbers(comparison, len(comparisons.pairs), columns), "", *claims(comparison), ""):
                print_note(console, line)
        for words in comparisons.missing:
            print_note(console, f"not compared: {words}")
    elif format_ == "csv":
        typer.echo(to_csv(comparisons.frame), nl=False)
    else:
        typer.echo(comparisons.frame.to_json(orient="records", indent=1))


def _numbers(comparison: Comparison, count: int, columns: int) -> list[str]:
    """Return the comparison's numbers, a line each, aligned, and folded to the columns of the terminal."""
    from bench.analysis.claims import number, tested_on
    from bench.analysis.metrics import direction, is_percentage, metric_name

    unit = ", %" if is_percentage(comparison.metric) else ""
    metric = f"{metric_name(comparison.metric)}{unit} ({direction(comparison.metric)})"
    effect, new, chance = comparison.effect, comparison.effect_new, comparison.improvement
    low_high = "{} to {}".format
    seeds = counted(len(comparison.seeds), "seed")
    classes = f"; {comparison.n_classes} classes" if comparison.n_classes else ""
    lines = [
        ("on", f"{seeds} x {counted(comparison.n_episodes, 'episode')} that both share{classes}"),
        (comparison.a, number(comparison, comparison.mean_a)),
        (comparison.b, number(comparison, comparison.mean_b)),
        ("difference", number(comparison, effect.mean, signed=True)),
        (
            f"  95%, {tested_on(comparison)}",
            low_high(*(number(comparison, x, signed=True) for x in (effect.low, effect.high))),
        ),
    ]
    if new.low == new.low:
        lines.append(
            ("  95%, new classes", low_high(*(number(comparison, x, signed=True) for x in (new.low, new.high))))
        )
    test = "t, crossed variance" if comparison.scope == "new training runs" else "sign-flip over episodes"
    adjusted = f"{comparison.p_adjusted:.2g} after Holm over {count} comparisons; " if count > 1 else ""
    lines += [
        ("p", f"{adjusted}{comparison.p:.2g} {'alone ' if adjusted else ''}({test})"),
        (
            "  these checkpoints",
            f"{comparison.p_sign_flip:.2g} (sign-flip over episodes), {comparison.p_wilcoxon:.2g} (Wilcoxon)",
        ),
        ("P(better on an episode)", f"{chance.mean:.2f} ({chance.low:.2f} to {chance.high:.2f})"),
    ]
    width = max(len(head) for head, _ in lines)
    folded = fill(f"{comparison.dataset} {comparison.shape}: {metric}", columns, subsequent_indent="  ")
    indent = " " * (width + 4)
    return [
        folded,
        *(
            fill(f"  {head:<{width}}  {text}", max(columns, len(indent) + 20), subsequent_indent=indent)
            for head, text in lines
        ),
    ]
