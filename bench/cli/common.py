"""Functions that several verbs share: reading lists from options, and printing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from bench.cli import completion
from bench.process.plugins import import_plugins
from bench.spec.problems import shortened
from bench.tracking.tracker import TRACKERS
from datasets import UserError
from datasets.core.registry import suggest
from datasets.storage.paths import CACHE_VARIABLE, user_path

Value = TypeVar("Value", bound=str)
Made = TypeVar("Made")

MOST_DIGITS = 18  # of a whole number on the command line
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Replace a value of the grid: inner_lr=0.1, maml.test_steps=5, train.episodes=4000, ...; may be repeated.",
        autocompletion=completion.settings,
    ),
]
Track = Annotated[
    str | None,
    typer.Option(
        help="Log each cell and each trial as a run of tensorboard or mlflow.",
        autocompletion=completion.choice(*TRACKERS),
    ),
]
Import = Annotated[
    str | None,
    typer.Option("--import", help="Modules to import that register algorithms, datasets or networks, comma-separated."),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--datasets", "--dataset", help="Only these, comma-separated.", autocompletion=completion.datasets),
]


def use_cache(folder: Path | None) -> Path | None:
    """Let this process and those that it starts build and find the caches of datasets in ``folder``."""
    if folder is not None:
        path = user_path(folder, "cache_dir").absolute()
        if path.is_file():
            raise UserError(f"{folder} is a file; give the folder that holds the caches", "cache_dir")
        os.environ[CACHE_VARIABLE] = str(path)
    return folder


CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        help="Folder of the datasets' caches; default: $BENCH_CACHE, else the user's cache.",
        callback=use_cache,
    ),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, ...", autocompletion=completion.choice(*completion.DEVICES))
]
WIDTH_ELSEWHERE = 160  # columns where the output is not a terminal: enough for the widest table


def wide_console() -> Console:
    """The terminal, or a file or pipe in which tables keep all of their numbers."""
    console = Console()
    return console if folds(console) else Console(width=WIDTH_ELSEWHERE)


def folds(console: Console) -> bool:
    """Return whether long lines are folded: in a terminal, or where the environment gives a width."""
    return console.is_terminal or "COLUMNS" in os.environ


def counted(n: int, what: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def end_where_panels_failed(failed: Sequence[str]) -> None:
    """Exit with code 1 where panels of a report could not be drawn, with how many; the log has the reasons."""
    if failed:
        message = f"{counted(len(failed), 'panel')} could not be drawn, for the reasons above"
        console = Console(stderr=True)
        console.print(f"{message}; the rest of the report is whole", soft_wrap=True, highlight=False, markup=False)
        raise typer.Exit(1)


def comma_separated(text: str | None, option: str) -> tuple[str, ...] | None:
    """``"a, b"`` as ``("a", "b")``; None where the option is not given, UserError where it is empty."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise UserError(f"{option}: got '{text}'; give at least one, separated by commas, or leave the option out")
    return parts


def import_named(modules: str | None) -> tuple[str, ...]:
    """Import the modules that ``--import`` names, separated by commas, and return their names."""
    names = comma_separated(modules, "--import") or ()
    import_plugins(names)
    return names


def comma_separated_all(texts: Sequence[str] | None, option: str) -> tuple[str, ...]:
    """Return the parts of an option that is given once with commas, or several times; empty where it is not given."""
    return tuple(part for text in texts or () for part in comma_separated(text, option) or ())


def whole_numbers(text: str | None, option: str, least: int) -> tuple[int, ...] | None:
    """``"1,5"`` as ``(1, 5)``; raises UserError with the part that is not a whole number from ``least``."""
    parts = comma_separated(text, option)
    if parts is None:
        return None
    for part in parts:
        if not part.isdecimal() or len(part) > MOST_DIGITS or int(part) < least:
            raise UserError(f"{option}: got {shortened(part)}; use whole numbers from {least}, such as {option} 1,5")
    return tuple(int(part) for part in parts)


def assignments(texts: Sequence[str] | None, option: str) -> dict[str, object]:
    """Return ``["inner_lr=0.1", "maml.test_steps=5"]`` as a mapping; raise UserError for anything else."""
    from bench.spec.yaml_file import read_value

    values: dict[str, object] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name.strip() and equals):
            raise UserError(f"{option}: got {shortened(text)}; use NAME=VALUE, such as {option} inner_lr=0.1")
        if name.strip() in values:
            raise UserError(f"{option}: {name.strip()} is given more than once")
        try:
            values[name.strip()] = read_value(value)
        except UserError as error:
            raise UserError(f"{option} {shortened_text(text)}: {error.message}") from None
    return values


def with_values(texts: Sequence[str] | None, use: Callable[[Mapping[str, object]], Made]) -> Made:
    """Return what ``use`` makes of the values of ``--set``; raise UserError with the one that is wrong, as typed."""
    values = assignments(texts, "--set")
    try:
        return use(values)
    except UserError as error:
        try:
            use({})
        except UserError:
            raise error from None  # whatever the values are
        for text in texts or ():
            try:
                use(assignments([text], "--set"))
            except UserError as own:
                raise UserError(f"--set {shortened_text(text)}: {own.message}") from None
        raise error  # they are wrong together


def shortened_text(text: str, most: int = 80) -> str:
    """Return a text of the command line, in one line and not long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def one_of(option: str, value: str, allowed: tuple[Value, ...]) -> Value:
    """``value`` where it is allowed; raises UserError with what is."""
    for choice in allowed:
        if choice == value:
            return choice
    raise UserError(f"{option}: got '{value}'{suggest(value, list(allowed))}; use one of {', '.join(allowed)}")


def below_here(path: Path) -> Path:
    """``path`` from the working directory where it lies below that; the whole path elsewhere."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
