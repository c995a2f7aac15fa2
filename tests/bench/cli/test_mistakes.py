"""A mistake of the user's is one line that says what to do, with exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.helpers import Main, tiny, write_grid

MISTAKES: dict[str, tuple[list[str], str]] = {
    "grid": (["run", "smok"], "did you mean 'smoke'?"),
    "grid file": (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
    "bad grid": (["run", "bad.yaml"], "bad.yaml: seeds.0: got 'x'"),
    "algorithm": (["run", "mine.yaml", "--algorithms", "mamal"], "did you mean 'maml'?"),
    "dataset": (["run", "mine.yaml", "--datasets", "omniglot"], "no dataset 'omniglot'; it has: sinusoid"),
    "shots": (["run", "mine.yaml", "--shots", "7"], "no cells with 7; it has: 5"),
    "shots in words": (["run", "mine.yaml", "--shots", "one"], "--shots: got 'one'"),
    "seed": (["run", "mine.yaml", "--seeds", "0,-1"], "--seeds: got '-1'; use whole numbers from 0"),
    "memory": (["run", "mine.yaml", "--memory", "much"], "--memory: got 'much'; use a number and a unit, such as 4GiB"),
    "tune's memory": (["tune", "mine.yaml", "--memory", "-1"], "--memory: got '-1'"),
    "retry": (["run", "mine.yaml", "--retry", "ooom"], "--retry: got 'ooom', did you mean 'oom'?"),
    "superscript": (["run", "mine.yaml", "--seeds", "²"], "--seeds: got '²'"),
    "no seeds": (["run", "mine.yaml", "--seeds", ","], "--seeds"),
    "no algorithms": (["run", "mine.yaml", "--algorithms", ""], "--algorithms"),
    "device": (["run", "mine.yaml", "--device", "quantum"], "--device: cannot use 'quantum'"),
    "dry device": (["run", "mine.yaml", "--device", "quantum", "--dry-run"], "--device: cannot use 'quantum'"),
    "out": (["run", "mine.yaml", "--out", "file"], "/file: File exists; choose another folder"),
    "data root": (["run", "mine.yaml", "--data-root", "file"], "--data-root: file is not a folder"),
    "dry data root": (["run", "mine.yaml", "--data-root", "file", "--dry-run"], "--data-root: file is not a folder"),
    "import": (["run", "mine.yaml", "--import", "nowhere.at_all"], "no module 'nowhere.at_all'"),
    "list's import": (["list", "--import", "nowhere"], "no module 'nowhere'"),
    "report": (["report", "nowhere"], "nowhere does not exist; give the folder"),
    "report on nothing": (["report", "empty"], "empty holds no finished"),
    "report's out": (["report", "done", "--out", "file"], "file"),
    "no file": (["run", "mine.yml"], "mine.yml: no such file"),
    "no folder": (["run", "./mine"], "mine: no such file"),
    "set": (["run", "mine.yaml", "--set", "inner_lr"], "--set: got 'inner_lr'; use NAME=VALUE"),
    "set twice": (["run", "mine.yaml", "--set", "a=1", "--set", "a=2"], "--set: a is given more than once"),
    "set's name": (["run", "mine.yaml", "--set", "inner_lrr=1"], "--set: no algorithm of grid 'mine' has a"),
    "check's set": (["check", "maml", "--set", "inner_lr=soon"], "--set: maml: inner_lr: got 'soon'"),
    "markup": (["run", "[bold]x[/bold]"], "error: [bold]x[/bold]: no such file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(main: Main, tmp_path: Path, name: str) -> None:
    arguments, words = MISTAKES[name]
    write_grid(tmp_path / "mine.yaml")
    write_grid(tmp_path / "bad.yaml", seeds=["x"])
    (tmp_path / "file").touch()
    Store(tmp_path / "empty").create()
    Store(tmp_path / "done").create()
    Store(tmp_path / "done").write_failure(tiny().cells()[0], Failure("error", "no luck"))
    code, out, err = main(*arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert words in err
    assert not (tmp_path / "results").exists()


USAGES = {
    "verb": (["walk"], "'walk'; see: python -m bench --help"),
    "option": (["run", "mine.yaml", "--shotz", "1"], "--shotz"),
    "jobs": (["run", "--jobs", "0"], "'--jobs'"),
    "timeout": (["run", "--timeout", "-1"], "'--timeout'"),
    "number": (["run", "--timeout", "soon"], "invalid value for '--timeout'"),
    "checkpoints": (["run", "--checkpoint-every", "-5"], "'--checkpoint-every'"),
    "argument": (["report"], "missing argument"),
    "data": (["data", "fly"], "'fly'; see: python -m bench data --help"),
}


@pytest.mark.parametrize("name", USAGES)
def test_a_wrong_usage_is_one_line_and_exit_code_2(main: Main, name: str) -> None:
    arguments, words = USAGES[name]
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert words in err
    assert "--help" in err


def test_no_arguments_show_the_help(main: Main) -> None:
    code, out, err = main()
    assert code == 2
    assert "Usage: python -m bench" in out + err
    assert "leaderboard" in out + err


def test_help_names_every_verb_and_option(main: Main) -> None:
    code, out, _ = main("--help")
    assert code == 0
    assert all(verb in out for verb in ("run", "report", "list", "doctor"))
    out = main("run", "--help")[1]
    limits = ("timeout", "memory", "checkpoint-every", "retry", "fail-fast", "keep-going")
    for option in ("algorithms", "datasets", "shots", "seeds", "jobs", "device", *limits, "out", "dry-run", "quiet"):
        assert f"--{option}" in out


def test_user_errors_are_value_errors() -> None:
    assert issubclass(UserError, ValueError)
