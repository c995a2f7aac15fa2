"""Scores at each training budget, against training episodes and against training time."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from bench.analysis.bounds import is_annealed, without_bounds
from bench.analysis.experiments import Section
from bench.report.figures.style import FIXED, FOREGROUND, label_ends, look_of, score_of

AXES = {"budget": "training episodes", "cost_train_seconds": "training, s"}
"""The columns of a section's budgets that are the x axis, with their labels."""

RING = 11.0  # points across, around what no other algorithm beats at a budget
DODGE = 1.03  # ratio of neighbours' x at the same budget, so that their intervals do not hide each other


def has_budgets(x: str) -> Callable[[Section], bool]:
    """Return whether a section has results at several budgets with that x."""
    return lambda section: bool(len(_points(section, x)))


def _points(section: Section, x: str) -> pd.DataFrame:
    """Return the rows with a result and a positive x; bounds, which do not train, are left out."""
    table, column = section.budgets, score_of(section)[0]
    if x not in table or column not in table:
        return pd.DataFrame()
    table = without_bounds(table)
    return table[table[column].notna() & (table[x] > 0)]


def drawn_by(x: str) -> Callable[[Axes, Section], None]:
    """Return a panel of the score at each budget against ``x``, with intervals; the best at a budget have a ring."""

    def draw(axis: Axes, section: Section) -> None:
        column, scale, label = score_of(section)
        points, ends = _points(section, x), []
        names = [name for name in section.algorithms if (points["algorithm"] == name).any()]
        for place, name in enumerate(names):
            part = points[points["algorithm"] == name].sort_values(x)
            if x == "budget":
                part = part.assign(budget=part[x] * DODGE ** (place - (len(names) - 1) / 2))
            colour, marker, dash = look_of(name, section.algorithms)
            mean, low, high = (scale * part[f"{column}{end}"] for end in ("", "_low", "_high"))
            axis.plot(part[x], mean, color=colour, marker=marker, ms=4, lw=1.3, ls=":" if is_annealed(name) else dash)
            axis.vlines(part[x], low if section.control else low.clip(lower=0.0), high, color=colour, lw=1)
            best = part["rank"] == 1
            axis.plot(part.loc[best, x], mean[best], "o", ms=RING, mfc="none", mec=colour, mew=0.8, ls="none")
            ends.append((name, float(mean.iloc[-1])))
        axis.set_xscale("log")
        if x == "budget":
            axis.xaxis.set_major_locator(FixedLocator(sorted(points[x].unique())))
            axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set(xlabel=AXES[x], ylabel=label + (" (lower is better)" if column == "mse" else ""))
        axis.grid()
        label_ends(axis, ends, section.algorithms)

    return draw


def alt_of(x: str) -> Callable[[Section], str]:
    """Return the alternative text of such a panel: every algorithm's values, and the best at each budget."""

    def alt(section: Section) -> str:
        column, scale, label = score_of(section)
        points, words = _points(section, x), []
        for name in section.algorithms:
            part = points[points["algorithm"] == name].sort_values(x)
            values = ", ".join(f"{scale * y:.3g} at {at:,.5g}" for at, y in zip(part[x], part[column], strict=True))
            words += [f"{name} {values}"] if values else []
        best = "; ".join(f"{', '.join(names)} at {budget:,} episodes" for budget, names in best_by_budget(section))
        return f"{label} against {AXES[x]}: {'; '.join(words)}. Not beaten by any other: {best}"

    return alt


def best_by_budget(section: Section) -> list[tuple[int, list[str]]]:
    """Return the algorithms that no other one beats (rank 1), best first, at each budget."""
    best = section.budgets[section.budgets["rank"] == 1] if "rank" in section.budgets else section.budgets
    budgets = sorted(int(budget) for budget in best["budget"].unique()) if len(best) else []
    return [(budget, best.loc[best["budget"] == budget, "algorithm"].astype(str).tolist()) for budget in budgets]


def key(section: Section) -> list[tuple[Artist, str]]:
    """Return the legend of the marks."""
    ring = Line2D([], [], marker="o", ms=8, mfc="none", mec=FOREGROUND, mew=0.8, ls="none")
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], color=FOREGROUND, lw=1), FIXED),
        (ring, "not beaten by any other at this budget"),
    ]
    if any(is_annealed(name) for name in section.algorithms):
        entries.append((Line2D([], [], color=FOREGROUND, lw=1.3, ls=":"), "schedule of the whole budget"))
    return entries
