"""Signals that ask the command to end: it ends as after Ctrl-C, with its processes and temporary files removed."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKING = (signal.SIGTERM, signal.SIGHUP)
ONCE_SECONDS = 10.0  # in which a second one counts as the same: some programs send it to a process and to its group
INTERRUPTED = 130


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """In the block, such a signal raises KeyboardInterrupt; the process then exits as one that the signal ended.

    A signal that is ignored, as by ``nohup``, stays so.
    """
    came: list[tuple[int, float]] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if came and time.monotonic() - came[-1][1] < ONCE_SECONDS:
            return
        came.append((number, time.monotonic()))
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ASKING}
    changed = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    except SystemExit as end:
        if came and end.code == INTERRUPTED:
            sys.exit(128 + came[0][0])
        raise
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
