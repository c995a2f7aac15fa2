"""``bench check``: whether an algorithm keeps the contract."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench.cli.common import comma_separated
from bench.process.plugins import import_plugins

MARKS = {True: "[green]ok[/]", False: "[bold red]FAILS[/]", None: "[dim]not applicable[/]"}


def check_(
    algorithm: Annotated[str, typer.Argument(help="The algorithm; `bench list` has the names.")],
    import_: Annotated[
        str | None, typer.Option("--import", help="Modules that register more, comma-separated.")
    ] = None,
) -> None:
    """Check that an algorithm keeps the contract: deterministic, tasks apart, state unchanged, learns, and so on."""
    from algorithms.testing.checks import check
    from bench.execution.worker import set_up_process

    import_plugins(comma_separated(import_, "--import") or ())
    set_up_process()
    console = Console()
    findings = check(algorithm)
    for finding in findings:
        message = f": {escape(finding.message)}" if finding.message else ""
        console.print(f"{MARKS[finding.passed]}  {escape(finding.check)}{message}", soft_wrap=True, highlight=False)
    failed = sum(finding.passed is False for finding in findings)
    console.print(f"{algorithm}: {failed} of {len(findings)} checks fail" if failed else f"{algorithm}: conforms")
    if failed:
        raise typer.Exit(1)
