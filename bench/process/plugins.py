"""Modules of the user's that register further algorithms, networks and datasets, or hold networks."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from datasets import UserError
from datasets.core.named_modules import name_module


def import_plugins(modules: Sequence[str]) -> None:
    """Import modules of the user's, whose networks grids may then name; the working directory stays what it was.

    Raises:
        UserError: a module is not found.
    """
    for name in modules:
        here = Path.cwd()
        try:
            importlib.import_module(name)
            name_module(name)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            parts = name.split(".")
            if all(parts) and getattr(error, "name", None) not in [".".join(parts[: n + 1]) for n in range(len(parts))]:
                raise  # the module is there, and what fails is in it
            raise UserError(f"no module '{name}' to import; it must be importable from here") from None
        finally:
            os.chdir(here)
