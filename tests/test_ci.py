"""CI's environments and last lines: every Python of the machine is found, and none is left out in silence."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench.helpers import ROOT


def load(path: Path) -> ModuleType:
    """A module from a file outside the packages, anew."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def interpreter(path: Path, says: str) -> None:
    """A program in the place of a Python, which answers the question what it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def toxfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its Pythons are looked for under the test's folder alone."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    module = load(ROOT / "toxfile.py")
    monkeypatch.setattr(module, "PROMISED", (71, 72, 73, 74, 75))  # of which no machine has any
    return module


def test_pythons_are_found_on_the_path_and_among_pyenvs_and_uvs(toxfile: ModuleType, tmp_path: Path) -> None:
    interpreter(tmp_path / "bin/python3.72", "cpython 3 72 0")
    interpreter(tmp_path / "bin/python3.73", "'pyenv: python3.73: command not found'; exit 127")  # a shim
    interpreter(tmp_path / "pyenv/versions/3.73.1/bin/python3.73", "cpython 3 73 0")
    interpreter(tmp_path / "uv/cpython-3.75/bin/python3.75", "cpython 3 75 0")
    interpreter(tmp_path / "uv/pypy-3.71/bin/python3.71", "pypy 3 71 0")
    interpreter(tmp_path / "uv/cpython-3.71t/bin/python3.71", "cpython 3 71 1")  # free-threaded
    assert list(toxfile.pythons()) == [72, 73, 75]
    assert toxfile.pythons()[73] == tmp_path / "pyenv/versions/3.73.1/bin/python3.73"
    names = ["py371", "py372", "py373-smoke", "py374", "py375"]
    assert toxfile.environments() == ["lint", "types", "docs", *names, "repro", "golden"]
    assert toxfile.missing() == "not found, and not tested: Python 3.71, 3.74"


def test_one_python_runs_the_whole_suite(toxfile: ModuleType, tmp_path: Path) -> None:
    interpreter(tmp_path / "bin/python3.72", "cpython 3 72 0")
    assert "py372" in toxfile.environments()
    for minor in toxfile.PROMISED:
        interpreter(tmp_path / f"bin/python3.{minor}", f"cpython 3 {minor} 0")
    toxfile.pythons.cache_clear()
    assert toxfile.environments()[3:-2] == ["py371", "py372-smoke", "py373-smoke", "py374-smoke", "py375"]
    assert toxfile.missing() == ""


LOG = """
lint: OK
\x1b[32m======= \x1b[32m1664 passed\x1b[0m, 3 skipped, 1 xfailed\x1b[32m in 480.12s (0:08:00)\x1b[0m =======\x1b[0m
=================== 2 passed in 31.00s ===================
{closing}
  py311: OK (480.00=setup[1.0]+cmd[479.0] seconds)
  py314: SKIP (0.01 seconds)
not found, and not tested: Python 3.14
"""


def test_the_closing_line_sums_the_runs_and_names_what_was_not_found() -> None:
    summary = load(ROOT / ".ci/summary.py").summary
    good = LOG.format(closing="=== 10 passed, 1 skipped in 2.00s ===")
    assert summary(good) == (["not found, and not tested: Python 3.14", "1676 passed, 0 failed, 4 skipped"], False)
    bad = LOG.format(closing="=== 1 failed, 10 passed, 2 errors in 2.00s ===")
    assert summary(bad) == (["not found, and not tested: Python 3.14", "1676 passed, 3 failed, 3 skipped"], True)
    lines, failed = summary(good + "  lint: FAIL code 1 (0.18=setup[0.01]+cmd[0.17] seconds)\n")
    assert (lines[0], lines[-1], failed) == ("failed: lint", "1676 passed, 0 failed, 4 skipped", True)
    assert summary("error: tox is not there") == (["0 passed, 0 failed"], True)
