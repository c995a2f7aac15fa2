"""A real HTTP server on this machine, with every fault that a transfer meets."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from datasets.storage.download import Patience

CONTENT = np.random.default_rng(0).bytes(3 * 2**20)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
QUICK = Patience(timeout=0.5, attempts=3, pause=0.01)


@dataclass
class Behaviour:
    """The server's answers, request by request.

    Attributes:
        content: what it serves.
        ranges: whether it honours ranges.
        etag: its validator; empty for none.
        status: an error to answer instead, where it is over 0.
        cut_after: bytes after which each answer breaks off, one for each request (None: not at all).
        stall: whether it then keeps the connection open without a word.
        claim: a Content-Length to claim instead of the true one; 0 to claim none.
        seen: the Range header of each request.
    """

    content: bytes = CONTENT
    ranges: bool = True
    etag: str = '"one"'
    status: int = 0
    cut_after: list[int | None] = field(default_factory=list)
    stall: bool = False
    claim: int | None = None
    range_shift: int = 0
    seen: list[str | None] = field(default_factory=list)


@dataclass
class Server:
    url: str
    behaviour: Behaviour
    released: threading.Event


@contextmanager
def serving() -> Iterator[Server]:
    """A server while the block runs; its ``behaviour`` may be changed meanwhile."""
    behaviour, released = Behaviour(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            behaviour.seen.append(asked)
            if behaviour.status:
                self.send_error(behaviour.status)
                return
            start = 0
            fresh = self.headers["If-Range"] in (None, behaviour.etag)
            if asked and behaviour.ranges and fresh:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(behaviour.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                shown = start + behaviour.range_shift
                self.send_header(
                    "Content-Range", f"bytes {shown}-{len(behaviour.content) - 1}/{len(behaviour.content)}"
                )
            else:
                self.send_response(200)
            body = behaviour.content[start:]
            if behaviour.claim != 0:
                self.send_header("Content-Length", str(behaviour.claim or len(body)))
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            self.end_headers()
            cut = behaviour.cut_after.pop(0) if behaviour.cut_after else None
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if cut is not None and behaviour.stall:
                released.wait(5)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Server(f"http://127.0.0.1:{running.server_address[1]}/file.zip", behaviour, released)
        released.set()
        running.shutdown()
        thread.join()
