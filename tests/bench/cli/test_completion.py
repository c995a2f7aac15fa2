"""Shell completion, and the version."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from algorithms import ALGORITHMS
from bench import cli
from bench.analysis.scores import METRICS
from bench.cli import completion
from bench.execution.queue import RETRIES
from datasets.core.episodes import SPLITS
from tests.bench.helpers import Main

LINES = {
    "bench run smo": ["smoke"],
    "bench run smoke --algorithms maml,pro": ["maml,protonet"],
    "bench run smoke --datasets gly": ["glyphs"],
    "bench check proto": ["protonet"],
    "bench list glyp": ["glyphs"],
    "bench run smoke --track ten": ["tensorboard"],
    "bench leaderb": ["leaderboard"],
    "bench data fetch ban": ["bandit", "banking77"],
    "bench data verify gly": ["glyphs"],
    "bench data show glyphs --split t": ["train", "test"],
    "bench data show mine --grid smo": ["smoke"],
    "bench tune prot": ["protonet"],
    "bench tune tuni": ["tuning"],
    "bench tune maml gly": ["glyphs"],
    "bench tune tuning --algorithms maml,prot": ["maml,protonet"],
    "bench tune tuning --datasets gly": ["glyphs"],
    "bench tune tuning --sampler t": ["tpe"],
    "bench tune tuning --pruner h": ["hyperband"],
    "bench tune tuning --objective accuracy,": ["accuracy,adapt_ms", "accuracy,peak_mib"],
    "bench compare prot": ["protonet"],
    "bench compare maml prot": ["protonet"],
    "bench compare maml protonet --metric n": ["nll"],
    "bench compare maml protonet --mode ind": ["inductive"],
    "bench compare maml protonet --format j": ["json"],
    "bench leaderboard here --format t": ["table", "tex"],
    "bench leaderboard here --sort m": ["memory"],
    "bench run smoke --executor r": ["ray"],
    "bench run smoke --engine v": ["vmap"],
    "bench run smoke --precision b": ["bf16"],
    "bench run smoke --retry o": ["oom"],
    "bench run smoke --device cu": ["cuda"],
    "bench run smoke --set inner_l": ["inner_lr="],
    "bench run smoke --set protone": ["protonet."],
    "bench run smoke --set maml.inner_l": ["maml.inner_lr="],
    "bench run smoke --set train.ep": ["train.episodes="],
    "bench run smoke --set evaluation.test_e": ["evaluation.test_episodes="],
    "bench check maml --set inner_l": ["inner_lr="],
    "bench check conv4 --set chan": ["channels="],
    "bench score here --mode bo": ["both"],
    "bench predict here --algorithm prot": ["protonet"],
    "bench predict here --dataset gly": ["glyphs"],
    "bench predict here --mode t": ["transductive"],
    "bench predict here --format c": ["csv"],
}
FOLDERS = ("bench export here ma", "bench repro here --cells ma", "bench predict here --cell ma")


@pytest.fixture
def completed(main: Main, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Return what a shell is given for the last word of a line."""

    def of(line: str) -> list[str]:
        monkeypatch.setattr(cli, "_program", lambda: "bench")  # as of the installed script
        monkeypatch.setenv("_BENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
        code, out, _ = main()
        assert code == 0
        return out.split()

    return of


@pytest.mark.parametrize("line", LINES)
def test_names_are_completed(completed: Callable[[str], list[str]], line: str) -> None:
    assert completed(line) == LINES[line]


@pytest.mark.parametrize("line", FOLDERS)
def test_cells_are_completed(completed: Callable[[str], list[str]], line: str, tmp_path: Path) -> None:
    assert completed(line) == []
    (tmp_path / "here/cells/maml--glyphs--0").mkdir(parents=True)
    (tmp_path / "here/cells/.checkpoints").mkdir()
    assert completed(line) == ["maml--glyphs--0"]


def test_hyper_parameters_are_those_of_the_models() -> None:
    for algorithm in ALGORITHMS:
        given = completion.settings(f"{algorithm.name}.")
        assert given == [f"{algorithm.name}.{field}=" for field in algorithm.hparams.model_fields]


def test_names_that_are_written_again_are_the_same() -> None:
    assert (completion.METRICS, completion.RETRIES, completion.SPLITS) == (METRICS, RETRIES, SPLITS)


def test_the_version_is_that_of_the_package(main: Main) -> None:
    assert main("--version") == (0, f"meta-learning-bench {importlib.metadata.version('meta-learning-bench')}\n", "")


@pytest.mark.parametrize(("argument", "name"), [("--install-completion", "bench"), ("run", "python -m bench")])
def test_completion_is_installed_for_the_script(argument: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/__main__.py", argument])  # of `python -m bench`, which no shell completes
    assert cli._program() == name
