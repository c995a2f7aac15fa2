"""Errors of typer in our words, also as earlier releases of it word them."""

from __future__ import annotations

import click
import pytest

from bench.cli.usage import in_own_words

JOBS = click.Option(["--jobs", "-j"], type=click.IntRange(min=1))
FOLDER = click.Argument(["folder"], metavar="DIR")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (click.BadParameter("0 is not in the range x>=1.", param=JOBS), "--jobs: got 0; use a number from 1"),
        (
            click.BadParameter("7 is not in the range 0<=x<=1.", param=JOBS),
            "--jobs: got 7; use a number from 0 up to 1",
        ),
        (click.BadParameter("'x' is not a valid integer range.", param=JOBS), "--jobs: got 'x'; use a whole number"),
        (click.BadParameter("'x' is not a valid uuid.", param=JOBS), "--jobs: got 'x'; use a valid uuid"),
        (click.BadParameter("It is wrong.", param=JOBS), "--jobs: it is wrong"),
        (click.MissingParameter(param=FOLDER), "DIR: required, but not given; see: python -m bench --help"),
        (click.NoSuchOption("--jbos"), "there is no option --jbos; see: python -m bench --help"),
        (click.UsageError("No such command 'rnu'."), "there is no command 'rnu'; see: python -m bench --help"),
        (
            click.BadOptionUsage("--jobs", "Option '--jobs' requires an argument."),
            "--jobs: a value must follow it; see: python -m bench --help",
        ),
        (
            click.UsageError("Got unexpected extra arguments (a b)"),
            "'a b' is too much here; a list has commas and no spaces, such as a,b; see: python -m bench --help",
        ),
        (click.UsageError("Something is\nnot right."), "something is not right; see: python -m bench --help"),
    ],
)
def test_a_text_of_typer_is_put_in_our_words(error: click.UsageError, line: str) -> None:
    assert in_own_words(error) == line
