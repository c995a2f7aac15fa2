"""Figures: their values against values worked out by hand or by brute force, and that nothing overlaps."""

from __future__ import annotations

import itertools
import math
import runpy
from collections.abc import Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from algorithms import ALGORITHMS
from bench.analysis.experiments import Section, gather
from bench.report import page
from bench.report.figures import KINDS, FigureKind, gallery, panel, style, styled
from bench.report.figures import difficulty as difficulty_figure
from bench.report.figures.costs import pareto
from bench.report.figures.difficulty import difficulty, short_name
from bench.report.figures.drawn import drawn
from bench.report.figures.lines import by_step
from bench.report.figures.style import FIXED, FOREGROUND, HUES, legend, look_of, spread, svg
from datasets import load
from tests.bench.helpers import tiny
from tests.bench.stats.stores import GLYPHS, write

BY_NAME = {kind.name: kind for kind in KINDS}
PLACES = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=12)


@given(PLACES, st.floats(0.01, 0.5))
def test_spread_moves_apart_and_keeps_order_and_middle(places: list[float], gap: float) -> None:
    moved = spread(places, gap)
    order = sorted(range(len(places)), key=lambda i: places[i])
    steps = [moved[b] - moved[a] for a, b in itertools.pairwise(order)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert sum(moved) == pytest.approx(sum(places), abs=1e-9)


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=10))
def test_spread_keeps_within_its_bounds(places: list[float]) -> None:
    moved = spread(places, 0.1, 0.0, 1.0)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert min(moved) >= 0.0
    assert max(moved) <= 1.0 + 1e-12
    assert all(moved[b] - moved[a] >= 0.1 - 1e-9 for a, b in itertools.pairwise(order))


def test_spread_leaves_what_is_apart_where_it_is() -> None:
    assert spread([0.0, 1.0, 0.5], 0.4) == [0.0, 1.0, 0.5]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])


def test_the_front_is_what_no_point_beats() -> None:
    @settings(max_examples=200)
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=10))
    def holds(points: Sequence[tuple[int, int]]) -> None:
        front = pareto([(float(c), float(g)) for c, g in points])
        kept = {points[i] for i in front}
        beaten = {p for p in points if any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
        assert kept == set(points) - beaten
        assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)

    holds()


def test_no_two_of_our_algorithms_look_the_same() -> None:
    names = list(ALGORITHMS.names())
    for shown in (names, [*names, *(f"maml ({i})" for i in range(20))], ["maml", "maml (1)", "reptile", "somebodys"]):
        assert len({look_of(name, shown).colour for name in shown}) == len(shown)
        assert len({(look_of(name, shown).marker, look_of(name, shown).dash) for name in shown}) == len(shown)
    assert look_of("maml") == look_of("maml", ["maml", "maml (1)"])


def test_no_two_of_our_colours_are_near_each_other() -> None:
    """CIELAB distances; 20 apart is told apart at a glance, also by thin lines."""
    colours = {name: _lab(look_of(name).colour) for name in ALGORITHMS.names()}
    near = [(a, b) for a, b in itertools.combinations(colours, 2) if math.dist(colours[a], colours[b]) < 20]
    assert near == []


def _lab(colour: str) -> list[float]:
    """L*, a* and b* of an sRGB colour under D65."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]


def test_a_legend_has_every_name() -> None:
    figure = Figure()
    axis = figure.add_subplot()
    legend(axis, [(line, name) for name in ("_hidden", "$x") for line in axis.plot([0, 1])])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["_hidden", r"\$x"]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("Georgian/U+10DA GEORGIAN LETTER LAS", "Georgian las"),
        ("Latin/U+0061 LATIN SMALL LETTER A", "Latin small a"),
        ("Mathematical Operators/U+2215 DIVISION SLASH", "Operators division slash"),
        ("Futurama/character01", "Futurama character01"),
        ("n02105505", "n02105505"),
        ("Latin/Zulu", "Latin Zulu"),
    ],
)
def test_names_of_classes_are_short_and_repeat_nothing(name: str, short: str) -> None:
    assert short_name(name) == short


def with_budgets(section: Section) -> Section:
    """The section as if its cells had been tested at three budgets, with times."""
    boards = [section.board.assign(budget=n, cost_train_seconds=n / 100) for n in (1000, 3000, 30000)]
    return replace(section, budgets=pd.concat(boards, ignore_index=True))


def test_marks_have_a_legend_in_the_figure_itself(section: Section) -> None:
    with styled():
        figure = panel(BY_NAME["scores"], section)
    (key,) = figure.legends
    shown = [text.get_text() for text in key.get_texts()]
    assert shown == [FIXED, "95% interval, new classes", "transductive", "inductive"]
    fresh = runpy.run_path(str(style.__file__))  # with the fonts that users get, which the tests do without
    files = fresh["files_of"](figure)
    assert set(files) == {"png", "svg", "pdf"}
    assert b"/CIDFontType2" in files["pdf"]
    assert b"/Type3" not in files["pdf"]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("paper", ["#ffffff", "#141418"])
def test_every_hue_stands_out_from_both_papers(paper: str) -> None:
    """WCAG 2.1, 1.4.11: graphical objects need a contrast of 3 to 1."""
    for hue in HUES:
        low, high = sorted((_luminance(hue), _luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3, hue


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Section:
    folder = tmp_path_factory.mktemp("figures") / "e"
    write(
        folder,
        {"maml": 0.8, "reptile": 0.62, "anil": 0.615, "finetune": 0.61, "logreg": 0.8, "protonet": 0.8},
        datasets=[dict(GLYPHS)],
    )
    (section,) = gather([folder]).sections()
    return section


def test_difficulty_is_the_mean_of_the_episodes_that_hold_the_class(section: Section) -> None:
    last = section.episodes[section.episodes["step"] == 1]
    found = difficulty(section).set_index("class_id")
    for class_id in range(20):
        values = []
        for _, rows in last.groupby("episode"):
            if class_id in rows["class_ids"].iloc[0]:
                values.append(float((rows["n_correct_transductive"] / rows["n_query"]).mean()))
        assert (class_id in found.index) == (len(values) >= 5)
        if class_id not in found.index:
            continue
        row = found.loc[class_id]
        assert row["episodes"] == len(values)
        assert row["accuracy"] == pytest.approx(np.mean(values))
        assert row["half"] > 0
    assert found["accuracy"].is_monotonic_increasing


def test_steps_are_means_over_episodes(section: Section) -> None:
    table = by_step(section).set_index(["algorithm", "seed", "x"])["y"]
    rows = section.episodes
    chosen = rows[(rows["algorithm"] == "maml") & (rows["seed"] == 1) & (rows["step"] == 0)]
    expected = 100 * (chosen["n_correct_transductive"] / chosen["n_query"]).mean()
    assert table["maml", 1, 0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "training"], ids=lambda kind: kind.name)
def test_no_two_labels_overlap_and_all_are_inside(section: Section, kind: FigureKind) -> None:
    with styled():
        figure = panel(kind, with_budgets(section))
        figure.canvas.draw()
        (axis,) = figure.axes
        limits = {axis.xaxis: axis.get_xlim(), axis.yaxis: axis.get_ylim()}
        ticks = [tick for one, (a, b) in limits.items() for tick in one.get_major_ticks() if a <= tick.get_loc() <= b]
        boxes = [text.get_window_extent() for text in (*axis.texts, *(tick.label1 for tick in ticks))]
        width, height = figure.canvas.get_width_height()  # type: ignore[attr-defined]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        for text in axis.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        plt.close(figure)


def test_a_figure_in_the_page_takes_its_colour_and_has_names_of_its_own(section: Section) -> None:
    with styled():
        one, other = (drawn(panel(BY_NAME["scores"], section), name, "t", "c", "a") for name in ("one", "other"))
    assert FOREGROUND not in one.svg
    assert "currentColor" in one.svg
    names = {part.split('"')[0] for part in one.svg.split('id="')[1:]}
    assert all(name.startswith("one-") for name in names)
    assert one.svg.replace("one-", "other-") == other.svg
    assert "<metadata" not in one.svg
    assert "http://" not in one.svg.replace("http://www.w3.org/", "")


def test_an_svg_has_no_date_and_is_the_same_twice(section: Section) -> None:
    with styled():
        first, second = (svg(panel(BY_NAME["time"], section)) for _ in range(2))
    plt.close("all")
    assert first == second
    assert "date" not in first.lower()


def test_alt_texts_hold_the_numbers(section: Section) -> None:
    for kind in (BY_NAME[name] for name in ("scores", "time", "memory", "steps")):
        words = kind.alt(section)
        for name in section.algorithms:
            assert name in words
    row = section.board.set_index("algorithm").loc["maml"]
    assert f"maml {100 * row['accuracy_transductive']:.3g}" in BY_NAME["scores"].alt(section)
    assert not math.isnan(row["accuracy_transductive"])


def test_marks_before_the_first_step_are_whole(section: Section) -> None:
    with styled():
        figure = panel(BY_NAME["steps"], section)
    (axis,) = figure.axes
    assert axis.get_xlim()[0] == 0
    first = [line for line in axis.lines if line.get_transform() == axis.transData and line.get_xdata()[0] == 0]
    assert len(first) == len(section.algorithms)
    assert not any(line.get_clip_on() for line in first)
    plt.close(figure)


def test_external_results_are_marked_in_figures_and_pairs(section: Section) -> None:
    told = [("made up" if name == "logreg" else "") for name in section.board["algorithm"]]
    marked = replace(section, board=section.board.assign(external=told))
    with styled():
        figure = panel(BY_NAME["scores"], marked)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    plt.close(figure)
    assert [label for label in labels if label.endswith("§")] == ["logreg §"]
    assert [name for name, _ in page._matrix(marked) if name.endswith("§")] == ["logreg §"]


def test_classes_have_one_spelling(section: Section) -> None:
    table, names = difficulty(section), dict.fromkeys(range(20), "Latin/Zulu")
    assert "Latin Zulu " in difficulty_figure.alt(table, names)
    assert "Latin/Zulu" not in difficulty_figure.alt(table, names)


def test_regression_episodes_have_a_y_axis_of_their_own() -> None:
    grid = tiny(datasets=[{"name": "sinusoid", "shots": [5]}])
    cell = grid.cells()[0]
    with styled():
        first, second, _ = gallery.draw(cell, load("sinusoid")).axes
    assert first.get_ylim() != second.get_ylim()
