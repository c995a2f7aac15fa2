"""A path with nothing at it, a folder for a file and a file for a folder: one line that says which of these it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.helpers import Main, write_grid
from tests.bench.stats.stores import write

RUN = "give the folder that `python -m bench run` wrote"
PACK = "give a file that `python -m bench pack` wrote"
EPISODES = "give a file that `python -m bench episodes` wrote"
SCORE = ("--name", "mine", "--source", "me", "--train-episodes", "1", "--out", "scored")
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    **{
        f"{verb[0]} {path}": ((verb[0], path, *verb[1:]), f"error: {path} {why}")
        for verb in (
            ("report",),
            ("leaderboard",),
            ("cost",),
            ("repro",),
            ("pack", "--out", "new.zip"),
            ("export", "maml", "--out", "new"),
            ("predict", "--support", "folder", "--query", "folder"),
        )
        for path, why in (("nowhere", f"does not exist; {RUN}"), ("file", f"is a file; {RUN}"))
    },
    "report beside nothing": (("report", "done", "--compare", "nowhere"), f"nowhere does not exist; {RUN}"),
    "compare nothing": (("compare", "maml", "anil", "--results", "nowhere"), f"nowhere does not exist; {RUN}"),
    "compare a file": (("compare", "maml", "anil", "--results", "file"), f"file is a file; {RUN}"),
    "archive for results": (("report", "file.zip"), "unpack it: python -m bench unpack file.zip --out DIR"),
    "validate nothing": (("validate", "nowhere.zip"), f"error: there is no file nowhere.zip; {PACK}"),
    "validate a folder": (("validate", "folder.zip"), f"error: folder.zip is a folder; {PACK}"),
    "unpack nothing": (("unpack", "nowhere.zip", "--out", "new"), f"there is no file nowhere.zip; {PACK}"),
    "unpack a folder": (("unpack", "folder.zip", "--out", "new"), f"folder.zip is a folder; {PACK}"),
    "unpack into a file": (
        ("unpack", "file.zip", "--out", "file"),
        "--out: file is a file; give a new or empty folder",
    ),
    "merge nothing": (("merge", "nowhere", "done"), f"nowhere does not exist; {RUN}"),
    "merge no archive": (("merge", "nowhere.zip", "done"), f"there is no file nowhere.zip; {PACK}"),
    "merge into nothing": (
        ("merge", "a.zip", "new"),
        "new holds no experiment to merge into; to start one from a.zip: `python -m bench unpack a.zip --out new`",
    ),
    "merge a folder into nothing": (("merge", "done", "new"), "to start one from done: copy done there"),
    "merge into a file": (("merge", "done", "file"), "file holds no experiment to merge into"),
    "score nothing": (("score", "nowhere.csv", "--episodes", "e.npz", *SCORE), "there is no file nowhere.csv; give an"),
    "score a folder": (("score", "folder.csv", "--episodes", "e.npz", *SCORE), "folder.csv is a folder; give another"),
    "no episodes": (("score", "p.csv", "--episodes", "nowhere.npz", *SCORE), f"no file nowhere.npz; {EPISODES}"),
    "episodes in a folder": (("score", "p.csv", "--episodes", "folder", *SCORE), f"folder is a folder; {EPISODES}"),
    "episodes of nothing": (
        ("episodes", "sinusoid", "5-shot", "--results", "nowhere", "--out", "new.npz"),
        f"nowhere does not exist; {RUN}",
    ),
    "episodes to a folder": (("episodes", "sinusoid", "10-shot", "--out", "folder"), "--out: got folder; give a file"),
    "pack to a folder": (("pack", "done", "--out", "folder.zip"), "--out: got folder.zip; give a file"),
    "pack below a file": (("pack", "done", "--out", "file/new.zip"), "--out: cannot write results to"),
    "report to a file": (("report", "done", "--out", "file"), "--out: cannot write the report to"),
    "repro to a file": (("repro", "done", "--out", "file"), "--out: cannot write results to"),
    "grid in nothing": (("run", "nowhere.yaml"), "error: nowhere.yaml: no such file"),
    "grid in a folder": (("run", "folder"), "error: folder: a folder, not a grid"),
    "tune nothing": (("tune", "nowhere.yaml"), "error: nowhere.yaml: no such file"),
    "own data of nothing": (("data", "verify", "mine", "--grid", "nowhere.yaml"), "error: nowhere.yaml: no such file"),
    "prepare nothing": (("data", "prepare", "omniglot", "--from", "nowhere"), "there is nothing at nowhere; give the"),
    "picture below a file": (("data", "show", "sinusoid", "--out", "file/new.png"), "--out: cannot write results to"),
    "picture for a folder": (("data", "show", "sinusoid", "--out", "folder"), "--out: folder is a folder; give a file"),
    "data root in a file": (("data", "list", "--data-root", "file"), "--data-root: file is not a folder"),
    "cache in a file": (("doctor", "--cache-dir", "file"), "--cache-dir: file is a file; give the folder"),
    "speed to a file": (("speed", "--out", "file"), "--out: cannot write results to file: File exists"),
}


@pytest.fixture
def folder(main: Main, tmp_path: Path) -> Path:
    """A folder with results and with files and folders that are none."""
    write(tmp_path / "done", {"maml": 0.8, "anil": 0.7})
    write_grid(tmp_path / "mine.yaml")
    for name in ("folder", "folder.zip", "folder.csv"):
        (tmp_path / name).mkdir()
    for name in ("file", "file.zip", "p.csv"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_path_is_one_line_and_exit_code_2(main: Main, name: str) -> None:
    arguments, words = WRONG[name]
    if "e.npz" in arguments:
        assert main("episodes", "sinusoid", "5-shot", "--grid", "mine.yaml", "--out", "e.npz")[0] == 0
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
