"""Fixtures that the tests of the harness share."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
import pytest
import torch

from bench.report.panels import Panels
from tests.bench.helpers import FAILING, FAULTS, HUNGRY, ODD, PLUGINS, STRANGE, Faults, entries_removed_again


@pytest.fixture(autouse=True)
def _no_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's data or cache unless it asks for them."""
    folder = tmp_path_factory.getbasetemp() / "user-cache"
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(folder))
    monkeypatch.delenv("BENCH_DATA", raising=False)


@pytest.fixture(autouse=True)
def _torch_settings() -> Iterator[None]:
    """Whatever a test sets in torch for the whole process is set back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def faults() -> Faults:
    """Counts the faults that tests inject; see ``tests.bench.helpers.Faults``."""
    return FAULTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was injected, and what of it was survived."""
    if FAULTS.injected:
        terminalreporter.section("faults injected, and survived without the loss of a cell")
        for kind, count in FAULTS.injected.items():
            terminalreporter.write_line(f"{count:5} {FAULTS.survived[kind]:5}  {kind}")


def _plugin(module: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of ``tests/plugins``, importable here and in cells; its entries are gone after the test."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    with entries_removed_again():
        yield module
    sys.modules.pop(module, None)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module with the failing algorithms."""
    yield from _plugin(FAILING, monkeypatch)


@pytest.fixture
def hungry(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module with the algorithms that use up memory."""
    yield from _plugin(HUNGRY, monkeypatch)


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module with the algorithms that give what they must not."""
    yield from _plugin(STRANGE, monkeypatch)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The module with the odd datasets, imported."""
    for module in _plugin(ODD, monkeypatch):
        importlib.import_module(module)
        yield module


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder for the results of a run."""
    return tmp_path / "results"


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written without their figures, which take longer than all else that a tiny run does."""

    def attempt(self: Panels, panel: str, make: Callable[[], object]) -> object:
        return make() if panel.startswith("data of ") else None  # the page has nothing to say of missing data

    monkeypatch.setattr(Panels, "attempt", attempt)
