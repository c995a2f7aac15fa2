"""Scores against training time and against memory, with the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.analysis.experiments import Section
from bench.report.figures.style import FAINT, FIXED, FOREGROUND, label_ends, look_of, score_of

COSTS = {"cost_train_seconds": "training, s", "cost_memory_mib": "memory above the loaded process, MiB"}
"""The columns of the board, with their labels."""


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the (cost, gain) points on the Pareto front, cheapest first."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def is_measured(cost: str) -> Callable[[Section], bool]:
    """Return whether that cost of any of a section's algorithms was measured."""
    return lambda section: bool(len(_measured(section, cost)))


def _measured(section: Section, cost: str) -> list[dict[Hashable, Any]]:
    """Return the rows that have that cost."""
    finished = section.finished
    return finished[finished[cost].notna()].to_dict("records") if cost in finished else []


def drawn_by(cost: str) -> Callable[[Axes, Section], None]:
    """Return a panel of the score against that cost, with its Pareto front."""

    def draw(axis: Axes, section: Section) -> None:
        column, scale, label = score_of(section)
        rows = _measured(section, cost)
        for row in rows:
            colour, marker, _ = look_of(row["algorithm"], section.algorithms)
            mean, low, high = (scale * row[name] for name in (column, f"{column}_low", f"{column}_high"))
            axis.plot([row[cost]] * 2, [low if section.control else max(low, 0.0), high], color=colour, lw=1)
            axis.plot(row[cost], mean, marker, ms=6, color=colour)
        front = [rows[i] for i in _front(section, cost)]
        path = [(row[cost], scale * row[column]) for row in front]
        axis.plot(*zip(*path, strict=True), color=FAINT, lw=1, ls="--", zorder=0)
        axis.set(xlabel=COSTS[cost], ylabel=label + (" (lower is better)" if column == "mse" else ""))
        axis.margins(x=0.08)
        axis.grid()
        label_ends(
            axis, [(str(row["algorithm"]), scale * row[column]) for row in rows], section.algorithms, leaders=False
        )

    return draw


def alt_of(cost: str) -> Callable[[Section], str]:
    """Return the alternative text of such a panel: all values, and the algorithms on the front."""

    def alt(section: Section) -> str:
        column, scale, label = score_of(section)
        rows = _measured(section, cost)
        words = (f"{row['algorithm']} {scale * row[column]:.3g} at {row[cost]:.3g}" for row in rows)
        front = ", ".join(str(rows[i]["algorithm"]) for i in _front(section, cost))
        return f"{label} against {COSTS[cost]}: {', '.join(words)}. Pareto front: {front}"

    return alt


def key(section: Section) -> list[tuple[Artist, str]]:
    """Return the legend of the marks."""
    bar = Line2D([], [], color=FOREGROUND, lw=1)
    return [(bar, FIXED), (Line2D([], [], color=FAINT, lw=1, ls="--"), "Pareto front")]


def _front(section: Section, cost: str) -> list[int]:
    column = score_of(section)[0]
    sign = -1.0 if section.regression else 1.0
    return pareto([(row[cost], sign * row[column]) for row in _measured(section, cost)])
