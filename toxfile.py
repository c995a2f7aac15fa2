"""The environments that tox runs: the whole suite on this machine's oldest and newest Python, the smoke test between.

tox reads this file by itself. Pythons are looked for on the path, among pyenv's and among uv's; see ``tox list``.
"""

from __future__ import annotations

import atexit
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import ConfigSet
from tox.config.types import EnvList
from tox.plugin import impl
from tox.session.state import State
from tox.tox_env.api import ToxEnv

PROMISED = (11, 12, 13, 14)  # minor versions of Python 3
BEFORE, AFTER = ("lint", "types", "docs"), ("repro", "golden")
WHO = """import sys, sysconfig
print(sys.implementation.name, *sys.version_info[:2], sysconfig.get_config_var("Py_GIL_DISABLED") or 0)
"""


@cache
def pythons() -> dict[int, Path]:
    """An executable of each CPython that is promised and that this machine has, by minor version."""
    found: dict[int, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("python3.*")):
            name = re.fullmatch(r"python3\.(\d+)", path.name)
            if name and int(name[1]) in PROMISED and int(name[1]) not in found and _is_cpython(path, int(name[1])):
                found[int(name[1])] = path
    return dict(sorted(found.items()))


def environments() -> list[str]:
    """The names of what runs; a Python that is not here keeps its place, where tox says that it was skipped."""
    found = list(pythons())
    whole = {found[0], found[-1]} if found else set()
    return [
        *BEFORE,
        *(f"py3{minor}" if minor in whole or minor not in found else f"py3{minor}-smoke" for minor in PROMISED),
        *AFTER,
    ]


def missing() -> str:
    """Return the promised Pythons that are not here, in words; empty if none."""
    names = ", ".join(f"3.{minor}" for minor in PROMISED if minor not in pythons())
    return f"not found, and not tested: Python {names}" if names else ""


def _folders() -> Iterator[Path]:
    yield from (Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    for root in (pyenv / "versions", uv):
        yield from sorted(root.glob("*/bin"))


def _is_cpython(path: Path, minor: int) -> bool:
    """Return whether it runs; pyenv's shims of versions not chosen do not. Free-threaded builds do not count."""
    try:
        done = subprocess.run([path, "-c", WHO], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.split() == ["cpython", "3", str(minor), "0"]


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Choose the environments, and let uv find what is not on the path."""
    core_conf.loaders.insert(0, MemoryLoader(env_list=EnvList(environments())))
    folders = os.environ.get("PATH", "").split(os.pathsep)
    further = [str(path.parent) for path in pythons().values() if str(path.parent) not in folders]
    os.environ["PATH"] = os.pathsep.join([*folders, *further])


@cache
def _say_at_the_end() -> None:
    if words := missing():
        atexit.register(print, words, flush=True)


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    """Name what was not found, in the last line."""
    if tox_env.conf.name.startswith("py"):
        _say_at_the_end()
