"""``bench check``: check that an algorithm keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from algorithms import ALGORITHMS
from bench.cli import completion
from bench.cli.common import Import, assignments, import_named
from datasets import UserError

if TYPE_CHECKING:
    from algorithms import AlgorithmEntry

MARKS = {True: "[green]ok[/]", False: "[bold red]FAILS[/]", None: "[dim]not applicable[/]"}


def check_(
    algorithm: Annotated[
        str,
        typer.Argument(help="The algorithm; `bench list` has the names.", autocompletion=completion.algorithms),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Set a hyper-parameter, such as inner_lr=0.1; may be repeated."
        ),
    ] = None,
    import_: Import = None,
) -> None:
    """Check that an algorithm keeps the contract: deterministic, tasks independent, state unchanged, and so on."""
    from algorithms.testing.checks import check
    from bench.execution.in_process import set_up_process

    import_named(import_)
    set_up_process()
    console = Console()
    findings = check(_with_values(algorithm, assignments(set_, "--set")))
    for finding in findings:
        message = f": {escape(finding.message)}" if finding.message else ""
        console.print(f"{MARKS[finding.passed]}  {escape(finding.check)}{message}", soft_wrap=True, highlight=False)
    failed = sum(finding.passed is False for finding in findings)
    console.print(f"{algorithm}: {failed} of {len(findings)} checks fail" if failed else f"{algorithm}: conforms")
    if failed:
        raise typer.Exit(1)


def _with_values(algorithm: str, values: Mapping[str, object]) -> AlgorithmEntry:
    """Return the algorithm's entry with these hyper-parameters instead of its paper's."""
    from pydantic import ValidationError

    from algorithms.core.presets import Preset
    from bench.spec.problems import first_problem

    entry = ALGORITHMS[algorithm]
    try:
        entry.hparams.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{algorithm}: {first_problem(error, entry.hparams)}", "hparams") from None
    return replace(entry, presets=(*entry.presets, Preset(values, "--set"))) if values else entry
