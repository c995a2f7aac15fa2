"""``bench score FILE``: put predictions of another framework into an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.cli import completion
from bench.cli.common import CacheDir, Import, import_named, one_of


def score_(
    predictions: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file with a row per query; see docs/external.md.")
    ],
    episodes: Annotated[Path, typer.Option(help="The file that `bench episodes` wrote.")],
    name: Annotated[str, typer.Option(help="What the leaderboard calls the method.")],
    source: Annotated[str, typer.Option(help="Framework, paper or author, in a few words.")],
    train_episodes: Annotated[int, typer.Option(min=1, help="Meta-train episodes that it consumed; 1 for none.")],
    out: Annotated[Path, typer.Option(help="Folder of the experiment.")],
    mode: Annotated[
        str | None,
        typer.Option(
            help="transductive: a query's prediction depends on the other queries; inductive: it does not; both: a "
            "method without batch statistics. Not for regression.",
            autocompletion=completion.query_modes,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    train_seconds: Annotated[float | None, typer.Option(min=0, help="Of training, as its author tells.")] = None,
    adapt_ms: Annotated[float | None, typer.Option(min=0, help="Of adapting to one task, likewise.")] = None,
    memory_mib: Annotated[float | None, typer.Option(min=0, help="Of training and testing, likewise.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
) -> None:
    """Score predictions of another framework on exported episodes, and store them as a cell marked external."""
    from bench.analysis.metrics import is_percentage, metric_name
    from bench.external.score import score
    from bench.spec.external import QUERY_MODES

    scored = score(
        predictions,
        episodes,
        out,
        name=name,
        source=source,
        train_episodes=train_episodes,
        mode=None if mode is None else one_of("--mode", mode, QUERY_MODES),
        seed=seed,
        train_seconds=train_seconds,
        adapt_ms=adapt_ms,
        memory_mib=memory_mib,
        data_root=data_root,
        plugins=import_named(import_),
    )
    tested = {key.removeprefix("test_"): value for key, value in scored.summary.items() if key.startswith("test_")}
    numbers = ", ".join(
        f"{metric_name(key)} {100 * value:.1f}%" if is_percentage(key) else f"{metric_name(key)} {value:.4g}"
        for key, value in tested.items()
    )
    line = f"{scored.cell}: {numbers}; `python -m bench report {out}` shows it beside the others"
    Console().print(line, soft_wrap=True, highlight=False, markup=False)
