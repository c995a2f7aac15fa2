"""The errors for a user's mistakes, and for missing and bad files."""

from __future__ import annotations

from pathlib import Path


class UserError(ValueError):
    """A mistake that the user can correct. Its message is one line: what was wrong, with the values, and what to do.

    The message names arguments as Python does, such as `plugins=`; the command line shows its options instead.

    Args:
        message: the line.
        field: the argument that is wrong; the text of the error starts with it.

    >>> str(UserError("got 0; use a whole number from 1", field="jobs"))
    'jobs: got 0; use a whole number from 1'
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return self.message if self.field is None else f"{self.field}: {self.message}"


class DataNotFound(UserError):
    """A dataset's files are not under the data root; ``remedy`` is the command that brings them."""

    def __init__(self, dataset: str, looked_for: Path, remedy: str) -> None:
        super().__init__(f"data not found: {dataset} needs {looked_for}; {remedy}")
        self.remedy = remedy


class BadData(UserError):
    """A file is there but is not what it should be: damaged, incomplete, dangerous or of another kind."""
