"""A dataset of texts from its cells to the page, the terminal and a learner of strings; HTML in texts is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bench
from bench.analysis.experiments import gather
from bench.cli.data import app
from bench.protocol.cell_run import run_cell
from bench.report.text_episodes import text_episodes
from bench.report.write import write_report
from bench.spec.cell import Cell
from bench.spec.grid import Grid
from bench.store.store import Store
from datasets import DATASETS, DatasetEntry, UserError
from datasets.text.dataset import TextDataset
from tests.bench.helpers import entries_removed_again, tiny
from tests.bench.store.store_writers import MEASURED
from tests.datasets.text.toy import made, pool_of

NASTY = ("<script>alert(1)</script>", "שלום & 'עולם'", "e\u0301 👩\u200d🚀")


def toy() -> TextDataset:
    """The toy dataset, whose test texts and class names hold what HTML must not."""
    usual = made("toy-texts")
    texts = [[f"{NASTY[(c + i) % 3]} {c} {i}" for i in range(10)] for c in range(5)]
    names = tuple(name.replace("/", "/<b>") for name in usual.class_names)
    changed = replace(usual, pools={**usual.pools, "test": pool_of(texts, 10)}, class_names=names)
    return changed.tokenized(usual.tokens)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    with entries_removed_again():
        DATASETS.add(
            DatasetEntry("toy-texts", "classification", "text", "texts", "", lambda root: toy(), None, ("text",))
        )
        yield


def grid() -> Grid:
    return tiny(
        algorithms=["maml", "protonet"],
        datasets=[
            {
                "name": "toy-texts",
                "ways": [3],
                "shots": [2],
                "network": {"name": "text-mlp", "hidden": [8]},
                "text": {"tokens": "ngrams", "length": 24, "vocabulary": 64},
            },
            {
                "name": "toy-texts",
                "ways": [3],
                "shots": [1],
                "network": {"name": "text-mlp", "hidden": [8]},
                "text": {"tokens": "words", "length": 8, "vocabulary": 64},
            },
        ],
        train={"episodes": 4, "n_query": 2, "eval_every": 1},
        settings=[{"set": {"meta_batch": 4, "test_steps": 2}}],
    )


def cells() -> list[Cell]:
    return grid().cells()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, _registered: None) -> Path:
    store = Store(tmp_path_factory.mktemp("texts") / "results")
    store.create()
    for cell in cells():
        measured = {**MEASURED, "summary": {"peak_mib": 1.0, "peak_rise_mib": 1.0}}
        store.write_result(cell, run_cell(cell, cell.entry.load(Path())), measured)
    return store.root


def test_the_page_has_episodes_with_the_predictions_of_the_cells(folder: Path, tmp_path: Path) -> None:
    page = (write_report(folder, tmp_path / "report").folder / "index.html").read_text(encoding="utf-8")
    assert "Test episode 0" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert " <b>" not in page
    assert " &lt;b&gt;" in page
    assert '<td class="words" dir="auto">' in page
    assert "No pictures" not in page
    words = "tokens: words of the meta-train texts, the first 8 of a text, 64 ids."
    assert f"Network: text-mlp (head init small, hidden 8); {words}" in page
    assert "tokens: n-grams of 1 to 3 characters, hashed, the first 24 of a text, 64 ids." in page
    assert ">accuracy %<" in page  # no batch norm
    assert "inductive %" not in page


def test_shown_predictions_are_those_that_the_cells_recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.text_episodes.QUERIES", 99)
    experiments = gather([folder])
    for section in experiments.sections():
        shown = text_episodes(experiments, section, toy())
        assert len(shown) == 2
        for place, name in enumerate(shown[0].algorithms):
            (cell,) = (c for c in cells() if c.algorithm == name and c.shape == section.shape)
            rows = Store(folder).episodes()
            rows = rows[(rows["algorithm"] == name) & (rows["shape"] == cell.shape)]
            last = rows[rows["step"] == rows["step"].max()].set_index("episode")["n_correct_transductive"]
            for episode in shown:
                right = sum(line.predictions[place].right for line in episode.lines if line.role == "query")
                assert right == last[episode.number]


def test_episodes_are_written_to_the_terminal_or_a_file(tmp_path: Path) -> None:
    arguments = ["show", "toy-texts", "--split", "test", "--ways", "2", "--episodes", "1"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "episode 0 of toy-texts test: 2-way 1-shot" in result.output
    assert result.output.count("support") == 2
    assert result.output.count("query") == 6
    CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "shown.txt")])
    assert (tmp_path / "shown.txt").read_text(encoding="utf-8") == result.output


def test_a_learner_takes_strings(folder: Path) -> None:
    learner = bench.load_learner(folder, algorithm="protonet", shape="3-way 2-shot")
    support = ["sol uno", "sol due", "mar tres", "mar quattro", "pan cinque", "pan sei"]
    learner.fit(support, ["s", "s", "m", "m", "p", "p"])
    assert list(learner.predict([support[0], "MAR\u00a0tres", "pan cinque"])) == ["s", "m", "p"]
    for wrong, message in (
        ("sol", "got one string"),
        ([], "got no texts"),
        ([1], r"\[0\]: got int; this learner takes texts"),
        (["a", " "], r"X\[1\] has no text"),
        (["\ud800"], "is not valid Unicode"),
        (7, "got int; give a list of texts"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            learner.predict(wrong)
        assert "\n" not in str(caught.value)
