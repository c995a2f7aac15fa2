"""A panel that fails is a note in its place, and names are drawn as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.text import Text

from algorithms import ALGORITHMS
from bench.analysis.experiments import gather
from bench.report import page as page_module
from bench.report.figures import KINDS, overview
from bench.report.figures import difficulty as difficulty_figure
from bench.report.figures.style import literal
from bench.report.panels import Panels
from bench.report.write import write_report
from bench.speed.report import draw as draw_speed
from bench.tuning.report import figures as tuning_figures
from datasets import DATASETS, DatasetEntry, UserError, load
from datasets.core.episodes import Dataset, EpisodeStream, Kind, Shape, Split
from datasets.drawing import contact_sheet
from tests.bench.helpers import GLYPHS, Main
from tests.bench.stats.stores import write

NAME = "$_$"  # mathematics to matplotlib, and such as it cannot parse
USE = {"ways": [3], "shots": [1]}


@dataclass(frozen=True)
class Foreign:
    """A plug-in's dataset; its episodes cannot be drawn, for asking for one raises."""

    name: str
    input_shape: tuple[int, ...]
    kind: Kind = "classification"
    fingerprint: str = "made up"
    error: Callable[[], Exception] = lambda: RuntimeError("no \ud800 episodes")

    def stream(self, split: Split, shape: Shape, seed: int, device: object = None) -> EpisodeStream:
        raise self.error()

    def examples(self, seed: int, device: object = None) -> object:
        raise self.error()


def register(monkeypatch: pytest.MonkeyPatch, name: str, dataset: object) -> None:
    def load_it(root: Path) -> Dataset:
        return dataset  # type: ignore[return-value]

    entry = DatasetEntry(name, "classification", "omniglot", "", "", load_it)
    monkeypatch.setitem(DATASETS._entries, name, entry)


@pytest.fixture
def matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment on inputs that are neither images nor vectors."""
    register(monkeypatch, "matrices", Foreign("matrices", (2, 8)))
    return write(tmp_path / "e", {"maml": 0.8, "reptile": 0.6}, datasets=[{"name": "matrices", **USE}])


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment on images whose episodes raise, beside one that is whole."""
    register(monkeypatch, "broken", Foreign("broken", (1, 8, 8)))
    return write(tmp_path / "e", {"maml": 0.8, "reptile": 0.6}, datasets=[{"name": "broken", **USE}, dict(GLYPHS)])


def test_inputs_that_cannot_be_drawn_have_no_gallery(matrices: Path) -> None:
    report = write_report(matrices)
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert report.failed == ()
    assert 'id="gallery-' not in page
    assert "examples of matrices have the shape (2, 8)" in page
    with pytest.raises(UserError, match=r"cannot be shown: its examples have the shape \(2, 8\)"):
        contact_sheet.draw(Foreign("v", (2, 8)), matrices / "v.png", "test", Shape(2, 1, 1), 1)  # type: ignore[arg-type]


def test_a_panel_that_fails_is_a_note_in_its_place(broken: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = write_report(broken)
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    reason = "RuntimeError: no \\ud800 episodes"
    assert report.failed == (f"Test episodes of broken 3-way 1-shot: {reason}",)
    note = page[page.index('<figure id="gallery-broken-3-way-1-shot">') :].split("</figure>")[0]
    assert f"Not drawn: {reason}" in note
    for kind in ("scores", "time", "memory", "steps", "difficulty"):
        assert f'<figure id="{kind}-broken-3-way-1-shot">' in page
        assert f'<figure id="{kind}-glyphs-3-way-1-shot">' in page
    assert {path.name for path in report.files} >= {"leaderboard.csv", "cells.csv", "scores.png", "scores.svg"}
    assert [record.message for record in caplog.records].count(
        f"Test episodes of broken 3-way 1-shot could not be drawn: {reason}"
    ) == 1


def test_the_verbs_exit_code_says_that_a_panel_failed(broken: Path, main: Main) -> None:
    for _ in range(2):  # the report is written anew each time
        code, out, err = main("report", broken)
        assert code == 1
        assert "e/report/index.html" in out
        assert "1 panel could not be drawn, for the reasons above; the rest of the report is whole" in err


def test_a_failing_kind_of_figure_costs_no_other(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(axis: object, section: object) -> None:
        if getattr(section, "dataset", "") == "glyphs":
            plt.figure()  # left open, as by code that raises half-way
            raise ValueError("no scores")

    monkeypatch.setattr(
        page_module, "KINDS", tuple(replace(kind, draw=draw) for kind in KINDS if kind.name == "scores")
    )
    monkeypatch.setattr(
        "bench.report.write.KINDS", tuple(replace(kind, draw=draw) for kind in KINDS if kind.name == "scores")
    )
    report = write_report(broken)
    assert report.failed[0] == "Mean and intervals of glyphs 3-way 1-shot: ValueError: no scores"
    assert len(report.failed) == 2
    assert (report.folder / "scores.png").is_file()
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert page.count("Not drawn: ValueError: no scores") == 1
    assert "Test episodes of glyphs" not in "".join(report.failed)
    assert plt.get_fignums() == []


def test_a_full_disk_is_no_failed_panel() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    panels = Panels()
    with pytest.raises(OSError, match="No space left"):
        panels.attempt("x", full)
    assert panels.failed == {}


def test_an_exception_without_words_is_said() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail() -> None:
        raise Silent

    panels = Panels()
    assert panels.attempt("x", fail) is None
    assert panels.lines() == ["x: Silent: no message, because its __str__ raises ValueError"]


def texts(figure: Figure) -> list[str]:
    """Return the drawn texts that hold the name; fails where one is taken for mathematics."""
    figure.canvas.draw()
    found = [text for text in figure.findobj(Text) if "_" in text.get_text()]  # type: ignore[attr-defined]
    assert not any(cbook.is_math_text(text.get_text()) for text in found)
    return [text._preprocess_math(text.get_text())[0] for text in found]


@pytest.mark.parametrize("name", ["$_$", "$x", r"\$_$", "a$b$c$$", r"$\frac{$"])
def test_names_are_drawn_letter_by_letter(name: str) -> None:
    figure = Figure()
    text = figure.text(0, 0, literal(name))
    figure.canvas.draw()
    assert text._preprocess_math(text.get_text()) == (name, False)  # type: ignore[attr-defined]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment in which dataset, label, algorithm and classes have the name."""
    register(monkeypatch, NAME, replace(load("glyphs"), name=NAME, fingerprint="made up", class_names=(NAME,) * 1026))  # type: ignore[type-var]
    monkeypatch.setitem(ALGORITHMS._entries, NAME, replace(ALGORITHMS["maml"], name=NAME))
    use = {"name": NAME, "network": {"channels": 4}, "evaluation": {"label": NAME}, **USE}
    return write(tmp_path / "e", {NAME: 0.8, "reptile": 0.6}, datasets=[use])


def test_a_report_with_such_names_is_whole(named: Path) -> None:
    report = write_report(named)
    assert report.failed == ()
    for kind in KINDS:
        figure = overview(kind, gather([named]), Panels())
        if figure is not None:
            drawn = texts(figure)
            assert {f"{NAME} 3-way 1-shot ({NAME})", NAME} <= set(drawn), kind.name
            plt.close(figure)
    (section,) = gather([named]).sections()
    table = difficulty_figure.difficulty(section)
    shown = texts(difficulty_figure.figure(table, dict.fromkeys(range(20), NAME)))
    assert len(shown) >= difficulty_figure.HARDEST + difficulty_figure.EASIEST
    assert all(text.startswith(f"{NAME} (") for text in shown)


def test_the_figures_of_a_search_take_such_names(monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"dataset": NAME, "shape": "5-way 1-shot", "algorithm": NAME, "metric": "accuracy_transductive"}
    values = {"trials": 1, "value": 0.5, "best": 0.5, "expected_best": 0.5, "hyper-parameter": NAME, "importance": 1.0}
    more = {"difference": 0.1, "low": 0.0, "high": 0.2, "seconds": 9.0, "selected_seconds": 3.0}
    trials = {"status": "ok", "adapt_ms": 2.0, "validation": 0.5}
    table, metrics = pd.DataFrame([place | values | more | trials]), {NAME: "accuracy_transductive"}
    for figure in (
        tuning_figures.history(table, metrics),
        tuning_figures.expected_best(table, metrics),
        tuning_figures.importance(table),
        tuning_figures.default_and_tuned(table),
        tuning_figures.cost(table),
        tuning_figures.pareto(table, metrics, "adapt_ms"),
    ):
        drawn = texts(figure)
        assert {f"{NAME} 5-way 1-shot", NAME} <= set(drawn)
        plt.close(figure)


def test_the_figure_of_speed_takes_such_names(tmp_path: Path) -> None:
    row = {"workload": NAME, "threads": 1, "contender": NAME, "times_ours": 2.0, "low": 1.5, "high": 3.0}
    draw_speed(pd.DataFrame([row | {"wrong": False}]), tmp_path / "speed.png")
    assert (tmp_path / "speed.png").is_file()


def test_a_contact_sheet_takes_such_names(tmp_path: Path) -> None:
    dataset = replace(load("glyphs"), name=NAME)  # type: ignore[type-var]
    assert contact_sheet.draw(dataset, tmp_path / "sheet.png", "test", Shape(2, 1, 1), 1).is_file()
