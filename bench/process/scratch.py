"""A folder for the sockets of this process, with a short path, that is removed even if the process is killed.

The folder that ``multiprocessing`` makes itself lies in TMPDIR, whose path can be too long for the address of a socket,
and stays there after a signal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from multiprocessing import util
from multiprocessing.process import current_process
from pathlib import Path

PREFIX = "bench-run-"
LOCK = "lock"
LONGEST_ADDRESS = 103  # bytes of a socket's path: 107 on Linux, 103 elsewhere
SOCKET = "/listener-12345678"  # as multiprocessing names them
OTHERS = ("/tmp", "/var/tmp", "/dev/shm")  # where TMPDIR is too long for sockets


def give_sockets_a_folder() -> None:
    """Let ``multiprocessing`` make the sockets of this process, and of those that it starts, in a folder of ours.

    A folder that it uses already stays, unless its path is too long.
    """
    config = current_process()._config  # type: ignore[attr-defined]  # no public way; as multiprocessing.util does
    there = config.get("tempdir")
    if there is None or len(os.fsencode(there + SOCKET)) > LONGEST_ADDRESS or not Path(there).is_dir():
        config["tempdir"] = _own_folder(os.getpid())


@cache
def _own_folder(process: int) -> str:
    """Made once by each process, and removed at its end; those of processes that were killed are removed first."""
    base = base_for_sockets(len(f"/{PREFIX}12345678{SOCKET}"))
    remove_left()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    _hold(folder)
    util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    return str(folder)


def base_for_sockets(rest: int) -> Path:
    """Return the folder of temporary files; another one if ``rest`` more bytes of path are too many for a socket."""
    usual = Path(tempfile.gettempdir())
    for place in (usual, *map(Path, OTHERS)):
        fits = len(os.fsencode(place)) + rest <= LONGEST_ADDRESS
        if fits and place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return place
    return usual


def _hold(folder: Path) -> None:
    """Lock the folder's lock for as long as this process lives."""
    import fcntl  # not to be had everywhere, and neither are such sockets

    descriptor = os.open(folder / f"{LOCK}.new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / f"{LOCK}.new").rename(folder / LOCK)  # a lock that can be seen is held, unless its process is gone


def remove_left() -> None:
    """Remove this user's folders whose processes are gone."""
    for base in dict.fromkeys([tempfile.gettempdir(), *OTHERS]):
        for folder in Path(base).glob(f"{PREFIX}*"):
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    import fcntl

    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # gone, or being made
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its process lives
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
