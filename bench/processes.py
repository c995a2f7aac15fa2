"""Who a process is, so that others can tell whether it still lives; and cells that end with their run."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import dataclass
from functools import cache
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

ENDED = ("Z", "X")  # states of a process that has ended, whether or not its parent has taken note


@dataclass(frozen=True)
class Identity:
    """A process, told apart from all others that were or will be.

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
        """Whether it certainly is; False where that cannot be seen from here."""
        if not self.scope or self.scope != _scope():
            return False
        state = _state(self.pid)
        return state is None or state[0] in ENDED or state[1] != self.started


def is_running(pid: int) -> bool:
    """Whether this machine has a process of that number that has not ended."""
    if not Path("/proc/self/stat").exists():
        return psutil.pid_exists(pid)
    state = _state(pid)
    return state is not None and state[0] not in ENDED


def own_identity() -> Identity:
    """Of this process."""
    state = _state(os.getpid())
    return Identity(socket.gethostname(), os.getpid(), _scope() if state else "", state[1] if state else "")


def end_with_parent() -> None:
    """Have this process killed when the one that started it, maybe through a fork server, ends."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


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
