"""How figures look: one colour and marker an algorithm, labels that do not overlap, the same files each time."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the choice of a backend that needs no screen
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from algorithms import ALGORITHMS
from bench.analysis.experiments import Section

FOREGROUND = "#2b2b33"
"""Of text and axes; the page puts its own text colour in its place."""

FAINT = "#8a8a94"
HUES = ("#3478bd", "#d17c00", "#1a936f", "#cf4f2c", "#a85fae", "#9a6c3f", "#2796a8", "#cc5a87", "#7d8526", "#62708c")
"""Ten hues after Okabe and Ito 2008, made so light or dark that they stand out from white and from near-black."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "d", "8", "H")
"""More of them than hues, so that colour alone tells nothing apart."""


class Look(NamedTuple):
    colour: str
    marker: str


def look(algorithm: str, among: Sequence[str] = ()) -> Look:
    """The algorithm's colour and marker: registered ones have the same in every figure, after the registry's order.

    Others, such as those that carry an experiment's name to stand side by side, take what is free ``among`` those that
    the figure shows.
    """
    registered = list(ALGORITHMS.names())
    if algorithm in registered:
        return _look(registered.index(algorithm))
    others = sorted({algorithm, *(name for name in among if name not in registered)})
    taken = [registered.index(name) for name in among if name in registered]
    free = [place for place in range(len(MARKERS)) if place % len(HUES) not in {one % len(HUES) for one in taken}]
    places = [*free, *range(len(MARKERS))]
    return _look(places[others.index(algorithm) % len(places)])


def _look(place: int) -> Look:
    return Look(HUES[place % len(HUES)], MARKERS[place % len(MARKERS)])


def literal(name: str) -> str:
    """``name`` as matplotlib draws it letter by letter: what stands between two dollar signs is mathematics to it."""
    return name.replace("$", r"\$")


def score_of(section: Section) -> tuple[str, float, str]:
    """Which column a figure shows, its scale, and its label."""
    if section.regression:
        return "mse", 1.0, "mean squared error"
    return "accuracy_transductive", 100.0, "accuracy, %"


@contextmanager
def styled() -> Iterator[None]:
    """Seaborn's ticks, our colours, and SVG files without dates or random names."""
    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    ours: dict[Any, Any] = dict.fromkeys(coloured, FOREGROUND)
    ours |= {"svg.hashsalt": "bench", "svg.fonttype": "path", "font.size": 9, "axes.titlesize": 10}
    ours |= {"grid.color": FAINT, "grid.alpha": 0.25}
    with sns.axes_style("ticks"), plt.rc_context(ours):
        yield


def svg(figure: Figure) -> str:
    """The figure as SVG without a background, so that it can stand on any."""
    with styled():
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def spread(places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Moves numbers apart until none are closer than ``gap``, keeping their order and, within bounds, their middle.

    Neighbours that touch form a block, which takes its members' mean place; blocks that touch are joined. What would
    be above ``high`` or below ``low`` moves back, and what is in its way with it; ``low`` holds where both cannot.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[int]] = []
    for i in order:
        blocks.append([i])
        while len(blocks) > 1 and _low(blocks[-1], places, gap) < _high(blocks[-2], places, gap) + gap:
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    moved = list(places)
    for block in blocks:
        for step, i in enumerate(block):
            moved[i] = _low(block, places, gap) + step * gap
    for above, i in enumerate(reversed(order)):
        moved[i] = min(moved[i], high - above * gap)
    for below, i in enumerate(order):
        moved[i] = max(moved[i], low + below * gap)
    return moved


def _low(block: list[int], places: Sequence[float], gap: float) -> float:
    return sum(places[i] for i in block) / len(block) - gap * (len(block) - 1) / 2


def _high(block: list[int], places: Sequence[float], gap: float) -> float:
    return _low(block, places, gap) + gap * (len(block) - 1)


def label_ends(axis: Axes, ends: Sequence[tuple[str, float]], among: Sequence[str], *, leaders: bool = True) -> None:
    """Names and markers right of the axes, each as near to its value on the y axis as its neighbours allow.

    ``among`` is as for ``look``; ``leaders`` joins each to the place at the axes' edge that its value has.
    """
    fractions = [float(_fraction(axis, value)) for _, value in ends]
    gap = 10.5 / (axis.get_window_extent().height * 72 / axis.figure.dpi)
    for (name, _), own, place in zip(ends, fractions, spread(fractions, gap, 0.0, 1.0), strict=True):
        colour, marker = look(name, among)
        if leaders:
            axis.plot([1.0, 1.04], [own, place], transform=axis.transAxes, color=colour, lw=0.6, clip_on=False)
        axis.plot(1.065, place, marker, transform=axis.transAxes, color=colour, ms=4, clip_on=False)
        axis.text(1.10, place, literal(name), transform=axis.transAxes, color=colour, fontsize=8, va="center")


def _fraction(axis: Axes, value: float) -> float:
    """A value of the y axis as a fraction of the axes' height, between its ends."""
    pixel = axis.transData.transform((axis.get_xlim()[1], value))[1]
    box = axis.get_window_extent()
    return float(min(max((pixel - box.y0) / box.height, 0.0), 1.0))
