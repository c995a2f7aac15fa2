"""Leases on the cells of a folder, so that several runs on one store share its cells.

A lease is a file ``cells/.leases/<cell id>`` that only one run can create (by a hard link, or else ``O_EXCL``, which
network file systems honour too). It holds the identity of its owner and a counter that the owner increments every few
seconds. Other runs treat the owner as alive while the counter changes by their own clock, whatever the files' times
say. A lease whose counter stands still for longer, or whose owner is seen to be dead, is taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from bench.process.identity import Identity, own_identity
from bench.store.atomic import disk_errors_explained, remove_left_by_dead, temporary_name

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0  # without a beat; a pause of the owner's machine or of the network is mostly shorter
COUNT_WIDTH = 20  # characters of the count, at the start of the file


@dataclass
class _Seen:
    """The content of another run's lease when it last changed, and the time of that by this process's clock."""

    content: bytes
    since: float


class Leases(AbstractContextManager["Leases"]):
    """The leases of one run; leaving the context gives them back.

    Args:
        cells: the store's folder of cells.
        beat: seconds between two increments of the counter.
        expiry: seconds without an increment after which another run's lease is taken over.
        clock: the clock that measures these seconds.
    """

    def __init__(
        self,
        cells: Path,
        beat: float = BEAT_SECONDS,
        expiry: float = EXPIRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = cells / ".leases"
        self._beat_seconds, self._expiry, self._clock = beat, expiry, clock
        self._beats = 0
        self._owner = json.dumps(asdict(own_identity()) | {"run": uuid.uuid4().hex})
        self._held: dict[str, int] = {}  # cell id: descriptor
        self._seen: dict[str, _Seen] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        with disk_errors_explained(self._folder.parent.parent):
            self._folder.mkdir(exist_ok=True)
        remove_left_by_dead(self._folder)
        for left in list(self._folder.iterdir()):
            if self.acquire(left.name):  # it was a dead run's
                self.release(left.name)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()
        for name in list(self._held):
            self.release(name)

    def acquire(self, name: str) -> bool:
        """Try to get the lease of a cell; return whether it was free, or its owner dead."""
        with disk_errors_explained(self._folder.parent.parent):
            return self._make(name) or self._take_over(name)

    def holds(self, name: str) -> bool:
        """Return whether this run still has the lease; another run took it over if this one seemed dead."""
        descriptor = self._held.get(name)
        if descriptor is None:
            return False
        try:
            there, ours = (self._folder / name).stat(), os.fstat(descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self, name: str) -> None:
        """Let others have the cell."""
        mine = self.holds(name)
        with self._guard:
            descriptor = self._held.pop(name, None)
        if mine:
            (self._folder / name).unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)

    def owner(self, name: str) -> str:
        """The host and process that hold the cell, for people; empty where that cannot be read."""
        identity = _identity(self._read(name) or b"")
        return f"{identity.host}, process {identity.pid}" if identity else ""

    def _make(self, name: str) -> bool:
        """Write a new lease where there is none."""
        temporary = self._folder / temporary_name()
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        made = False
        try:
            os.pwrite(descriptor, _count(self._beats) + self._owner.encode(), 0)
            made = _placed(temporary, self._folder / name)
        finally:
            temporary.unlink(missing_ok=True)
            if made:
                with self._guard:
                    self._held[name] = descriptor
                self._seen.pop(name, None)
            else:
                os.close(descriptor)
        return made

    def _take_over(self, name: str) -> bool:
        """Take the lease of a dead run; who wants to do so has a lease on doing so, so that only one does."""
        content = self._read(name)
        if content is None or not self._is_stale(name, content):
            return False
        turn = f".over-{hashlib.sha256(name.encode() + content).hexdigest()}"
        if not self.acquire(turn):
            return False
        try:
            if self._read(name) != content:  # another run was quicker
                return False
            (self._folder / name).unlink(missing_ok=True)
            return self._make(name)
        finally:
            self.release(turn)

    def _is_stale(self, name: str, content: bytes) -> bool:
        owner = _identity(content)
        if owner is not None and owner.is_dead():
            return True
        seen = self._seen.get(name)
        if seen is None or seen.content != content:
            self._seen[name] = _Seen(content, self._clock())
            return False
        return self._clock() - seen.since > self._expiry

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def beat(self) -> None:
        """Give a sign of life; it is given by itself every few seconds."""
        self._beats += 1
        with self._guard:
            for descriptor in self._held.values():
                with suppress(OSError):  # a lease that cannot be kept alive is one that others will take
                    os.pwrite(descriptor, _count(self._beats), 0)
                    os.fsync(descriptor)  # file systems on a network show it to others then

    def _keep_beating(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            self.beat()


def _placed(file: Path, place: Path) -> bool:
    """Give a file its place, unless there is one; whether it has it."""
    try:
        os.link(file, place)
    except FileExistsError:
        return file.stat().st_nlink == 2  # the answer to the first asking was lost on the network
    except OSError:  # a file system without links
        try:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        file.replace(place)
    return True


def _count(beats: int) -> bytes:
    return f"{beats:0{COUNT_WIDTH}}".encode()


def _identity(content: bytes) -> Identity | None:
    """Return who wrote a lease; None where that is not written yet, or not readable."""
    try:
        fields = json.loads(content[COUNT_WIDTH:])
        return Identity(**{name: fields[name] for name in ("host", "pid", "scope", "started")})
    except (ValueError, TypeError, KeyError):
        return None
