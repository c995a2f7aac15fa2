"""The critical-difference diagram: mean ranks over datasets, with a bar over algorithms that are not separable.

Demsar 2006 (J. Mach. Learn. Res. 7), figure 1, with the groups of Wilcoxon's test and Holm's adjustment in the place of
Nemenyi's critical difference, so that there is no one distance to draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.ranks import across, has_several_datasets
from bench.report.figures.style import FOREGROUND, literal, look_of
from bench.stats import Across

NAME = "ranks"
TITLE = "Mean ranks over datasets"
LEAST = 3  # algorithms: the words say all about two
AXIS, LETTER, MARGIN = 3.2, 0.075, 0.75  # inches, of the axis, and of a name at its side: a letter, and all else
ABOVE, BAR, ROW = 0.42, 0.13, 0.21  # inches, above the axis, and between bars and rows of names
OVERHANG = 0.02  # of the axis, by which a bar goes beyond its marks


def of_board(board: pd.DataFrame) -> Across | None:
    """Return the tests over the datasets of a leaderboard; None where there is no claim about three algorithms."""
    if not has_several_datasets(board):
        return None
    found, _ = across(board)
    return None if found.refusal or len(found.mean_ranks) < LEAST else found


def diagram(board: pd.DataFrame) -> tuple[Across, Figure] | None:
    """Return the tests over the datasets of a leaderboard and their diagram; None as for ``of_board``."""
    found = of_board(board)
    return None if found is None else (found, draw(found))


def bars(found: Across) -> list[tuple[tuple[str, ...], int]]:
    """Return the groups that are not separable with the level of their bars, from 0; bars of a level do not overlap."""
    ends: list[float] = []  # of the last bar of each level
    placed = []
    for clique in found.cliques:  # from the best on
        low, high = float(found.mean_ranks[clique[0]]), float(found.mean_ranks[clique[-1]])
        level = next((level for level, end in enumerate(ends) if end < low), len(ends))
        ends[level : level + 1] = [high]
        placed.append((clique, level))
    return placed


def draw(found: Across) -> Figure:
    """Draw the mean ranks on an axis, the best at the left, names at the sides, and bars below the axis."""
    names = [str(name) for name in found.mean_ranks.index]
    count, placed = len(names), bars(found)
    left = names[: (count + 1) // 2]
    levels = max((level + 1 for _, level in placed), default=0)
    first = -BAR * (levels + 1) - 0.1
    height = ABOVE - first + ROW * len(left)
    side = MARGIN + LETTER * max(len(name) for name in names)
    figure = plt.figure(figsize=(AXIS + 2 * side, height))
    axis = figure.add_axes((side / (AXIS + 2 * side), 0, AXIS / (AXIS + 2 * side), 1))
    axis.set(xlim=(1, count), ylim=(ABOVE - height, ABOVE))  # an inch is 1 on the y axis
    axis.axis("off")
    _scale(axis, count)
    for clique, level in placed:
        ends = (found.mean_ranks[clique[0]], found.mean_ranks[clique[-1]])
        over = OVERHANG * (count - 1)
        y = -BAR * (level + 1)
        axis.plot(
            [ends[0] - over, ends[1] + over], [y, y], color=FOREGROUND, lw=3.5, solid_capstyle="butt", clip_on=False
        )
    for at_left, group in ((True, left), (False, names[: len(left) - 1 : -1])):
        for row, name in enumerate(group):
            _name(axis, name, float(found.mean_ranks[name]), first - ROW * row, at_left, names)
    return figure


def _scale(axis: Axes, count: int) -> None:
    """Draw the axis of ranks with a tick at each."""
    axis.plot([1, count], [0, 0], color=FOREGROUND, lw=1, clip_on=False)
    for rank in range(1, count + 1):
        axis.plot([rank, rank], [0, 0.06], color=FOREGROUND, lw=1, clip_on=False)
        axis.text(rank, 0.1, str(rank), ha="center", va="bottom", fontsize=8)


def _name(axis: Axes, name: str, rank: float, y: float, at_left: bool, among: Sequence[str]) -> None:
    """Draw the mark of an algorithm on the axis, a line from there to the side, and its name with its mean rank."""
    colour, marker, _ = look_of(name, among)
    gap = 0.03 * (len(among) - 1)
    edge, text = (1 - gap, 1 - 3 * gap) if at_left else (len(among) + gap, len(among) + 3 * gap)
    axis.plot([rank, rank, edge], [0, y, y], color=colour, lw=0.8, clip_on=False, zorder=1)
    axis.plot(rank, 0, marker, color=colour, ms=6, clip_on=False, zorder=3)
    axis.plot((edge + text) / 2, y, marker, color=colour, ms=5, clip_on=False)
    words = f"{name}  {rank:.2f}" if at_left else f"{rank:.2f}  {name}"
    axis.text(text, y, literal(words), ha="right" if at_left else "left", va="center", fontsize=8.5)


def caption(found: Across) -> str:
    """Return how to read the diagram."""
    test = (
        "" if math.isnan(found.friedman_p) else f" Friedman's test of no difference at all: p = {found.friedman_p:.2g}."
    )
    return (
        "The best is at the left. A bar joins algorithms that are not separable from each other (Wilcoxon's "
        f"signed-rank test over datasets, Holm-adjusted p of 0.05 or more).{test}"
    )


def alt(found: Across) -> str:
    """Return the diagram in words."""
    ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in found.mean_ranks.items())
    groups = "; ".join(", ".join(clique) for clique in found.cliques) or "none"
    return f"Mean ranks: {ranks}. Not separable: {groups}."
