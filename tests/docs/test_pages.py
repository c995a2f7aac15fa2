"""The code and the commands of the README and of the pages run as they are printed, in a fresh folder."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from algorithms import ALGORITHMS
from bench.cli import main
from bench.execution.events import Failed, Finished, Planned, Progressed, Started
from bench.protocol.outcome import Progress
from bench.spec.grid import GRIDS
from bench.store.store import Failure
from tests.bench.helpers import entries_removed_again, tiny

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
TOO_LONG = (
    "bench run grid",
    "bench run language",
    "bench check",
)  # a quarter of an hour; and what the page's own test asserts


@dataclass(frozen=True)
class Page:
    """The titled blocks of a page as files, and its command lines in order."""

    files: dict[str, str]
    commands: list[list[str]]


def page(path: str) -> Page:
    """Blocks of the same title are parts of one file. Commands are the lines of ``sh`` blocks that start Python."""
    files: dict[str, str] = {}
    commands = []
    for language, title, text in BLOCK.findall((ROOT / path).read_text(encoding="utf-8")):
        if title:
            files[title] = f"{files[title]}\n\n{text}" if title in files else text
        if language == "sh":
            lines = [line.removeprefix("uv run ") for line in text.splitlines()]
            commands += [shlex.split(line, comments=True) for line in lines if line.startswith("python ")]
    return Page(files, [words for words in commands if not any(part in " ".join(words) for part in TOO_LONG)])


def small(text: str, **changes: Any) -> str:
    """The same grid with so small a budget that a cell takes a moment."""
    content = yaml.safe_load(text) | changes
    for use in content["datasets"]:
        images = "ways" in use or use["name"] == "glyphs"
        if "module" not in use.get("network", {}) and use["name"] != "cldr-names":
            use |= {"network": {"channels": 4} if images else {"hidden": [8]}}
        if images:
            use |= {"ways": [3]}
        use.pop("train", None)
        use.pop("evaluation", None)
    content |= {"seeds": [0], "train": {"episodes": 8, "n_query": 2, "eval_every": 1}}
    content |= {"evaluation": {"val_episodes": 2, "test_episodes": 3, "n_query": 2}}
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("path", "folder", "algorithms"),
    [
        ("README.md", "results/smoke", {"maml", "reptile"}),
        ("README.md", "results/heads", {"maml", "maml-head"}),
        ("docs/index.md", "results/smoke", {"maml", "reptile"}),
        ("docs/running.md", "results/mine", {"maml", "fomaml"}),
        ("docs/data.md", "results/mine", {"maml", "protonet", "finetune"}),
        ("docs/text.md", "results/texts", {"maml", "protonet", "finetune"}),
        ("docs/control.md", "results/pendulums", {"maml-trpo", "pretrained", "scratch-policy"}),
        ("docs/extending/algorithm.md", "results/decay", {"maml", "maml-decay"}),
        ("docs/extending/network.md", "results/cnn", {"maml", "protonet"}),
        ("docs/extending/dataset.md", "results/mine", {"maml", "reptile", "finetune"}),
        ("docs/extending/figure.md", "results/smoke", {"maml", "reptile"}),
    ],
)
def test_a_page_runs_as_it_is_printed(
    path: str, folder: str, algorithms: set[str], ran: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if path not in ran:
        ran[path] = tmp_path_factory.mktemp("page")
        _run(page(path), ran[path])
    board = pd.read_csv(ran[path] / folder / "report" / "leaderboard.csv")
    assert set(board["algorithm"]) == algorithms
    assert (board["failed"] == 0).all()


@pytest.fixture(scope="module")
def ran() -> dict[str, Path]:
    """The folders of the pages that have run already."""
    return {}


def _run(shown: Page, folder: Path) -> None:
    """Write the files, then run the commands; the built-in grid ``smoke`` becomes a file with a small budget."""
    assert shown.files
    assert shown.commands
    for name, text in shown.files.items():
        written = (
            small(text) if name.endswith(".yaml") else text.replace('bench.run("smoke")', 'bench.run("smoke.yaml")')
        )
        (folder / name).write_text(written, encoding="utf-8")
    smoke = small((GRIDS / "smoke.yaml").read_text(encoding="utf-8"), algorithms=["maml", "reptile"])
    (folder / "smoke.yaml").write_text(smoke, encoding="utf-8")
    for words in shown.commands:
        _here(["smoke.yaml" if word == "smoke" else word for word in words[1:]], folder)


def _in_a_process(arguments: list[str], folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}\n{done.stderr}"


def _here(arguments: list[str], folder: Path) -> None:
    """Run a command in this process, which has imported already what each command would; leave nothing of its own."""
    modules = set(sys.modules)
    with entries_removed_again(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        patch.syspath_prepend(str(folder))
        if arguments[:2] == ["-m", "bench"]:
            patch.setattr(sys, "argv", ["bench", *arguments[2:]])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code in (0, None), shlex.join(arguments)
        elif arguments[0] == "-m":  # another tool
            _in_a_process(arguments, folder)
        else:
            patch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def test_the_figure_page_leaves_its_figures(ran: dict[str, Path]) -> None:
    if "docs/extending/figure.md" not in ran:
        pytest.skip("the page has not been run")
    names = {path.name for path in (ran["docs/extending/figure.md"] / "figures").iterdir()}
    assert names == {"seeds-sinusoid-10-shot.png", "seeds-glyphs-3-way-1-shot.png"}


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/api").glob("*.md")))
def test_every_name_of_the_reference_exists(path: str) -> None:
    names = re.findall(r"^::: (\S+)$", (ROOT / path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert names
    for name in names:
        parts = name.split(".")
        found: Any = importlib.import_module(parts[0])
        for place, part in enumerate(parts[1:], start=2):
            found = getattr(found, part, None) or importlib.import_module(".".join(parts[:place]))
        assert found.__doc__, name


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "results/README.md"])
def test_links_lead_to_files(path: str) -> None:
    links = LINK.findall((ROOT / path).read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (ROOT / path).parent.joinpath(link).exists(), link


def test_the_table_of_algorithms_has_the_kinds_that_they_learn() -> None:
    rows = re.findall(r"^\| (`.*?`) \|.*\| (\w+) \|$", (ROOT / "docs/algorithms.md").read_text(), re.MULTILINE)
    shown = {name: words for names, words in rows for name in re.findall("`(.*?)`", names)}
    kinds = {e.name: e.kinds[0] if len(e.kinds) == 1 else "both" for e in ALGORITHMS}
    assert {name: shown.get(name) for name in kinds} == kinds


def test_the_layout_shows_the_folders_that_there_are() -> None:
    (tree,) = re.findall(
        r"^## Layout\n```\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
    )
    shown: dict[str, set[str]] = {}
    top = ""
    for line in tree.splitlines():
        name = line.split()[0].rstrip("/")
        if not line.startswith(" "):
            top = name
            shown[top] = set()
        elif line.split()[0].endswith("/"):
            shown[top].add(name)
    for package in ("bench", "algorithms", "datasets"):
        there = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        assert shown[package] == there, package


def test_the_tracker_of_the_page_logs_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cells at once, one of which fails, with a stand-in for the tracker's package."""
    log: list[tuple[Any, ...]] = []

    class Run:
        def __init__(self, name: str, config: dict[str, Any], **rest: Any) -> None:
            self.name = config["algorithm"]
            log.append((self.name, "start", name))

        def log(self, numbers: dict[str, float], step: int | None = None) -> None:
            log.append((self.name, step, numbers))

        def finish(self, exit_code: int = 0) -> None:
            log.append((self.name, "end", exit_code))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=Run))
    scope: dict[str, Any] = {}
    exec(compile(page("docs/running.md").files["track_wandb.py"], "track_wandb.py", "exec"), scope)
    maml, anil = tiny(algorithms=["maml", "anil"]).cells()
    for event in (
        Planned((maml, anil), ()),
        Started(maml),
        Started(anil),
        Progressed(maml, Progress(1, 3, None)),
        Progressed(maml, Progress(2, 3, 0.5)),
        Failed(anil, Failure("oom", "too large")),
        Finished(maml, 0.25, 2.0),
    ):
        scope["track"](event)
    assert log == [
        ("maml", "start", maml.id),
        ("anil", "start", anil.id),
        ("maml", 2, {"validation": 0.5}),
        ("anil", "end", 1),
        ("maml", None, {"score": 0.25, "seconds": 2.0}),
        ("maml", "end", 0),
    ]
    assert scope["runs"] == {}
