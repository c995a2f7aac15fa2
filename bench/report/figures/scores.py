"""Means with their intervals."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.analysis.experiments import Section
from bench.analysis.leaderboard import modes_agree
from bench.report.figures.style import FIXED, FOREGROUND, literal, look_of, score_of
from bench.report.leaderboard import marked_name


def draw(axis: Axes, section: Section) -> None:
    """Draw means with 95% intervals, thick for these classes, thin for new ones; hollow marks are inductive."""
    column, scale, label = score_of(section)
    rows = section.finished.iloc[::-1].to_dict("records")
    has_modes = _has_modes(section)
    for place, row in enumerate(rows):
        colour, marker, _ = look_of(row["algorithm"], section.algorithms)
        mean, low, high = (scale * row.get(name, math.nan) for name in (column, f"{column}_low", f"{column}_high"))
        if section.has_classes:
            axis.plot(
                [scale * row.get(f"{column}_new_{end}", math.nan) for end in ("low", "high")],
                [place] * 2,
                color=colour,
                lw=0.8,
            )
        if has_modes:
            axis.plot(
                scale * row.get("accuracy_inductive", math.nan), place - 0.25, marker, ms=4, mfc="none", color=colour
            )
        axis.plot(
            [low if section.control else max(low, 0.0), high], [place] * 2, color=colour, lw=2.6, solid_capstyle="butt"
        )
        axis.plot(mean, place, marker, ms=6, color=colour)
    names = [marked_name(str(row["algorithm"]), row["algorithm"] in section.external) for row in rows]
    axis.set_yticks(range(len(rows)), [literal(name) for name in names])
    axis.set(xlabel=label + (" (lower is better)" if column == "mse" else ""), ylim=(-0.6, len(rows) - 0.4))
    axis.grid(axis="x")


def _has_modes(section: Section) -> bool:
    return section.has_classes and not modes_agree(section.finished)


def alt(section: Section) -> str:
    """Return the means in words."""
    column, scale, label = score_of(section)
    words = (
        f"{row['algorithm']} {scale * row.get(column, math.nan):.3g}" for row in section.finished.to_dict("records")
    )
    return f"{label}: {', '.join(words)}"


def key(section: Section) -> list[tuple[Artist, str]]:
    """Return the legend of the marks."""
    thick = Line2D([], [], color=FOREGROUND, lw=2.6)
    if not section.has_classes:
        return [(thick, FIXED)]
    thin = Line2D([], [], color=FOREGROUND, lw=0.8)
    filled, hollow = (
        Line2D([], [], color=FOREGROUND, marker="o", ls="", ms=size, mfc=fill)
        for size, fill in ((6, FOREGROUND), (4, "none"))
    )
    modes: list[tuple[Artist, str]] = [(filled, "transductive"), (hollow, "inductive")]
    return [(thick, FIXED), (thin, "95% interval, new classes"), *(modes if _has_modes(section) else [])]
