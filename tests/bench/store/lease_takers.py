"""The work of processes of the leases' tests; a module of its own, so that a fork server can import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from bench.store.leases import Leases


def take_and_die(cells: Path, names: list[str]) -> None:
    """Take leases, and be killed with them in hand."""
    with Leases(cells) as leases:
        for name in names:
            assert leases.acquire(name)
        os.kill(os.getpid(), signal.SIGKILL)


def take_all(cells: Path, names: list[str], go: Any, done: Any, taken: Any) -> None:
    """Try to take each lease as fast as possible, say which were, and keep them until all have tried."""
    with Leases(cells) as leases:
        go.wait()
        taken.put([name for name in names if leases.acquire(name)])
        done.wait()
