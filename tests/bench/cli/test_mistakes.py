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
    "set's name": (
        ["run", "mine.yaml", "--set", "inner_lrr=1"],
        "--set inner_lrr=1: no algorithm of grid 'mine' has a",
    ),
    "set's value": (["run", "mine.yaml", "--set", "inner_lr=soon"], "--set inner_lr=soon: maml: inner_lr: got 'soon'"),
    "set's section": (
        ["run", "mine.yaml", "--set", "inner_lr=1", "--set", "train.episods=1"],
        "--set train.episods=1: train: episods: unknown field, did you mean 'episodes'?",
    ),
    "set's YAML": (["run", "mine.yaml", "--set", "inner_lr=[1"], "--set inner_lr=[1: '[1' is not a value: expected"),
    "set's rivals": (["run", "mine.yaml", "--set", "train.episodes=1", "--set", "train.seconds=1"], "--set: "),
    "tune's set": (["tune", "mine.yaml", "--set", "inner_lr=soon"], "--set inner_lr=soon: maml: inner_lr: got 'soon'"),
    "episodes' set": (
        ["episodes", "sinusoid", "5-shot", "--grid", "mine.yaml", "--out", "e.npz", "--set", "inner_lr=soon"],
        "--set inner_lr=soon: maml: inner_lr: got 'soon'",
    ),
    "episodes' set for results": (
        ["episodes", "sinusoid", "5-shot", "--results", "done", "--out", "e.npz", "--set", "inner_lr=1"],
        "--set: the episodes of done are those of its finished cells; leave it out",
    ),
    "check's set": (["check", "maml", "--set", "inner_lr=soon"], "--set inner_lr=soon: maml: inner_lr: got 'soon'"),
    "network's set": (["check", "conv4", "--set", "channels=few"], "--set channels=few: conv4: channels: got 'few'"),
    "own data": (["data", "verify", "mine"], "for a folder or table of your own, add the grid that gives its path"),
    "own data shown": (["data", "show", "mine.csv"], "add the grid that gives its path: --grid GRID.yaml"),
    "own data tuned": (["tune", "maml", "mine"], "add the grid that gives its path: --grid GRID.yaml"),
    "own data fetched": (["data", "fetch", "mine"], "own needs no preparation: a grid gives its path"),
    "own data prepared": (["data", "prepare", "mine", "--from", "file"], "own needs no preparation"),
    "own data's episodes": (["episodes", "mine", "5-shot", "--out", "e.npz"], "another grid or experiment: --grid or"),
    "data that is built in": (["data", "fetch", "glyphs"], "is built in: it has no files; `python -m bench data list`"),
    "split": (["data", "show", "glyphs", "--split", "tst"], "--split: got 'tst', did you mean 'test'?"),
    "compare without results": (["compare", "maml", "reptile"], "--results: there is no results/grid here; name the"),
    "cache": (["run", "mine.yaml", "--cache-dir", "file"], "--cache-dir: file is a file; give the folder"),
    "empty grid": (["run", "empty.yaml"], "such as `algorithms: [maml]`, but the file is empty"),
    "grid that is a list": (["run", "list.yaml"], "such as `algorithms: [maml]`, but this is a list"),
    "no grid": (["run", ""], "no grid ''; `python -m bench list` lists them"),
    "an algorithm of many": (["check", "mamml"], "did you mean 'maml'? `python -m bench list` lists all"),
    "a name like none": (["list", "zzz"], "unknown name 'zzz'; `python -m bench list` lists all"),
    "markup": (["run", "[bold]x[/bold]"], "error: [bold]x[/bold]: no such file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(main: Main, tmp_path: Path, name: str) -> None:
    arguments, words = MISTAKES[name]
    write_grid(tmp_path / "mine.yaml")
    write_grid(tmp_path / "bad.yaml", seeds=["x"])
    (tmp_path / "file").touch()
    (tmp_path / "empty.yaml").touch()
    (tmp_path / "list.yaml").write_text("- maml")
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
    "misspelt verb": (["ruun"], "there is no command 'ruun', did you mean 'run'?; see: python -m bench --help"),
    "misspelt option": (
        ["run", "--shotz", "1"],
        "there is no option --shotz, did you mean '--shots'?; see: python -m be",
    ),
    "argument": (["report"], "error: DIR: required, but not given; see: python -m bench report --help"),
    "argument of data": (
        ["data", "show"],
        "error: NAME: required, but not given; see: python -m bench data show --help",
    ),
    "required option": (["pack", "here"], "error: --out: required, but not given; see: python -m bench pack --help"),
    "option's value": (["run", "--shots"], "error: --shots: a value must follow it; see: "),
    "list with spaces": (
        ["run", "smoke", "--algorithms", "maml,", "anil"],
        "'anil' is too much here; a list has commas",
    ),
    "data": (["data", "fly"], "'fly'; see: python -m bench data --help"),
}
VALUES = {
    "jobs": (["run", "--jobs", "0"], "--jobs: got '0'; use a whole number from 1"),
    "jobs in words": (["run", "--jobs", "all"], "--jobs: got 'all'; use a whole number"),
    "timeout": (["run", "--timeout", "-1"], "--timeout: got '-1'; use a number from 0.001"),
    "number": (["run", "--timeout", "soon"], "--timeout: got 'soon'; use a number"),
    "checkpoints": (["run", "--checkpoint-every", "-5"], "--checkpoint-every: got '-5'; use a number from 0"),
    "ways": (["data", "show", "glyphs", "--ways", "0"], "--ways: got '0'; use a whole number from 1"),
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


@pytest.mark.parametrize("name", VALUES)
def test_a_value_out_of_range_is_one_line_in_the_same_style(main: Main, name: str) -> None:
    arguments, line = VALUES[name]
    assert main(*arguments) == (2, "", f"error: {line}\n")


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
