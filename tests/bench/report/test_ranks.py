"""The critical-difference diagram: what is drawn of known ranks and groups, and where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from bench.analysis.experiments import gather
from bench.report.figures import ranks, styled
from bench.report.figures.style import FOREGROUND
from bench.report.page import page
from bench.report.panels import Panels
from bench.stats import Across
from tests.bench.stats.stores import write

ORDERS = ("abcd", "abdc", "bacd", "abcd", "badc", "abdc", "bacd", "abcd", "badc", "abcd")  # best first


def board_of(orders: Sequence[str], values: Mapping[int, float]) -> pd.DataFrame:
    """A leaderboard on a dataset for each order of algorithms, with the score of each place."""
    lines = [
        {
            "dataset": f"d{number}",
            "shape": "s",
            "algorithm": name,
            "seeds": 3,
            "accuracy_transductive": score,
            "bound": "",
        }
        for number, order in enumerate(orders)
        for name, score in ((name, values[place] + 0.001 * number) for place, name in enumerate(order))
    ]
    return pd.DataFrame(lines)


@pytest.fixture
def found() -> Across:
    """Two pairs that swap places from dataset to dataset."""
    found = ranks.of_board(board_of(ORDERS, {0: 0.9, 1: 0.89, 2: 0.5, 3: 0.49}))
    assert found is not None
    return found


@pytest.fixture
def axis(found: Across) -> Iterator[Axes]:
    with styled():
        figure = ranks.draw(found)
    figure.canvas.draw()
    yield figure.axes[0]
    plt.close(figure)


def test_the_groups_are_those_that_no_test_separates(found: Across) -> None:
    assert dict(found.mean_ranks) == {"a": 1.4, "b": 1.6, "c": 3.4, "d": 3.6}
    assert ranks.bars(found) == [(("a", "b"), 0), (("c", "d"), 0)]


def test_groups_that_overlap_have_bars_of_their_own() -> None:
    means = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.5, "e": 4.5})
    overlapping = Across(means, 0.01, (("a", "b"), ("b", "c"), ("d", "e")), pd.DataFrame(), "")
    assert ranks.bars(overlapping) == [(("a", "b"), 0), (("b", "c"), 1), (("d", "e"), 0)]


def test_ranks_names_and_bars_are_drawn_where_they_belong(axis: Axes, found: Across) -> None:
    marks = {str(line.get_marker()): line.get_xydata()[0] for line in axis.lines if line.get_xdata().size == 1}
    on_axis = sorted(
        x for x, y in (line.get_xydata()[0] for line in axis.lines if len(line.get_xydata()) == 1) if y == 0
    )
    assert on_axis == pytest.approx([1.4, 1.6, 3.4, 3.6])
    assert len(marks) == 4  # a marker for each: colour is not needed
    bars = [line for line in axis.lines if line.get_linewidth() == 3.5]
    over = ranks.OVERHANG * 3
    spans = [pytest.approx((low - over, high + over)) for low, high in ((1.4, 1.6), (3.4, 3.6))]
    assert [tuple(bar.get_xdata()) for bar in bars] == spans
    assert {to_hex(bar.get_color()) for bar in bars} == {FOREGROUND}
    assert all(y < 0 for bar in bars for y in bar.get_ydata())
    texts = {text.get_text(): text.get_position() for text in axis.texts}
    assert {"1", "2", "3", "4", "a  1.40", "b  1.60", "3.40  c", "3.60  d"} == set(texts)
    left, right = [texts["a  1.40"], texts["b  1.60"]], [texts["3.60  d"], texts["3.40  c"]]
    assert all(x < 1 for x, _ in left)
    assert all(x > 4 for x, _ in right)
    for group in (left, right):
        assert group[0][1] > group[1][1]  # the outermost is the highest: no line crosses another's name


def test_everything_is_inside_the_figure_however_long_the_names() -> None:
    names = {"a": "an algorithm with a long name (inner_lr=0.1)", "d": "$x$ & co"}
    found = ranks.of_board(board_of(ORDERS, {0: 0.9, 1: 0.89, 2: 0.5, 3: 0.49}).replace({"algorithm": names}))
    assert found is not None
    with styled():
        figure = ranks.draw(found)
    figure.canvas.draw()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1
    plt.close(figure)


def test_words_say_what_is_drawn(found: Across) -> None:
    assert ranks.alt(found) == "Mean ranks: a 1.40, b 1.60, c 3.40, d 3.60. Not separable: a, b; c, d."
    assert f"p = {found.friedman_p:.2g}" in ranks.caption(found)


@pytest.mark.parametrize(
    ("orders", "values"),
    [
        (ORDERS[:5], {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.6}),
        (["ab"] * 10, {0: 0.9, 1: 0.8}),
        (["abcd"], dict.fromkeys(range(4), 0.5)),
    ],
    ids=["five datasets", "two algorithms", "one dataset"],
)
def test_without_a_claim_about_three_algorithms_there_is_no_diagram(
    orders: Sequence[str], values: Mapping[int, float]
) -> None:
    assert ranks.of_board(board_of(orders, values)) is None


def test_the_page_and_the_files_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Across) -> None:
    write(tmp_path, {"maml": 0.8, "reptile": 0.7})
    experiments = gather([tmp_path])
    assert f'id="{ranks.NAME}"' not in page(experiments, tmp_path, Panels())
    monkeypatch.setattr(ranks, "of_board", lambda board: found)
    monkeypatch.setattr("bench.report.page.across_datasets_words", lambda board: "Words.")
    shown = page(experiments, tmp_path, Panels())
    assert f'<figure id="{ranks.NAME}">' in shown
    assert ranks.alt(found) in shown
    assert np.isfinite(found.friedman_p)
