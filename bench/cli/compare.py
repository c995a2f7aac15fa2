"""``bench compare A B``: two algorithms of one experiment, and what may be claimed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from bench.cli.common import comma_separated, one_of
from bench.process.plugins import import_plugins

if TYPE_CHECKING:
    from bench.analysis.comparison import Comparison

DEFAULT = Path("results/grid")
FORMATS = ("text", "csv", "json")
MODES: tuple[Literal["transductive", "inductive"], ...] = ("transductive", "inductive")
METRICS: tuple[Literal["accuracy", "nll", "mse"], ...] = ("accuracy", "nll", "mse")


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="An algorithm of the experiment.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one; effects are A minus B.")],
    results: Annotated[Path, typer.Option(metavar="DIR", help="The folder that `bench run` wrote.")] = DEFAULT,
    dataset: Annotated[list[str] | None, typer.Option(help="Only this dataset; may be repeated.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="Only this shape, as '5-way 1-shot'; may be repeated.")
    ] = None,
    mode: Annotated[str, typer.Option(help="transductive or inductive.")] = "transductive",
    metric: Annotated[str | None, typer.Option(help="accuracy, nll or mse; default: accuracy, or mse.")] = None,
    format_: Annotated[str, typer.Option("--format", help="text, csv or json.")] = "text",
    import_: Annotated[
        str | None, typer.Option("--import", help="Modules that register more, comma-separated.")
    ] = None,
) -> None:
    """Compare two algorithms on the seeds and episodes that they share: how much, how surely, what may be claimed."""
    from bench.analysis.compare import compare as compare_algorithms
    from bench.analysis.interpret import claims
    from bench.report.escaping import to_csv

    import_plugins(comma_separated(import_, "--import") or ())
    one_of("--format", format_, FORMATS)
    found = compare_algorithms(
        results,
        a,
        b,
        datasets=dataset or (),
        shapes=shape or (),
        mode=one_of("--mode", mode, MODES),
        metric=None if metric is None else one_of("--metric", metric, METRICS),
    )
    if format_ == "text":
        console = Console(highlight=False, markup=False)
        for one in found.pairs:
            for line in (*_numbers(one, len(found.pairs)), "", *claims(one), ""):
                console.print(line)
        for words in found.missing:
            console.print(f"not compared: {words}")
    elif format_ == "csv":
        typer.echo(to_csv(found.frame), nl=False)
    else:
        typer.echo(found.frame.to_json(orient="records", indent=1))


def _numbers(one: Comparison, count: int) -> list[str]:
    """The comparison's numbers, a line each, aligned."""
    from bench.analysis.interpret import number

    points = one.metric.startswith("accuracy")
    better = "higher" if one.higher_is_better else "lower"
    metric = f"{one.metric.replace('_', ', ')}{', %' if points else ''} ({better} is better)"
    effect, new, chance = one.effect, one.effect_new, one.improvement
    low_high = "{} to {}".format
    classes = f"; {one.n_classes} classes" if one.n_classes else ""
    lines = [
        ("on", f"{len(one.seeds)} seed(s) x {one.n_episodes} episodes that both share{classes}"),
        (one.a, number(one, one.mean_a)),
        (one.b, number(one, one.mean_b)),
        ("difference", number(one, effect.mean, signed=True)),
        ("  95%, these classes", low_high(*(number(one, x, signed=True) for x in (effect.low, effect.high)))),
    ]
    if new.low == new.low:
        lines.append(("  95%, new classes", low_high(*(number(one, x, signed=True) for x in (new.low, new.high)))))
    test = "t, crossed variance" if one.scope == "new training runs" else "sign-flip over episodes"
    adjusted = f"{one.p_adjusted:.2g} after Holm over {count} comparisons; " if count > 1 else ""
    lines += [
        ("p", f"{adjusted}{one.p:.2g} {'alone ' if adjusted else ''}({test})"),
        ("  these checkpoints", f"{one.p_sign_flip:.2g} (sign-flip over episodes), {one.p_wilcoxon:.2g} (Wilcoxon)"),
        ("P(better on an episode)", f"{chance.mean:.2f} ({chance.low:.2f} to {chance.high:.2f})"),
    ]
    width = max(len(head) for head, _ in lines)
    return [f"{one.dataset} {one.shape}: {metric}", *(f"  {head:<{width}}  {text}" for head, text in lines)]
