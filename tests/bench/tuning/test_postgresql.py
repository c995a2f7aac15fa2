"""Studies on a PostgreSQL server that the tests start: its own data folder, loopback only, a password."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from optuna.trial import TrialState

from bench.tuning.search import plans
from bench.tuning.spec import Plan
from bench.tuning.storage import place
from bench.tuning.study import open_study
from datasets import UserError
from tests.bench.helpers import tiny
from tests.bench.tuning.helpers import NOWHERE, QUICK, SHORT, ledger, run, share_six_trials, slow_plan

PASSWORD = "not-to-be-shown"


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str


def _program(name: str) -> str | None:
    """A program of PostgreSQL's; Debian keeps them out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


def _as_another_user() -> list[str] | None:
    """Return the words before the server's commands, as it refuses to run as root; None without a user for it."""
    if os.geteuid() != 0:
        return []
    if shutil.which("runuser") is None or "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        return None
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    initdb, control, before = _program("initdb"), _program("pg_ctl"), _as_another_user()
    if initdb is None or control is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    if before is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres'")
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-", dir="/tmp"))
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if before:
        for path in (folder, secret):
            shutil.chown(path, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*arguments: str | Path) -> None:
        command = [*before, *map(str, arguments)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data, log = folder / "data", folder / "log"
    call(initdb, "-D", data, "-U", "bench", "-A", "scram-sha-256", "--pwfile", secret, "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    subprocess.run(  # the server keeps the descriptors that it is started with: none of the tests'
        [*before, control, "-D", str(data), "-o", options, "-l", str(log), "-w", "start"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )
    try:
        yield Server(f"postgresql://bench:{PASSWORD}@127.0.0.1:{port}/postgres")
    finally:
        call(control, "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.mark.usefixtures("failing")
def test_two_workers_together_finish_exactly_the_trials(server: Server, tmp_path: Path) -> None:
    path, plan = slow_plan(tmp_path, SHORT)
    where, out = place(server.url, tmp_path), tmp_path / "out"
    printed, _ = share_six_trials(path, plan, where, out, "--storage", server.url)
    tuned = (out / "tuned/waits--sinusoid-5-shot.yaml").read_text()
    assert "storage: postgresql" in tuned
    written = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert PASSWORD not in printed
    assert not [content for content in written if PASSWORD.encode() in content]


def plan_named(name: str) -> Plan:
    (plan,) = plans(tiny(name=name), QUICK, 0, NOWHERE).plans
    return plan


def test_a_resumed_study_has_its_trials_and_no_more(server: Server, tmp_path: Path) -> None:
    where, plan = place(server.url, tmp_path), plan_named("resumed")
    run(plan, where, 1)
    run(plan, where, 3)
    assert [trial.state for trial in ledger(plan, where).trials] == [TrialState.COMPLETE] * 3


def test_a_dead_worker_that_registered_nothing_is_mended(server: Server, tmp_path: Path) -> None:
    where, plan = place(server.url, tmp_path), plan_named("dead")
    with open_study(plan, where) as opened:
        opened.storage.create_new_trial(opened.storage.get_study_id_from_name(plan.study_name))
    run(plan, where, 1)
    after = ledger(plan, where)
    assert [trial.state for trial in after.slots] == [TrialState.COMPLETE]
    assert after.repeated == {0}


def test_a_wrong_password_is_one_line_that_does_not_show_it(server: Server, tmp_path: Path) -> None:
    where = place(server.url.replace(PASSWORD, "wrong-secret"), tmp_path)
    with pytest.raises(UserError, match=r"password authentication failed") as raised:
        open_study(plan_named("refused"), where)
    assert "\n" not in str(raised.value)
    assert "wrong-secret" not in str(raised.value)
