"""For all tests: the command, and generated examples that are the same each time.

``pytest --hypothesis-profile=default`` looks for new ones.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from bench import cli
from bench.report.figures import style
from tests.bench.helpers import FAULTS, Main

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option that makes the tests of faults complete, at some minutes' cost."""
    parser.addoption("--every-fault", action="store_true", help="inject faults at every place instead of a sample")


def pytest_configure(config: pytest.Config) -> None:
    """Tell the tests of faults how many to inject."""
    FAULTS.every = config.getoption("--every-fault")


@pytest.fixture(scope="session", autouse=True)
def _caches_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches of datasets are built in a folder of this run, also by the processes that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_pdfs() -> Iterator[None]:
    """Figures as PDF take two thirds of their time for TrueType's subsets; one test writes them as users get them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "PDF_FONTS", 3)
        yield


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    """Whatever draws closes its figures: pyplot keeps each until then."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        left = pyplot.get_fignums()
        pyplot.close("all")
        assert left == [], "figures were left open"


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Main:
    """``python -m bench ...`` in this process, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench/__main__.py", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        return (0 if code is None else int(code)), printed.out, printed.err

    return run


def pytest_collection_finish() -> None:
    """Keep what importing and collecting made out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let the interpreter end as it does elsewhere."""
    gc.unfreeze()
