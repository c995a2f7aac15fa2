"""The result of a check, and how checks are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from datasets.core.printable import first_line_of

S = TypeVar("S")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was checked, with the kind of task.
        passed: whether it holds; None where it is not promised.
        message: what is wrong with the values, or why it was not checked; empty where it holds.
    """

    check: str
    passed: bool | None
    message: str = ""


class Broken(Exception):
    """Raised by a check that is failed; the message is one line."""


class NotPromised(Exception):
    """Raised by a check that does not apply; the message says why."""


def finding(name: str, run: Callable[[S], None], subject: S) -> Finding:
    """Return the result of a check of ``subject``; an exception of any kind is one that fails."""
    try:
        run(subject)
    except NotPromised as reason:
        return Finding(name, None, str(reason))
    except Broken as problem:
        return Finding(name, False, str(problem))
    except Exception as error:  # whatever a stranger's code raises is a finding, not our failure
        return Finding(name, False, f"{type(error).__name__}: {first_line_of(error)}")
    return Finding(name, True)


def raise_where_failed(findings: list[Finding]) -> None:
    """Raise AssertionError with the checks that fail, if any do."""
    failed = [one for one in findings if one.passed is False]
    assert not failed, "\n".join(f"{one.check}: {one.message}" for one in failed)
