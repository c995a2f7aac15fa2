"""The output of a cell's process, read as it comes; of long output the beginning and the end are kept."""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import Connection, wait

KEPT_BYTES = 2**20  # of the beginning, and as many of the end
CHUNK_BYTES = 2**16
POLL_SECONDS = 0.5


class CapturedOutput:
    """The output of a process, from a pipe that a thread empties: never more than a few MiB, and none of it on disk.

    Args:
        reader: the end of the pipe that is read; it is closed once no process can write to it, or after ``close``.
    """

    def __init__(self, reader: Connection) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._head, self._tail, self._total = bytearray(), bytearray(), 0
        self._ended = self._closed = False
        os.set_blocking(reader.fileno(), False)
        threading.Thread(target=self._read_on, name="printed", daemon=True).start()

    def text(self) -> str:
        """Return what was printed up to now; a line says how much was left out in the middle."""
        with self._lock:
            self._drain()
            kept = self._tail[-KEPT_BYTES:]
            left_out = self._total - len(self._head) - len(kept)
            note = f"\n[{left_out} of {self._total} bytes that were printed are left out here]\n" if left_out else ""
            parts = (self._head, note.encode(), kept) if left_out else (self._head + kept,)
            return "".join(part.decode("utf-8", errors="replace") for part in parts)

    def close(self) -> None:
        """Stop reading, also where a process that is still there could write."""
        self._closed = True

    def _read_on(self) -> None:
        while not (self._ended or self._closed):
            if wait([self._reader], timeout=POLL_SECONDS):
                with self._lock:
                    self._drain()
        with self._lock:
            self._ended = True
            self._reader.close()

    def _drain(self) -> None:
        """Read what is there; the caller holds the lock."""
        while not self._ended:
            try:
                chunk = os.read(self._reader.fileno(), CHUNK_BYTES)
            except BlockingIOError:
                return
            self._ended = not chunk
            self._append(chunk)

    def _append(self, chunk: bytes) -> None:
        self._total += len(chunk)
        room = KEPT_BYTES - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * KEPT_BYTES:
            del self._tail[:-KEPT_BYTES]
