"""The look of all figures: a colour, marker and dash per algorithm, labels that do not overlap, and files."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the choice of a backend that needs no screen
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from algorithms import ALGORITHMS
from bench.analysis.experiments import Section

Dash = str | tuple[int, tuple[float, ...]]

FOREGROUND = "#2b2b33"
"""Of text and axes; the page puts its own text colour in its place."""

FAINT = "#8a8a94"
PDF_FONTS = 42  # TrueType: some publishers refuse Type 3, which is drawn in a third of the time
FIXED = "95% interval, these classes or tasks"  # what legends call the interval that holds them fixed
HUES = (
    *("#3478bd", "#d17c00", "#1a936f", "#cf4f2c", "#a85fae", "#9a6c3f", "#2796a8", "#cc5a87", "#7d8526", "#62708c"),
    *("#7b3ff2", "#e8003f", "#1f9a1f", "#e000a8", "#1d5cff", "#aa14be", "#a54646", "#5f87ff", "#5a6950", "#ff2d00"),
    *("#b4878c", "#ff1982", "#f500ff"),
)
"""Hues after Okabe and Ito 2008 and more, all of a lightness that stands out from white and from near-black.

Those beyond the first fifteen are the furthest in CIELAB from all before them, among colours of such a lightness.
"""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "d", "8", "H", "*", "1")
DASHES: tuple[Dash, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))


class Look(NamedTuple):
    """The look of an algorithm: hue and marker are its own in a figure, so that neither is needed to tell it apart."""

    colour: str
    marker: str
    dash: Dash


def look_of(algorithm: str, among: Sequence[str] = ()) -> Look:
    """Return the colour, marker and dash of an algorithm.

    Registered algorithms have the same look in every figure, after the registry's order. Others, such as those of
    several settings, have a look that none of those ``among`` the figure's algorithms has.
    """
    registered = list(ALGORITHMS.names())
    if algorithm in registered:
        return _look(registered.index(algorithm))
    others = sorted({algorithm, *(name for name in among if name not in registered)})
    used = {registered.index(name) for name in among if name in registered}
    free = (place for place in itertools.count() if place not in used)
    return _look(dict(zip(others, free, strict=False))[algorithm])


def _look(place: int) -> Look:
    marker = MARKERS[(place + place // len(MARKERS)) % len(MARKERS)]
    return Look(
        HUES[place] if place < len(HUES) else _further(place), marker, DASHES[(place + place // 2) % len(DASHES)]
    )


def _further(place: int) -> str:
    """Return a hue for a figure of more algorithms than there are ``HUES``, between two of them."""
    turn, hue = divmod(place, len(HUES))
    first, second = to_rgb(HUES[hue]), to_rgb(HUES[(hue + turn) % len(HUES)])
    red, green, blue = ((2 * a + b) / 3 for a, b in zip(first, second, strict=True))
    return to_hex((red, green, blue))


def literal(name: str) -> str:
    """Return ``name`` escaped so that matplotlib draws every character: text between dollar signs is mathematics."""
    return name.replace("$", r"\$")


def score_of(section: Section) -> tuple[str, float, str]:
    """Return the column that figures show, its scale, and its label."""
    if section.regression:
        return "mse", 1.0, "mean squared error"
    if section.control:
        return "return", 1.0, "mean return"
    return "accuracy_transductive", 100.0, "accuracy, %"


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of this project, and write SVG files without dates or random names."""
    coloured = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    ours: dict[Any, Any] = dict.fromkeys(coloured, FOREGROUND)
    ours |= {
        "svg.hashsalt": "bench",
        "svg.fonttype": "path",
        "pdf.fonttype": PDF_FONTS,
        "font.size": 9,
        "axes.titlesize": 10,
    }
    ours |= {"grid.color": FAINT, "grid.alpha": 0.25}
    with sns.axes_style("ticks"), plt.rc_context(ours):
        yield


def svg(figure: Figure) -> str:
    """Return the figure as SVG without a background."""
    with styled():
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


FORMATS: tuple[tuple[str, dict[str, None]], ...] = (
    ("png", {"Software": None}),
    ("svg", {"Date": None, "Creator": None}),
    ("pdf", {"CreationDate": None, "Creator": None, "Producer": None}),
)
"""The formats of figures' files, with the metadata that is left out so that the same figure gives the same bytes."""


def files_of(figure: Figure) -> dict[str, bytes]:
    """Return the figure's file in every format, by suffix, and close it."""
    files = {}
    with styled():
        for suffix, metadata in FORMATS:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=150, metadata=metadata)
            files[suffix] = buffer.getvalue()
    plt.close(figure)
    return files


def legend(axis: Axes | Figure, entries: Sequence[tuple[Artist, str]], **options: Any) -> None:
    """Draw a legend of these entries, also of names that start with ``_``, which matplotlib would leave out."""
    drawn = axis.legend([artist for artist, _ in entries], [f"entry {i}" for i in range(len(entries))], **options)
    for text, (_, name) in zip(drawn.get_texts(), entries, strict=True):
        text.set_text(literal(name))


def spread(places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Move numbers apart until none are closer than ``gap``, keeping their order and, within bounds, their middle.

    Neighbours that touch form a block, which is centred at its members' mean; blocks that touch are joined. Numbers
    beyond ``high`` or ``low`` move back and push their neighbours; ``low`` holds where both bounds cannot.
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
    """Write names and markers right of the axes, each as near to its value on the y axis as its neighbours allow.

    ``among`` is as for ``look_of``; ``leaders`` draws a line from each name to its value at the axes' edge.
    """
    fractions = [float(_fraction(axis, value)) for _, value in ends]
    gap = 10.5 / (axis.get_window_extent().height * 72 / axis.figure.dpi)
    for (name, _), own, place in zip(ends, fractions, spread(fractions, gap, 0.0, 1.0), strict=True):
        colour, marker, _ = look_of(name, among)
        if leaders:
            axis.plot([1.0, 1.04], [own, place], transform=axis.transAxes, color=colour, lw=0.6, clip_on=False)
        axis.plot(1.065, place, marker, transform=axis.transAxes, color=colour, ms=4, clip_on=False)
        axis.text(1.10, place, literal(name), transform=axis.transAxes, color=colour, fontsize=8, va="center")


def _fraction(axis: Axes, value: float) -> float:
    """Return a value of the y axis as a fraction of the axes' height, cut to [0, 1]."""
    pixel = axis.transData.transform((axis.get_xlim()[1], value))[1]
    box = axis.get_window_extent()
    return float(min(max((pixel - box.y0) / box.height, 0.0), 1.0))
