"""What typer says of wrong options and arguments, in the words of this package: one line that says what to do.

Releases of typer differ in the classes of these errors, so their texts are read; values are checked by click in earlier
releases and by pydantic in later ones, whose problem is the cause of the error.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from bench.spec.problems import shortened
from datasets.core.registry import suggest

KINDS = {"int": "a whole number", "integer": "a whole number", "float": "a number", "bool": "true or false"}
BOUNDS = {"ge": "from", "gt": "above", "le": "up to", "lt": "below"}  # by pydantic's names
HELP = "see: {command} --help"

_INVALID = re.compile(r"Invalid value for '?(?P<name>[^'\s:]+)'?[^:]*: (?P<why>.*)")
_RANGE = re.compile(r"(?P<value>\S+) is not in the range (?:(?P<low>[^x]+)<=x|x>=(?P<least>.+)|x)(?:<=(?P<high>.+))?")
_KIND = re.compile(r"(?P<value>'.*') is not a valid (?P<kind>\w+)(?: range)?")
_MISSING = re.compile(r"Missing (?:argument|option|parameter) '(?P<name>[^']+)'")
_NO_OPTION = re.compile(r"No such option:? '?(?P<name>-[^\s']*)'?")
_NO_COMMAND = re.compile(r"No such command '(?P<name>.*?)'")
_NO_VALUE = re.compile(r"Option '(?P<name>[^']+)' requires an argument")
_TOO_MANY = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((?P<words>.*)\)")


def in_own_words(error: Any) -> str:
    """Return what is wrong with the arguments.

    Args:
        error: of typer: a ``UsageError``, with ``format_message()`` and the context ``ctx`` of its command.
    """
    text = " ".join(str(error.format_message()).split())
    command = error.ctx.command_path if error.ctx is not None else "python -m bench"
    look = HELP.format(command=command)
    if found := _INVALID.fullmatch(text.rstrip(".")):
        return f"{_name(found['name'])}: {_why(found['why'], error.__cause__)}"
    if found := _MISSING.match(text):
        return f"{_name(found['name'])}: required, but not given; {look}"
    if found := _NO_OPTION.match(text):
        return f"there is no option {found['name']}{suggest(found['name'], _options(error))}; {look}"
    if found := _NO_COMMAND.match(text):
        known = list(getattr(getattr(error.ctx, "command", None), "commands", ()))
        return f"there is no command '{found['name']}'{suggest(found['name'], known)}; {look}"
    if found := _NO_VALUE.match(text):
        return f"{found['name']}: a value must follow it; {look}"
    if found := _TOO_MANY.match(text):
        return f"'{found['words']}' is too much here; a list has commas and no spaces, such as a,b; {look}"
    return f"{text[:1].lower()}{text[1:].rstrip('.')}; {look}"


def _name(name: str) -> str:
    """Return an option as it is, and an argument as the help shows it."""
    return name if name.startswith("-") else name.upper()


def _why(why: str, cause: Any) -> str:
    """Return what is wrong with a value."""
    if isinstance(cause, ValidationError):
        problem = cause.errors()[0]
        limits = problem.get("ctx", {})
        bounds = [f"{words} {limits[name]:g}" for name, words in BOUNDS.items() if name in limits]
        usual = "a number" if any(isinstance(limit, float) for limit in limits.values()) else KINDS["int"]
        if kind := KINDS.get(problem["type"].partition("_")[0], usual if bounds else ""):
            return f"got {shortened(problem['input'])}; use {' '.join([kind, *bounds])}"
    if found := _RANGE.fullmatch(why):
        low, high = found["low"] or found["least"], found["high"]
        return f"got {found['value']}; use a number{f' from {low}' if low else ''}{f' up to {high}' if high else ''}"
    if found := _KIND.fullmatch(why):
        return f"got {found['value']}; use {KINDS.get(found['kind'], 'a valid ' + found['kind'])}"
    return f"{why[:1].lower()}{why[1:]}"


def _options(error: Any) -> list[str]:
    """Return the options of the command."""
    params = getattr(getattr(error.ctx, "command", None), "params", ())
    return [name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")]
