"""Connections to SQLite that wait while another program holds the database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

LOCKED_SECONDS = 600.0  # that a statement waits for another program's lock
STEP_SECONDS = 2.0  # of waiting inside SQLite, between which Ctrl-C is heeded
HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_held(error: object) -> bool:
    """Return whether an error says that another program holds the database."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in HELD


def patient_connections(on_wait: Callable[[], None]) -> dict[str, Any]:
    """Arguments for ``sqlite3.connect``; ``on_wait`` is called once for each statement that has to wait long.

    A statement fails as SQLite's own do, but after ``LOCKED_SECONDS``.
    """

    def patiently(action: Callable[..., Result], *arguments: Any) -> Result:
        deadline, reported = time.monotonic() + LOCKED_SECONDS, False
        while True:
            try:
                return action(*arguments)
            except sqlite3.OperationalError as error:
                if not is_held(error) or time.monotonic() >= deadline:
                    raise
            if not reported:
                on_wait()
                reported = True

    class Cursor(sqlite3.Cursor):
        def execute(self, *arguments: Any) -> Cursor:
            patiently(super().execute, *arguments)
            return self

        def executemany(self, *arguments: Any) -> Cursor:
            patiently(super().executemany, *arguments)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            patiently(super().commit)

    return {"timeout": min(STEP_SECONDS, LOCKED_SECONDS), "factory": Connection}
