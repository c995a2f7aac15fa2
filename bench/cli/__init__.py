"""The command line: one module per verb. It owns the terminal; everything below it prints nothing."""

from __future__ import annotations

import errno
import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from bench.cli import (
    check,
    compare,
    cost,
    data,
    doctor,
    episodes,
    export,
    leaderboard,
    merge,
    pack,
    predict,
    report,
    repro,
    run,
    score,
    speed,
    tune,
    unpack,
    validate,
)
from bench.cli import list as list_
from bench.cli.options import in_options
from bench.cli.output import prepare_output
from bench.cli.signals import interrupted_by_signals
from bench.cli.usage import in_own_words
from datasets import UserError
from datasets.core.registry import failed_plugins

# the base of what typer raises for options and arguments; releases of typer differ in where it lives
WrongUsage: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "UsageError")
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors of a disk that are for the user to fix
OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)  # a path's, likewise

app = typer.Typer(
    name="bench",
    help="Benchmark of gradient-based meta-learning: run grids, compare algorithms, write reports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("cost")(cost.cost)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("predict")(predict.predict)
app.command("episodes")(episodes.episodes)
app.command("score")(score.score_)
app.command("pack")(pack.pack)
app.command("validate")(validate.validate_)
app.command("unpack")(unpack.unpack_)
app.command("merge")(merge.merge_)
app.command("tune")(tune.tune)
app.command("repro")(repro.repro)
app.command("list")(list_.list_)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check_)
app.command("speed")(speed.speed)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meta-learning-bench {importlib.metadata.version('meta-learning-bench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point: a user's mistake or a full disk is one line and exit code 2, an interruption exit code 130.

    SIGTERM and SIGHUP interrupt as Ctrl-C does, with exit codes 143 and 129.
    """
    prepare_output()
    with interrupted_by_signals():
        _main()


def _main() -> None:
    try:
        sys.exit(app(prog_name=_program(), standalone_mode=False))
    except WrongUsage as error:
        _end_of_usage(error)
    except UserError as error:
        _end(in_options(error))
    except OSError as error:
        if error.errno in OUT_OF_REACH:
            _end(
                f"cannot use {error.filename or 'a file'}: {error.strerror}; give another path, or fix its permissions"
            )
        if error.errno not in DISK:
            raise
        where = f" {error.filename}" if error.filename else ""
        _end(f"cannot write{where}: {error.strerror}; fix that, and start the same command again")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for failure in failed_plugins():
            _say("[bold yellow]warning:[/]", failure)


def _program() -> str:
    """Return how the command was called, as a module or by its script; completion is the script's in either case."""
    completes = any(argument.endswith("-completion") for argument in sys.argv[1:])
    return "bench" if completes or Path(sys.argv[0]).name == "bench" else "python -m bench"


def _end_of_usage(error: Any) -> NoReturn:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        sys.exit(error.exit_code)
    _end(in_own_words(error))


def _end(message: str) -> NoReturn:
    _say("[bold red]error:[/]", message)
    sys.exit(2)


def _say(mark: str, message: str) -> None:
    Console(stderr=True).print(f"{mark} {escape(message)}", soft_wrap=True, highlight=False)
