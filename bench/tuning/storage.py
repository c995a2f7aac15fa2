"""The storage of studies: Optuna's RDB storage on SQLite or PostgreSQL, and a lock that workers share."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import sqlite3
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SAWarning, SQLAlchemyError

from bench.tuning import sqlite_waiting
from bench.tuning.secrets import hide_secrets, without_secrets
from bench.tuning.sqlite_waiting import is_held, patient_connections
from datasets import UserError

StorageKind = Literal["sqlite", "postgresql"]
ALLOWED = "use sqlite:///FILE or postgresql://USER@HOST/DATABASE"
GRACE = 3  # heartbeats that may be missed before a worker is taken for dead
RETRIES = 5  # of a trial whose worker died or was interrupted
MENDED = (  # what stands in SQLite's way and not in the file
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH),
)
PORTS = range(1, 2**16)


class _OtherOptuna(Exception):
    """Raised for tables that were made by a version of Optuna that this one cannot read."""


@contextmanager
def experimental() -> Iterator[None]:
    """Heartbeats are marked experimental in Optuna; this project relies on them and tests them, so nobody is warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@dataclass(frozen=True, repr=False)
class Place:
    """A storage that can be opened.

    Attributes:
        url: SQLAlchemy's, with a driver that this project depends on; it may hold a password.
        kind: of database.
        on_wait: called with a message when another program has held the database for a while.
    """

    url: URL
    kind: StorageKind
    on_wait: Callable[[str], None] = field(default=lambda words: None, compare=False)

    def __str__(self) -> str:
        return without_secrets(self.url.render_as_string(hide_password=False))

    __repr__ = __str__

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turn errors of the database in the block into a UserError of one line."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError, _OtherOptuna, PermissionError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) else error
            reason = getattr(cause, "orig", None) or cause or error
            words = hide_secrets(" ".join(str(reason).split()), self.url)
            raise UserError(f"the storage {self} does not work ({words}); {self._what_to_do(reason)}") from None

    def _what_to_do(self, reason: BaseException) -> str:
        if self.kind == "postgresql":
            return "check that the server is running and that you may use the database"
        if is_held(reason):
            minutes = f"{sqlite_waiting.LOCKED_SECONDS / 60:g} minutes"
            return (
                f"another program has held it for {minutes}; what is finished is kept, and once that program "
                "lets it go, the same command continues"
            )
        if getattr(reason, "sqlite_errorcode", 0) & 0xFF in MENDED or isinstance(reason, OSError):
            return "what is finished is kept, and the same command continues once that is fixed"
        return "nothing was changed there; give another `storage=` or `out=`"

    def open(self, heartbeat: int) -> RDBStorage:
        """Optuna's storage, its tables being made where they are missing; the caller holds ``lock``."""
        arguments: dict[str, Any] = {"pool_pre_ping": True}
        if self.kind == "sqlite":
            waiting = patient_connections(lambda: self.on_wait(f"another program holds {self}"))
            # no pool: a connection ends with its session, also where Optuna gives up before it has a storage to close
            arguments = {"connect_args": waiting, "poolclass": sqlalchemy.pool.NullPool}
        try:
            with experimental():
                return RDBStorage(
                    self.url.render_as_string(hide_password=False),
                    engine_kwargs=arguments,
                    heartbeat_interval=heartbeat,
                    grace_period=GRACE * heartbeat,
                    heartbeat_stale_trial_callback=retry,
                )
        except RuntimeError as error:
            raise _OtherOptuna(str(error)) from None

    def lock(self, name: str) -> Lock:
        """A lock that all workers of study ``name`` share, on whatever machine; it falls when its holder dies."""
        if self.kind == "sqlite":
            return _FileLock(FileLock(f"{self.url.database}.lock"))
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
        return _AdvisoryLock(self.url, key)


def place(url: str | None, default: Path) -> Place:
    """The storage at a URL, or SQLite in the file ``default``.

    Raises:
        UserError: the URL is none, or of a database that is not offered, or its driver is missing.
    """
    if url is None:
        return Place(URL.create("sqlite", database=str(default)), "sqlite")
    shown = without_secrets(url)
    try:
        parsed = make_url(url)
        if parsed.port is not None and parsed.port not in PORTS:
            raise ValueError(parsed.port)
    except ArgumentError:
        raise UserError(f"'{shown}' is not the URL of a database; {ALLOWED}", "storage") from None
    except ValueError:
        raise UserError(f"the port in '{shown}' is not a number from 1 to {PORTS[-1]}; {ALLOWED}", "storage") from None
    name = parsed.get_backend_name()
    if name == "sqlite" and parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.host or parsed.username:
            raise UserError(f"'{shown}' names a user or a host, and SQLite has neither; {ALLOWED}", "storage")
        if not parsed.database or ":memory:" in parsed.database:
            raise UserError(f"'{shown}' is in memory, which no other process can share; {ALLOWED}", "storage")
        if not Path(parsed.database).parent.is_dir():
            raise UserError(f"the folder {Path(parsed.database).parent} does not exist; make it first", "storage")
        _check_options(parsed, shown, "SQLite")
        return Place(parsed, "sqlite")
    if name == "postgresql" and parsed.drivername in ("postgresql", "postgresql+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise UserError("PostgreSQL needs the package psycopg; `uv sync --extra postgresql` installs it", "storage")
        parsed = parsed.set(drivername="postgresql+psycopg")
        _check_options(parsed, shown, "PostgreSQL")
        return Place(parsed, "postgresql")
    raise UserError(f"'{parsed.drivername}' is not offered; {ALLOWED}", "storage")


def _check_options(url: URL, shown: str, database: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # SQLAlchemy warns of options that it then ignores
            url.get_dialect()().create_connect_args(url)
    except SAWarning:
        raise UserError(f"an option in '{shown}' is not known to {database}; {ALLOWED}", "storage") from None
    except (TypeError, ValueError):
        raise UserError(f"an option in '{shown}' has an invalid value; {ALLOWED}", "storage") from None


def close(storage: RDBStorage) -> None:
    """Let the storage's connections go."""
    storage.remove_session()
    storage.engine.dispose()


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Put the trial of a dead worker back into the queue with its hyper-parameters, ``RETRIES`` times at most.

    What it used stays with the dead attempt, and so does how far it got in the pruner's eyes.
    """
    fresh = copy.deepcopy(trial)
    fresh.user_attrs = {}
    fresh.system_attrs = {name: value for name, value in fresh.system_attrs.items() if "_rung_" not in name}
    with experimental():
        callback = RetryHeartbeatStaleTrialCallback(max_retry=RETRIES)
    callback(study, fresh)


class Lock(AbstractContextManager["Lock"]):
    """A lock that one worker holds at a time."""

    held = False

    def acquire(self) -> None:
        """Wait for it, and hold it."""
        self._acquire()
        self.held = True

    def release(self) -> None:
        """Let it go; nothing where it is not held."""
        if self.held:
            self.held = False
            self._release()

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @abstractmethod
    def _acquire(self) -> None: ...

    @abstractmethod
    def _release(self) -> None: ...


class _FileLock(Lock):
    """A lock on a file beside the database, which the system drops with the process."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def _acquire(self) -> None:
        self._lock.acquire()

    def _release(self) -> None:
        self._lock.release()


class _AdvisoryLock(Lock):
    """PostgreSQL's advisory lock, which the server drops with the connection."""

    def __init__(self, url: URL, key: int) -> None:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, isolation_level="AUTOCOMMIT")
        self._engine, self._key = engine, key
        self._connection: sqlalchemy.Connection | None = None

    def _acquire(self) -> None:
        self._connection = self._engine.connect()
        self._connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": self._key})

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        cast(sqlalchemy.Connection, connection).close()
