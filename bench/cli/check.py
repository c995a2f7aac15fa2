"""``bench check``: check that an algorithm or a network keeps its contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from algorithms import ALGORITHMS
from algorithms.networks.entry import NETWORKS
from bench.cli import completion
from bench.cli.common import Import, import_named, whole_numbers, with_values
from datasets import UserError
from datasets.core.registry import unknown

if TYPE_CHECKING:
    from algorithms import AlgorithmEntry
    from algorithms.testing import Finding

MARKS = {True: "[green]ok[/]", False: "[bold red]FAILS[/]", None: "[dim]not applicable[/]"}
N_OUTPUTS = 3  # of a network that is checked


def check_(
    name: Annotated[
        str,
        typer.Argument(
            help="An algorithm or a network; `bench list` has the names. MODULE:CLASS for an nn.Module of yours.",
            autocompletion=completion.checked,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set a hyper-parameter, such as inner_lr=0.1, or an option of the network; may be repeated.",
            autocompletion=completion.own_settings,
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="3,84,84", help="The shape of a network's inputs; default: a usual one that it takes."),
    ] = None,
    import_: Import = None,
) -> None:
    """Check that an algorithm or a network keeps its contract: deterministic, tasks independent, and so on."""
    from bench.execution.in_process import fill_new_buffers, set_up_process
    from bench.spec.network_by_name import is_network

    import_named(import_)
    if name not in ALGORITHMS and not is_network(name):
        raise unknown("algorithm or network", name, [*ALGORITHMS.names(), *NETWORKS.names()])
    shape = whole_numbers(input_shape, "--input-shape", least=1)
    set_up_process()
    fill_new_buffers(True)
    console = Console()
    findings = _of_algorithm(name, set_, shape) if name in ALGORITHMS else _of_network(console, name, set_, shape)
    for finding in findings:
        message = f": {escape(finding.message)}" if finding.message else ""
        console.print(f"{MARKS[finding.passed]}  {escape(finding.check)}{message}", soft_wrap=True, highlight=False)
    failed = sum(finding.passed is False for finding in findings)
    result = f"{name}: {failed} of {len(findings)} checks fail" if failed else f"{name}: conforms"
    console.print(escape(result), soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(1)


def _of_algorithm(name: str, texts: Sequence[str] | None, shape: tuple[int, ...] | None) -> list[Finding]:
    from algorithms.testing.checks import check

    if shape is not None:
        raise UserError(f"{name} is an algorithm, which is checked on inputs of its own; leave it out", "input_shape")
    return check(with_values(texts, partial(_changed, ALGORITHMS[name])))


def _of_network(
    console: Console, name: str, texts: Sequence[str] | None, shape: tuple[int, ...] | None
) -> list[Finding]:
    from algorithms.testing.network_checks import check_network
    from bench.spec.network_by_name import network_by_name

    network, shape = with_values(texts, lambda values: network_by_name(name, values, shape, N_OUTPUTS))
    where = f"inputs of shape {' x '.join(map(str, shape))}, {network.n_features} features"
    console.print(escape(f"network {name}: {where}"), soft_wrap=True, highlight=False)
    return check_network(network, shape)


def _changed(entry: AlgorithmEntry, values: Mapping[str, object]) -> AlgorithmEntry:
    """Return the algorithm's entry with these hyper-parameters instead of its paper's."""
    from pydantic import ValidationError

    from algorithms.core.presets import Preset
    from bench.spec.problems import first_problem

    try:
        entry.hparams.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{entry.name}: {first_problem(error, entry.hparams)}", "hparams") from None
    return replace(entry, presets=(*entry.presets, Preset(values, "--set"))) if values else entry
