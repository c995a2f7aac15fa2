"""Panels of a report, each of which may fail without the others, such as on a plug-in's data."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import matplotlib.pyplot as plt

from datasets.core.printable import first_line_of
from datasets.storage.reading import DISK

Made = TypeVar("Made")

LONGEST_REASON = 200
_log = logging.getLogger(__name__)


@dataclass
class Panels:
    """Record which panels failed.

    Attributes:
        failed: the reason, by panel.
    """

    failed: dict[str, str] = field(default_factory=dict)

    def attempt(self, panel: str, make: Callable[[], Made]) -> Made | None:
        """Return what ``make`` returns; None where it raises, with the reason in ``failed`` and, once, in the log.

        A full disk still raises: nothing that follows could be written either.
        """
        open_before = set(plt.get_fignums())
        try:
            return make()
        except Exception as error:  # a plug-in's data may raise anything
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)
            if panel not in self.failed:
                self.failed[panel] = reason_of(error)
                _log.warning("%s could not be drawn: %s", panel, self.failed[panel])
                _log.debug("%s", panel, exc_info=error)
            return None

    def lines(self) -> list[str]:
        """Return a line per failed panel."""
        return [f"{panel}: {reason}" for panel, reason in self.failed.items()]


def reason_of(error: BaseException) -> str:
    """Return the error's kind and first line, as text that any file or terminal can show."""
    return f"{type(error).__name__}: {first_line_of(error)[:LONGEST_REASON]}"
