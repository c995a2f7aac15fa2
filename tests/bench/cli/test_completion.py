"""Shell completion, and the version."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from bench import cli
from tests.bench.helpers import Main

LINES = {
    "bench run smo": ["smoke"],
    "bench run smoke --algorithms maml,pro": ["maml,protonet"],
    "bench run smoke --datasets gly": ["glyphs"],
    "bench check proto": ["protonet"],
    "bench list glyp": ["glyphs"],
    "bench run smoke --track ten": ["tensorboard"],
    "bench leaderb": ["leaderboard"],
}


@pytest.mark.parametrize("line", LINES)
def test_names_are_completed(main: Main, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_program", lambda: "bench")  # as of the installed script
    monkeypatch.setenv("_BENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    code, out, _ = main()
    assert code == 0
    assert out.split() == LINES[line]


def test_the_version_is_that_of_the_package(main: Main) -> None:
    assert main("--version") == (0, f"meta-learning-bench {importlib.metadata.version('meta-learning-bench')}\n", "")


@pytest.mark.parametrize(("argument", "name"), [("--install-completion", "bench"), ("run", "python -m bench")])
def test_completion_is_installed_for_the_script(argument: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/__main__.py", argument])  # of `python -m bench`, which no shell completes
    assert cli._program() == name
