"""``bench list``: the algorithms, datasets, networks and grids, and the details of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_origin

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from algorithms import ALGORITHMS
from algorithms.networks.entry import NETWORKS
from bench.cli import completion
from bench.cli.common import Import, counted, import_named, wide_console
from bench.spec.shipped_grids import description, grid_names
from datasets import DATASETS
from datasets.core.registry import unknown

if TYPE_CHECKING:
    from algorithms import AlgorithmEntry
    from algorithms.core.hyperparameters import Choice, Range
    from algorithms.networks.entry import NetworkEntry
    from datasets import DatasetEntry


def list_(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this algorithm, network, dataset or grid in detail.", autocompletion=completion.anything
        ),
    ] = None,
    import_: Import = None,
) -> None:
    """List algorithms, networks, datasets and grids, or show one of them in detail."""
    import_named(import_)
    console = wide_console()
    if name is None:
        _everything(console)
        return
    known = [*ALGORITHMS.names(), *NETWORKS.names(), *DATASETS.names(), *grid_names()]
    if name not in known:
        raise unknown("name", name, known)
    if name in ALGORITHMS:
        _algorithm(console, ALGORITHMS[name])
    if name in NETWORKS:
        _network(console, NETWORKS[name])
    if name in DATASETS:
        _dataset(console, DATASETS[name])
    if name in grid_names():
        _grid(console, name)


def _everything(console: Console) -> None:
    learners = [(entry.name, entry.summary, _learns(entry), entry.paper) for entry in ALGORITHMS]
    _print(console, "algorithms", ("name", "what", "learns", "paper"), learners)
    for title, rows in (
        ("networks", [(entry.name, entry.summary, entry.paper) for entry in NETWORKS]),
        ("datasets", [(entry.name, entry.summary, entry.paper) for entry in DATASETS]),
        ("grids", [(name, description(name), "") for name in grid_names()]),
    ):
        _print(console, title, ("name", "what", "paper"), rows)


def _algorithm(console: Console, entry: AlgorithmEntry) -> None:
    from algorithms.core.hyperparameters import tuning_space

    _lines(
        console,
        f"algorithm {entry.name}: {entry.summary}",
        [
            ("paper", entry.paper),
            ("learns", _learns(entry)),
            ("bounds the others as their", entry.bound or ""),
            ("missing", entry.missing() or ""),
        ],
    )
    space = tuning_space(entry.hparams)
    rows = []
    for name, field in entry.hparams.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        tried = _tried(space[name]) if name in space else ""
        rows.append((name, _text(field.default), tried, str(field.description or ""), str(extra.get("source", ""))))
    _print(console, "hyper-parameters", ("name", "default", "tuned in", "what", "source"), rows)
    presets = []
    for preset in entry.presets:
        shape = [f"{preset.n_way}-way"] * (preset.n_way is not None) + [f"{preset.n_shot}-shot"] * (
            preset.n_shot is not None
        )
        values = ", ".join(f"{name}={_text(value)}" for name, value in preset.values.items())
        presets.append((preset.family or "all", " ".join(shape) or "all", values, preset.source))
    if presets:
        _print(console, "presets", ("datasets like", "shape", "values", "source"), presets)


def _learns(entry: AlgorithmEntry) -> str:
    """Return the kinds of dataset that an algorithm learns, and the traits that it requires, in words."""
    return ", ".join([*entry.kinds, *(f"only with the trait {trait}" for trait in entry.requires)])


def _network(console: Console, entry: NetworkEntry) -> None:
    _lines(
        console,
        f"network {entry.name}: {entry.summary}",
        [("paper", entry.paper), ("in a grid", f"network: {{name: {entry.name}}}")],
    )
    rows = []
    for name, field in entry.options.model_fields.items():
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        rows.append((name, _text(default), _values(field.annotation), str(field.description or "")))
    _print(console, "options", ("name", "default", "values", "what"), rows)


def _values(annotation: object) -> str:
    """Return the values that an option of a network may have, in words."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    words = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}
    return next((text for kind, text in words.items() if annotation is kind or get_origin(annotation) is kind), "")


def _dataset(console: Console, entry: DatasetEntry) -> None:
    size = "known once it is loaded" if entry.input_shape is None else " x ".join(map(str, entry.input_shape))
    _lines(
        console,
        f"dataset {entry.name}: {entry.summary}",
        [
            ("paper", entry.paper),
            ("kind", entry.kind),
            ("input", size),
            ("presets and networks of", entry.family),
            ("traits", ", ".join(entry.traits)),
            ("files and licence", f"python -m bench data list; a few episodes: python -m bench data show {entry.name}"),
        ],
    )


def _grid(console: Console, name: str) -> None:
    from bench.spec.grid import load_grid

    grid = load_grid(name)
    budget = f"{grid.train.episodes:,} episodes" if grid.train.episodes else f"{grid.train.seconds:g} s"
    _lines(
        console,
        f"grid {name}: {grid.description}",
        [
            ("cells", counted(len(grid.cells()), "cell")),
            ("algorithms", ", ".join(grid.algorithms)),
            ("seeds", ", ".join(map(str, grid.seeds))),
            ("training", f"{budget}, validated every {grid.train.eval_every:,} outer steps"),
            ("test", f"{grid.evaluation.test_episodes:,} episodes, {grid.evaluation.n_query} queries per class"),
        ],
    )
    rows = []
    for use in grid.datasets:
        ways = "" if use.entry.kind != "classification" else ", ".join(map(str, use.all_ways))
        changes = {**use.train, **use.evaluation, **use.network.model_dump(exclude_none=True)}
        of_its_own = ", ".join(f"{key}={_text(value)}" for key, value in changes.items())
        rows.append((use.name, ways, ", ".join(map(str, use.shots)), ", ".join(use.algorithms), of_its_own))
    _print(console, "datasets", ("name", "ways", "shots", "only for", "of its own"), rows)
    settings = [
        (
            ", ".join(entry.algorithms) or "all that have it",
            ", ".join([*entry.datasets, *(f"{n}-way" for n in entry.ways), *(f"{n}-shot" for n in entry.shots)])
            or "all",
            ", ".join(f"{key}={_text(value)}" for key, value in (entry.set or {}).items()) or f"tuned in {entry.tuned}",
        )
        for entry in grid.settings
    ]
    if settings:
        _print(console, "settings", ("algorithms", "where", "values"), settings)


def _tried(space: Range | Choice) -> str:
    """Return what a search tries, in words."""
    options = getattr(space, "options", None)
    if options is not None:
        return " or ".join(map(_text, options))
    return f"{_text(space.low)} to {_text(space.high)}{' (log)' if space.log else ''}"  # type: ignore[union-attr]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _lines(console: Console, title: str, lines: Iterable[tuple[str, str]]) -> None:
    console.print(escape(title), style="bold", soft_wrap=True, highlight=False)
    for head, text in lines:
        if text:
            console.print(f"{head}: {escape(text)}", soft_wrap=True, highlight=False)
    console.print()


def _print(console: Console, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(head, no_wrap=head == "name")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    console.print()
