"""The numbers that documents show are those of the committed results."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest

from results import numerical_noise
from tests.bench.helpers import ROOT, Main

PAGES = ("README.md", "docs/findings.md")
COMMAND = re.compile(r"^```console\n\$ python -m bench ([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = [(path, *found) for path in PAGES for found in COMMAND.findall((ROOT / path).read_text(encoding="utf-8"))]
NOISE = re.compile(
    r"^```console\n\$ python results/numerical_noise.py (\S+) (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
MEASURED = NOISE.findall((ROOT / "docs/findings.md").read_text(encoding="utf-8"))
SESSIONS = re.findall(
    r"^```pycon\n(.*?)^```", (ROOT / "docs/findings.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
SCORES = re.compile(r"^\|.* ±.*\|$", re.MULTILINE)  # rows of a leaderboard
DIFFERENCES = re.compile(r"^\|.*\| [+-][\d.]+ to [+-][\d.]+ \|.*\|$", re.MULTILINE)  # of tuned and default


@pytest.mark.parametrize(("path", "arguments", "shown"), COMMANDS, ids=[found[1] for found in COMMANDS])
def test_a_command_prints_what_the_page_shows(
    path: str, arguments: str, shown: str, main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = main(*shlex.split(arguments))
    assert code == 0
    assert [line.rstrip() for line in out.strip().splitlines()] == shown.strip().splitlines()


@pytest.mark.parametrize("block", SESSIONS, ids=range(len(SESSIONS)))
def test_a_session_prints_what_the_page_shows(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    session = doctest.DocTestParser().get_doctest(block, {}, "findings", "docs/findings.md", 0)
    assert session.examples
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(session).failed == 0


@pytest.mark.parametrize(("first", "second", "shown"), MEASURED, ids=[found[0] for found in MEASURED])
def test_numerical_noise_is_that_of_committed_results(
    first: str, second: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["numerical_noise.py", str(ROOT / first), str(ROOT / second)])
    numerical_noise.main()
    assert capsys.readouterr().out.splitlines() == shown.splitlines()


@pytest.mark.parametrize("path", PAGES)
def test_rows_of_leaderboards_are_those_of_committed_results(path: str) -> None:
    stored: set[str] = set()
    for board in sorted(Path(ROOT / "results/reference").glob("*/leaderboard.md")):
        stored |= set(board.read_text(encoding="utf-8").splitlines())
    rows = SCORES.findall((ROOT / path).read_text(encoding="utf-8"))
    assert rows
    assert [row for row in rows if row not in stored] == []


def test_differences_of_tuned_and_default_are_those_of_committed_results() -> None:
    stored: set[str] = set()
    for report in sorted(Path(ROOT / "results/reference").glob("*/tuning.md")):
        stored |= set(report.read_text(encoding="utf-8").splitlines())
    rows = DIFFERENCES.findall((ROOT / "docs/findings.md").read_text(encoding="utf-8"))
    assert rows
    assert [row for row in rows if row not in stored] == []
