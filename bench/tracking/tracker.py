"""The interface of trackers, and which there are. None is imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol, cast

from datasets import UserError
from datasets.core.registry import suggest

TrackerName = Literal["tensorboard", "mlflow"]
TRACKERS: tuple[TrackerName, ...] = ("tensorboard", "mlflow")
Parameter = str | int | float | bool
OK = "ok"  # status of a run that ended well
PRUNED = "pruned"  # of a trial that its search ended early
INTERRUPTED = "interrupted"


class RunLog(Protocol):
    """One run of a tracker."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name at a step, which counts meta-train episodes."""

    def end(self, status: str, message: str, values: Mapping[str, float]) -> None:
        """End the run with its status, what went wrong (or empty), and the numbers of the whole of it."""


class Tracker(Protocol):
    """A place that holds runs.

    Attributes:
        view: a command that shows the runs.
    """

    view: str

    def begin(self, name: str, parameters: Mapping[str, Parameter]) -> RunLog:
        """Begin a run."""


def open_tracker(name: str, folder: Path) -> Tracker:
    """Return a tracker whose files are below an experiment's folder.

    Raises:
        UserError: there is none of that name, its package is not installed, or it cannot be used.
    """
    if name not in TRACKERS:
        raise UserError(f"got '{name}'{suggest(name, list(TRACKERS))}; use one of {', '.join(TRACKERS)}", "track")
    try:
        tracker: Tracker = importlib.import_module(f"bench.tracking.{name}_runs").open_tracker(folder)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name:
            raise
        raise UserError(f"{name} is not installed; `uv sync --extra {name}` installs it", "track") from None
    return tracker


def flat(content: Mapping[str, object], before: str = "") -> dict[str, Parameter]:
    """Return a JSON-ready mapping without nesting and without empty values; lists are texts.

    >>> flat({"seed": 0, "train": {"episodes": 8}, "test_at": [1, 2], "engine": None})
    {'seed': 0, 'train.episodes': 8, 'test_at': '1, 2'}
    """
    values: dict[str, Parameter] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{before}{name}.")
        elif value not in (None, "", []):
            known = value if isinstance(value, Parameter) else ", ".join(map(str, cast(list[object], value)))
            values[f"{before}{name}"] = known
    return values
