"""Download of one file over HTTP: resumed where the server allows it, checked, and either complete or absent."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from datasets.core.errors import UserError
from datasets.storage.contents import digest_of_images
from datasets.storage.publishers import Remote
from datasets.storage.reading import reading, require_file

BLOCK = 2**18
USER_AGENT = "meta-learning-bench"

Progress = Callable[[int, int | None], None]
"""Called with the bytes received and the bytes in all, None while that is unknown."""


class DownloadError(UserError):
    """A file could not be fetched; the message says why and what to do."""


@dataclass(frozen=True)
class Patience:
    """Limits of a download: seconds without a byte, attempts, and seconds before the second one (doubled each time)."""

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 1.0


class _Interrupted(Exception):
    """Raised when the transfer stopped in a way that another attempt may overcome."""


def fetch(remote: Remote, root: Path, progress: Progress | None = None, patience: Patience | None = None) -> Path:
    """Fetch ``remote`` to its place below ``root``, unless it is there already.

    What has come lies in a hidden file beside the target until it is whole; an interrupted transfer goes on from
    there, now or in a later call. Two calls at once take turns.

    Raises:
        DownloadError: no such file, no connection, a wrong checksum, or no room; the target does not exist then.
    """
    patience = patience or Patience()
    target = root / remote.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(f".{target.name}.lock")):
            if target.exists():
                _check_present(remote, target)
            else:
                _fetch(remote, target, progress, patience)
    except OSError as error:
        raise DownloadError(f"cannot write {target}: {error.strerror}; choose another `data_root=`") from error
    return target


def md5_of(path: Path) -> str:
    """The file's MD5 in hexadecimal; raises BadData where it is no regular file, or may not be read."""
    require_file(path)
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_present(remote: Remote, target: Path) -> None:
    if remote.md5 is None or (md5 := md5_of(target)) == remote.md5:
        return
    if remote.images is None or digest_of_images(target)[0] != remote.images:
        raise DownloadError(f"{target} is there, but its md5 is {md5}, not {remote.md5}; delete it and fetch again")


def _fetch(remote: Remote, target: Path, progress: Progress | None, patience: Patience) -> None:
    part = _Part(target)
    problem = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.pause * 2 ** (attempt - 1))
        resumed = part.size > 0
        try:
            _transfer(remote, part, progress, patience.timeout)
        except _Interrupted as interruption:
            problem = str(interruption)
            continue
        md5 = md5_of(part.path)
        if remote.md5 in (None, md5):
            part.commit()
            return
        part.discard()
        problem = f"its md5 is {md5}, not {remote.md5}"
        if not resumed:
            raise DownloadError(
                f"{remote.url} came whole, but {problem}; nothing was kept: try again later, or get the file elsewhere "
                f"and put it at {target}"
            )
    kept = f"{part.size:,} bytes are kept: the same command continues" if part.size else "nothing was kept"
    raise DownloadError(f"{remote.url} could not be fetched in {patience.attempts} attempts ({problem}); {kept}")


class _Part:
    """The part of a file that has arrived, and the validator that tells whether the server's file is still the same."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.part")
        self._target = target
        self._validator = target.with_name(f".{target.name}.validator")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        return self._validator.read_text() if self._validator.exists() else ""

    def begin(self, validator: str) -> None:
        self.discard()
        if validator:
            self._validator.write_text(validator)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def commit(self) -> None:
        self.path.replace(self._target)
        self._validator.unlink(missing_ok=True)


def _transfer(remote: Remote, part: _Part, progress: Progress | None, timeout: float) -> None:
    """Bring the rest of the file; raises _Interrupted where another attempt may help, else DownloadError."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if part.size and not part.validator and remote.md5 is None:
        part.discard()  # nothing could tell whether the two halves belong together
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        with urllib.request.urlopen(urllib.request.Request(remote.url, headers=headers), timeout=timeout) as response:
            _receive(remote, response, part, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.discard()
            raise _Interrupted("the server has fewer bytes than were kept") from error
        if error.code == http.HTTPStatus.TOO_MANY_REQUESTS or error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(
            f"{remote.url}: the server answered {error.code} {error.reason}; get the file elsewhere and put it at "
            f"{remote.path} below the data root"
        ) from error
    except urllib.error.URLError as error:
        raise _Interrupted(f"no connection: {error.reason}") from error


def _receive(remote: Remote, response: http.client.HTTPResponse, part: _Part, progress: Progress | None) -> None:
    length = response.headers.get("Content-Length")
    remaining = int(length) if length is not None and length.isdigit() else None
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {part.size}-"):
            part.discard()
            raise _Interrupted("the server sent another range than was asked for")
    else:  # also where a range was asked for: the server does not do ranges, or the file has changed
        strong = response.headers.get("ETag", "")
        part.begin(strong if strong.startswith('"') else response.headers.get("Last-Modified", ""))
    start = done = part.size
    if remaining is not None and remaining > (free := shutil.disk_usage(part.path.parent).free):
        part.discard()
        raise _no_room(remote, part, f"{remaining:,} bytes are to come, but {free:,} are free")
    with part.path.open("ab") as file:
        while True:
            try:
                block = response.read(BLOCK)
            except (OSError, http.client.HTTPException) as error:  # a timeout is an OSError too
                raise _Interrupted(f"the connection broke off: {error or type(error).__name__}") from error
            if not block:
                break
            _write(remote, part, file.write, block)
            done += len(block)
            if progress is not None:
                progress(done, None if remaining is None else start + remaining)
        _write(remote, part, lambda _: file.flush(), b"")
    if remaining is not None and done - start != remaining:
        raise _Interrupted(f"{done - start:,} of {remaining:,} bytes came")


def _write(remote: Remote, part: _Part, write: Callable[[bytes], object], block: bytes) -> None:
    try:
        write(block)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            part.discard()
            raise _no_room(remote, part, str(error.strerror)) from error
        raise


def _no_room(remote: Remote, part: _Part, why: str) -> DownloadError:
    return DownloadError(
        f"no room for {remote.url} in {part.path.parent}: {why}; nothing was kept: free some space, or choose another "
        "`data_root=`"
    )
