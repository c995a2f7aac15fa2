"""The options of the command line for the arguments of the library."""

from __future__ import annotations

import re

from datasets import UserError

OPTIONS = {  # that are not called as the argument is
    "address": "--ray-address",
    "cluster": "--executor",
    "hparams": "--set",
    "lists_at": "--lists",
    "path": "--from",
    "plugins": "--import",
}


def option_of(argument: str) -> str:
    """Return the option for an argument of the library.

    >>> option_of("data_root"), option_of("plugins")
    ('--data-root', '--import')
    """
    return OPTIONS.get(argument, f"--{argument.replace('_', '-')}")


def in_options(error: UserError) -> str:
    """Return the error's line with options in the place of arguments.

    >>> in_options(UserError("cannot be written; choose another folder, or add to `plugins=`", field="out"))
    '--out: cannot be written; choose another folder, or add to --import'
    """
    line = re.sub(r"`(\w+)=`", lambda match: option_of(match[1]), error.message)
    if error.field is None:
        return line
    field = option_of(error.field) if re.fullmatch("[a-z_]+", error.field) else error.field
    return f"{field}: {line}"
