"""Identities of processes, to tell whether one is still alive; and processes that end with their parent."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

ENDED = ("Z", "X")  # states of a process that has ended, whether or not its parent has taken note
POLL_SECONDS = 0.01
GONE_SECONDS = 30.0  # for killed processes to be gone, which a system under load takes its time for


@dataclass(frozen=True)
class Identity:
    """A process, distinguishable from all earlier and later ones.

    Attributes:
        host: the machine's name, for people.
        pid: its number there.
        scope: within which process numbers mean something: one start of a machine, one container; empty if not known.
        started: when it began, in ticks since the machine's start; empty if not known.
    """

    host: str
    pid: int
    scope: str
    started: str

    def is_dead(self) -> bool:
        """Return whether it certainly is; False where that cannot be seen from here."""
        if not self.scope or self.scope != _scope():
            return False
        state = _state(self.pid)
        return state is None or state[0] in ENDED or state[1] != self.started


def is_running(pid: int) -> bool:
    """Return whether this machine has a process of that number that has not ended."""
    if not Path("/proc/self/stat").exists():
        return psutil.pid_exists(pid)
    state = _state(pid)
    return state is not None and state[0] not in ENDED


def own_identity() -> Identity:
    """Of this process."""
    return identity_of(os.getpid())


def end_with_parent() -> None:
    """Have this process killed, and its session if it leads one, when the one that started it ends.

    That one may have done so through a fork server.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    own = os.getpid()
    if os.getsid(0) == own:
        _kill_members({own}, but=own)
    os.kill(own, signal.SIGKILL)


def kill_session(leader: Identity) -> None:
    """Kill all processes of the session that ``leader`` made, which may be gone itself, and wait until they are gone.

    Nothing is done where another process has the leader's number now: then none of the session is left.
    """
    state = _state(leader.pid)
    if state is None or not leader.started or state[1] == leader.started:
        _kill_members({leader.pid})


def end_families(processes: Sequence[int]) -> None:
    """Kill these processes, all that descend from them and the sessions of all; returns once they are gone.

    None of them can start another one meanwhile.
    """
    family: dict[int, psutil.Process] = {}
    new = [living for pid in processes if (living := _process(pid)) is not None]
    while new:  # one that is stopped starts no others
        for process in new:
            family[process.pid] = process
            _signal(process.pid, signal.SIGSTOP)
        new = [child for process in new for child in _children(process) if child.pid not in family]
    for pid in family:
        _signal(pid, signal.SIGKILL)
    _kill_members(set(family))
    _wait_until(lambda: not any(is_running(pid) for pid in family))


def identity_of(pid: int) -> Identity:
    """Of another process of this machine, that was started from here."""
    state = _state(pid)
    return Identity(socket.gethostname(), pid, _scope() if state else "", state[1] if state else "")


def _kill_members(leaders: Collection[int], but: int | None = None) -> None:
    """Kill the processes of these sessions, and wait until they are gone."""

    def none_left() -> bool:
        left = [pid for pid in psutil.pids() if pid != but and _session(pid) in leaders and is_running(pid)]
        for pid in left:
            _signal(pid, signal.SIGKILL)
        return not left

    _wait_until(none_left)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _wait_until(done: Callable[[], bool]) -> None:
    """Look until it is so; a process that the system does not let go is given up on after ``GONE_SECONDS``."""
    deadline = time.monotonic() + GONE_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


@cache
def _scope() -> str:
    """The machine's start and the container; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, str] | None:
    """A process's state (a letter) and start; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return fields[0], fields[19]
