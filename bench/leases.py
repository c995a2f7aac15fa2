"""Who is at work on which cell, so that several runs on one store share its cells.

A lease is a file ``cells/.leases/<cell id>`` that only one run can make (``O_EXCL``, which file systems on a network
keep too). It holds who made it and a count that its owner raises every few seconds. Others believe in the owner as long
as they see the count move by their own clock, whatever the files' times say; one that stands still for longer, or whose
owner they see to be dead, is taken over: renamed away, which only one can do.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from bench.files import said_plainly
from bench.processes import Identity, own_identity

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0  # without a beat; a pause of the owner's machine or of the network is mostly shorter
COUNT_WIDTH = 20  # characters of the count, at the start of the file


@dataclass
class _Seen:
    """What another's lease held when it last changed, and when that was by this process's clock."""

    content: bytes
    since: float = field(default_factory=time.monotonic)


class Leases(AbstractContextManager["Leases"]):
    """The leases of one run; leaving the context gives them back.

    Args:
        cells: the store's folder of cells.
        beat: seconds between two signs of life.
        expiry: seconds without one after which another's lease is taken over.
    """

    def __init__(self, cells: Path, beat: float = BEAT_SECONDS, expiry: float = EXPIRY_SECONDS) -> None:
        self._folder = cells / ".leases"
        self._beat, self._expiry = beat, expiry
        self._owner = json.dumps(asdict(own_identity()) | {"run": uuid.uuid4().hex})
        self._held: dict[str, int] = {}  # cell id: descriptor
        self._seen: dict[str, _Seen] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        with said_plainly(self._folder.parent.parent):
            self._folder.mkdir(exist_ok=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()
        for name in list(self._held):
            self.give_back(name)

    def take(self, name: str) -> bool:
        """Whether the cell is this run's now: it was free, or whoever had it is dead."""
        with said_plainly(self._folder.parent.parent):
            if self._make(name):
                return True
            return self._is_free(name) and self._make(name)

    def holds(self, name: str) -> bool:
        """Whether the cell is still this run's; another took it over where this one seemed to be dead."""
        descriptor = self._held.get(name)
        if descriptor is None:
            return False
        try:
            there, ours = (self._folder / name).stat(), os.fstat(descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def give_back(self, name: str) -> None:
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
        found = _identity(self._read(name) or b"")
        return f"{found.host}, process {found.pid}" if found else ""

    def _make(self, name: str) -> bool:
        try:
            descriptor = os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            return False
        with self._guard:
            self._held[name] = descriptor
        os.pwrite(descriptor, _count(0) + self._owner.encode(), 0)
        self._seen.pop(name, None)
        return True

    def _is_free(self, name: str) -> bool:
        """Whether another's lease is gone, by itself or because its owner is dead."""
        content = self._read(name)
        if content is None:
            return True
        if not self._is_stale(name, content):
            return False
        aside = self._folder / f".taken-{uuid.uuid4().hex}"
        try:
            (self._folder / name).rename(aside)
        except FileNotFoundError:  # another run was quicker
            return True
        stale = aside.read_bytes() == content
        if not stale:  # another run was quicker, and this is its new lease
            with suppress(FileExistsError):
                os.link(aside, self._folder / name)
        aside.unlink()
        return stale

    def _is_stale(self, name: str, content: bytes) -> bool:
        owner = _identity(content)
        if owner is not None and owner.is_dead():
            return True
        seen = self._seen.get(name)
        if seen is None or seen.content != content:
            self._seen[name] = _Seen(content)
            return False
        return time.monotonic() - seen.since > self._expiry

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def _keep_beating(self) -> None:
        beats = 0
        while not self._ended.wait(self._beat):
            beats += 1
            with self._guard:
                for descriptor in self._held.values():
                    with suppress(OSError):  # a lease that cannot be kept alive is one that others will take
                        os.pwrite(descriptor, _count(beats), 0)
                        os.fsync(descriptor)  # file systems on a network show it to others then


def _count(beats: int) -> bytes:
    return f"{beats:0{COUNT_WIDTH}}".encode()


def _identity(content: bytes) -> Identity | None:
    """Who wrote a lease; None where that is not written yet, or not readable."""
    try:
        found = json.loads(content[COUNT_WIDTH:])
        return Identity(**{name: found[name] for name in ("host", "pid", "scope", "started")})
    except (ValueError, TypeError, KeyError):
        return None
