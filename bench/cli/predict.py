"""``bench predict DIR|EXPORT``: adapt a trained learner to a folder of images or a table, and predict for another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from algorithms.core.modes import MODES
from bench.cli import completion
from bench.cli.common import CacheDir, Import, comma_separated, one_of, wide_console
from bench.cli.tables import print_table

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.table_model import ReportTable

FORMATS = ("table", "csv")


def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `bench run` or `bench export` wrote.")],
    support: Annotated[Path, typer.Option(help="Images in class folders, or a table, which the learner adapts to.")],
    query: Annotated[
        Path,
        typer.Option(help="Images or a table to predict for; where the answers are known, the score is printed too."),
    ],
    algorithm: Annotated[
        str | None,
        typer.Option(help="Of the cell; --dataset, --shape and --seed likewise.", autocompletion=completion.algorithms),
    ] = None,
    dataset: Annotated[str | None, typer.Option(autocompletion=completion.dataset)] = None,
    shape: Annotated[str | None, typer.Option(help="Such as '5-way 1-shot'.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Default: the lowest.")] = None,
    cell: Annotated[
        str | None,
        typer.Option(help="The cell's id, instead of the options before.", autocompletion=completion.cells),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            help="inductive: each query by itself; transductive: all queries normalized together.",
            autocompletion=completion.choice(*MODES),
        ),
    ] = "inductive",
    format_: Annotated[
        str,
        typer.Option("--format", help="table or csv.", autocompletion=completion.choice(*FORMATS)),
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write the table to this CSV file too.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the datasets lie; seldom needed.")] = None,
    cache_dir: CacheDir = None,
    import_: Import = None,
) -> None:
    """Adapt a trained learner to a few labelled images, rows or texts, and predict for others, with probabilities."""
    from bench.learner.folders import predictions
    from bench.learner.load import load_learner
    from bench.report.escaping import to_csv
    from bench.store.atomic import absolute, disk_errors_explained, make_writable, replace_file

    one_of("--format", format_, FORMATS)
    learner = load_learner(
        folder,
        algorithm=algorithm,
        dataset=dataset,
        shape=shape,
        seed=seed,
        cell=cell,
        exact=False,
        mode=one_of("--mode", mode, MODES),
        data_root=data_root,
        plugins=comma_separated(import_, "--import") or (),
    )
    made = predictions(learner, support, query)
    table, score = made.table, made.score
    if out is not None:
        make_writable(absolute(out).parent)
        with disk_errors_explained(out):
            replace_file(absolute(out), to_csv(table, "%.6f").encode())
    if made.n_unknown:
        assert learner.trained.form.text is not None
        token = learner.trained.form.text.tokens.removesuffix("s")
        note = f"note: {made.n_unknown} of the {len(table)} queries without a single {token} that the learner knows"
        Console(stderr=True).print(note, soft_wrap=True, highlight=False, markup=False)
    if format_ == "csv":
        typer.echo(to_csv(table, "%.6f"), nl=False)
        return
    print_table(wide_console(), _shown(table, f"{learner.trained.name}, {mode}"))
    if score is not None:
        shown = f"R² on {len(table)} queries: {score:.3f}"
        if learner.trained.form.kind == "classification":
            shown = f"accuracy on {len(table)} queries: {100 * score:.1f}%"
        Console().print(shown, highlight=False)


def _shown(table: pd.DataFrame, title: str) -> ReportTable:
    from bench.report.table_model import Column, table_of

    shares = [str(name).startswith("p(") for name in table.columns]
    columns = [Column(str(name), numeric=kind.kind == "f") for name, kind in table.dtypes.items()]
    rows = (
        [
            f"{value:.3f}" if share else f"{value:.6g}" if isinstance(value, float) else str(value)
            for value, share in zip(row, shares, strict=True)
        ]
        for row in table.itertuples(index=False)
    )
    return table_of(title, columns, rows)
