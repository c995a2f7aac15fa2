"""Scores by inner step at test time, and by outer step of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from bench.analysis.experiments import Section
from bench.report.figures.style import FOREGROUND, label_ends, look_of, score_of

MANY_STEPS = 20  # more inner steps than this make the x axis logarithmic beyond ten


def by_step(section: Section) -> pd.DataFrame:
    """Return columns algorithm, seed, x (inner step) and y (mean over test episodes), in the figure's unit."""
    column, scale, _ = score_of(section)
    rows = section.episodes[~section.episodes["algorithm"].isin(section.external)]  # which have no inner steps
    values = scale * rows["n_correct_transductive"] / rows["n_query"] if section.has_classes else rows[column]
    return rows.assign(y=values, x=rows["step"]).groupby(["algorithm", "seed", "x"])["y"].mean().reset_index()


def by_training(section: Section) -> pd.DataFrame:
    """Return columns algorithm, seed, x (outer step) and y (mean over the validation list), in the figure's unit."""
    column, scale, _ = score_of(section)
    name = f"val_{column}"
    curves = section.curves
    if name not in curves:
        return pd.DataFrame(columns=["algorithm", "seed", "x", "y"])
    return curves.assign(x=curves["outer_step"], y=scale * curves[name])[["algorithm", "seed", "x", "y"]]


def draw_steps(axis: Axes, section: Section) -> None:
    """Draw the score after each inner step: the mean over seeds, and their range as a band."""
    table = by_step(section)
    ends, unit = _lines(axis, section, table), ""
    if table["x"].max() > MANY_STEPS:
        unit = " (logarithmic beyond 10)"
        axis.set_xscale("symlog", linthresh=10, linscale=1.5)
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.set_xticks([0, 5, 10, *(tick for tick in (20, 50, 100, 200) if tick <= table["x"].max())])
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel=f"inner steps at test time{unit}", ylabel=score_of(section)[2])
    axis.set_xlim(left=0)
    label_ends(axis, ends, section.algorithms)


def draw_training(axis: Axes, section: Section) -> None:
    """Draw the score on the meta-validation list during training: the mean over seeds, and their range as a band."""
    ends = _lines(axis, section, by_training(section))
    axis.set(xlabel="outer steps", ylabel=f"validation {score_of(section)[2]}")
    label_ends(axis, ends, section.algorithms)


def _lines(axis: Axes, section: Section, table: pd.DataFrame) -> list[tuple[str, float]]:
    """Draw a line per algorithm; return each name with the value at which its line ends."""
    ends = []
    heights = []
    for name in section.algorithms:
        part = table[table["algorithm"] == name].groupby("x")["y"].agg(["mean", "min", "max"])
        if part.empty:
            continue
        colour, marker, dash = look_of(name, section.algorithms)
        every = max(1, len(part) // 8)
        look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4, "markevery": every, "lw": 1.3, "ls": dash}
        axis.plot(part.index, part["mean"], clip_on=False, zorder=3, **look)  # whole marks, also on the axes
        axis.fill_between(part.index, part["min"], part["max"], color=colour, alpha=0.15, lw=0)
        ends.append((name, float(part["mean"].iloc[-1])))
        heights += part["mean"].tolist()
    axis.grid()
    if section.regression and heights and max(heights) > 20 * np.median(heights):
        axis.set_yscale("log")
    return ends


def alt_steps(section: Section) -> str:
    """Return the first and last values in words."""
    return f"{score_of(section)[2]} by inner step: {_ends(section, by_step(section))}"


def alt_training(section: Section) -> str:
    """Return the first and last values in words."""
    return f"validation {score_of(section)[2]} by outer step: {_ends(section, by_training(section))}"


def _ends(section: Section, table: pd.DataFrame) -> str:
    words = []
    for name in section.algorithms:
        means = table[table["algorithm"] == name].groupby("x")["y"].mean()
        if len(means):
            words.append(
                f"{name} from {means.iloc[0]:.3g} at {means.index[0]} to {means.iloc[-1]:.3g} at {means.index[-1]}"
            )
    return ", ".join(words)


def key(section: Section) -> list[tuple[Artist, str]]:
    """Return the legend of the marks."""
    line, band = Line2D([], [], color=FOREGROUND, lw=1.3), Patch(color=FOREGROUND, alpha=0.15, lw=0)
    return [(line, "mean over seeds"), (band, "range over seeds")]
