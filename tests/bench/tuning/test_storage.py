"""Storages that other programs hold, secrets in URLs, and URLs that are not those of a database."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from bench.tuning import sqlite_waiting
from bench.tuning.secrets import hide_secrets, without_secrets
from bench.tuning.storage import Place, place
from bench.tuning.study import open_study
from datasets import UserError
from tests.bench.helpers import Main, write_grid
from tests.bench.tuning.helpers import ledger, plan_of, run, sqlite


def hold(where: Place) -> sqlite3.Connection:
    """Another program's lock on the database, until the connection is closed."""
    other = sqlite3.connect(str(where.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    return other


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes moments instead of minutes."""
    monkeypatch.setattr(sqlite_waiting, "LOCKED_SECONDS", 0.6)
    monkeypatch.setattr(sqlite_waiting, "STEP_SECONDS", 0.1)


def test_a_search_waits_for_another_programs_lock_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many times as long as one wait inside SQLite."""
    monkeypatch.setattr(sqlite_waiting, "STEP_SECONDS", 0.05)
    told: list[str] = []
    plan = plan_of()
    quiet = sqlite(tmp_path)
    run(plan, quiet, 1)
    where = Place(quiet.url, quiet.kind, told.append)
    other = hold(where)
    threading.Timer(1.0, other.close).start()
    before = time.monotonic()
    assert len(ledger(plan, where).trials) == 1
    assert time.monotonic() - before > 0.5
    assert told[0] == f"another program holds {where}"


def test_the_wait_is_longer_than_a_minute_and_a_quarter() -> None:
    assert sqlite_waiting.LOCKED_SECONDS > 75


@pytest.mark.usefixtures("quickly")
def test_a_lock_that_stays_is_one_line_that_loses_nothing(tmp_path: Path) -> None:
    plan, where = plan_of(), sqlite(tmp_path)
    run(plan, where, 1)
    other = hold(where)
    with pytest.raises(UserError) as raised:
        open_study(plan, where)
    other.close()
    assert str(raised.value) == (
        f"the storage {where} does not work (database is locked); another program has held it for 0.01 minutes; what "
        "is finished is kept, and once that program lets it go, the same command continues"
    )
    run(plan, where, 2)
    assert len(ledger(plan, where).trials) == 2


def test_other_mistakes_of_sqlite_are_not_waited_for(tmp_path: Path) -> None:
    before = time.monotonic()
    connection = sqlite3.connect(tmp_path / "x.db", **sqlite_waiting.patient_connections(lambda: None))
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.cursor().execute("SELECT * FROM things")
    connection.close()
    assert time.monotonic() - before < 5


URLS = {
    "postgresql://me:SECRET@host/db": "postgresql://me:***@host/db",
    "postgresql://me:SEC/RE@T@host/db": "postgresql://me:***@host/db",
    "postgresql://me@host/db?password=SECRET": "postgresql://me@host/db?password=***",
    "postgresql://me@host/db?sslmode=require&sslpassword=SECRET&a=b": (
        "postgresql://me@host/db?sslmode=require&sslpassword=***&a=b"
    ),
    "postgresql://me@host/db?p%61ssword=SECRET": "postgresql://me@host/db?p%61ssword=***",
    "postgresql://me@host/db?PASSWORD=SECRET&password=SECRET": "postgresql://me@host/db?PASSWORD=***&password=***",
    "sqlite://user:SECRET@/x.db": "sqlite://user:***@/x.db",
    "postgresql:/me:SECRET@host": "postgresql:/me:***@host",
    "me:SECRET@host": "me:***@host",
    "postgresql://me@host:99/db": "postgresql://me@host:99/db",
    "sqlite:////a/b.db": "sqlite:////a/b.db",
}


@pytest.mark.parametrize("url", URLS)
def test_secrets_of_a_url_are_hidden(url: str) -> None:
    assert without_secrets(url) == URLS[url]


def test_secrets_in_a_drivers_message_are_hidden() -> None:
    url = make_url("postgresql://me:p%40ss/word@host/db?sslpassword=SECRET")
    message = hide_secrets('bad "p@ss/word", p%40ss%2Fword and SECRET', url)
    assert message == 'bad "***", *** and ***'


MISTAKES = {
    "postgresql://me:SECRET@host:port/db": "--storage: the port in 'postgresql://me:***@host:port/db' is not a number",
    "postgresql://me@host:99999/db?password=SECRET": (
        "--storage: the port in 'postgresql://me@host:99999/db?password=***' is not a number from 1 to 65535"
    ),
    "postgresql://me@host:0/db": "is not a number from 1 to 65535",
    "sqlite://user:SECRET@/x.db": "--storage: 'sqlite://user:***@/x.db' names a user or a host",
    "sqlite://user:SECRET@": "--storage: 'sqlite://user:***@' names a user or a host",
    "sqlite:///x.db?timeout=soon": "--storage: an option in 'sqlite:///x.db?timeout=soon' has an invalid value",
    "sqlite:///x.db?password=SECRET": "--storage: an option in 'sqlite:///x.db?password=***' is not known to SQLite",
    "sqlite:///:memory:?password=SECRET": "--storage: 'sqlite:///:memory:?password=***' is in memory",
    "postgresql://me@127.0.0.1:1/db?password=SECRET": "the storage postgresql+psycopg://me@127.0.0.1:1/db?password=***",
    "postgresql://me@127.0.0.1:1/db?sslpassword=SECRET&sslmode=odd": "does not work (",
}


@pytest.mark.parametrize("url", MISTAKES)
def test_a_url_that_does_not_work_is_one_line_without_its_secrets(main: Main, tmp_path: Path, url: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml")
    code, out, err = main("tune", grid, "--trials", "1", "--storage", url)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert MISTAKES[url] in err
    assert "SECRET" not in err
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [content for content in written if b"SECRET" in content]


def test_a_place_shows_no_secrets(tmp_path: Path) -> None:
    where = place("postgresql://me:SECRET@host/db?sslpassword=SECRET", tmp_path / "x.db")
    assert "SECRET" not in f"{where} {where!r}"
