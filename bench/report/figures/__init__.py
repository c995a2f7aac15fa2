"""The figures of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.experiments import Experiments, Section
from bench.report.figures import budgets, costs, lines, scores
from bench.report.figures.style import FOREGROUND, legend, literal, styled, svg
from bench.report.panels import Panels

__all__ = ["FOREGROUND", "KINDS", "FigureKind", "overview", "panel", "panel_name", "styled", "svg"]

WIDTH, HEIGHT = 4.9, 3.1
LEFT, RIGHT, TOP, BOTTOM = 0.72, 1.3, 0.32, 0.52
COLUMNS = 3


@dataclass(frozen=True)
class FigureKind:
    """A figure with a panel per dataset and shape.

    Attributes:
        name: name of its files.
        title: title of the figure.
        caption: how to read it.
        caption_regression: the same for regression and control, where it differs.
        caption_control: the same for control, where it differs from that.
        draw: fills a panel.
        alt: returns the alternative text of a panel.
        applies: whether there is anything to draw.
        names_left: whether the algorithms' names are on the y axis, and not at the right edge.
        key: returns the entries of the legend below the panels: artists and their texts.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Axes, Section], None]
    alt: Callable[[Section], str]
    applies: Callable[[Section], bool] = lambda section: True
    names_left: bool = False
    caption_regression: str = ""
    caption_control: str = ""
    key: Callable[[Section], list[tuple[Artist, str]]] = lambda section: []

    def caption_of(self, section: Section) -> str:
        """Return how to read the panel of that section."""
        if section.has_classes:
            return self.caption
        return (self.caption_control if section.control else "") or self.caption_regression or self.caption


_BUDGETS = (
    "One training, tested at each budget with what meta-validation had selected by then. Bars are 95% intervals for "
    "these classes."
)
_BUDGETS_REGRESSION = _BUDGETS.replace("classes", "tasks")

KINDS: tuple[FigureKind, ...] = (
    FigureKind(
        "budget-time",
        "Score against training time, by budget",
        _BUDGETS,
        budgets.drawn_by("cost_train_seconds"),
        budgets.alt_of("cost_train_seconds"),
        applies=budgets.has_budgets("cost_train_seconds"),
        caption_regression=_BUDGETS_REGRESSION,
        key=budgets.key,
    ),
    FigureKind(
        "budget",
        "Score against training episodes",
        _BUDGETS,
        budgets.drawn_by("budget"),
        budgets.alt_of("budget"),
        applies=budgets.has_budgets("budget"),
        caption_regression=_BUDGETS_REGRESSION,
        key=budgets.key,
    ),
    FigureKind(
        "scores",
        "Mean and intervals",
        "Thick bars are 95% intervals for these classes, thin ones for new classes; hollow marks, if any: inductive.",
        scores.draw,
        scores.alt,
        names_left=True,
        caption_regression="Bars are 95% intervals for these tasks, cut off at zero: an error cannot be negative.",
        caption_control="Bars are 95% intervals for these tasks.",
        key=scores.key,
    ),
    FigureKind(
        "time",
        "Score against training time",
        "Bars are 95% intervals for these classes. Dashed line: Pareto front.",
        costs.drawn_by("cost_train_seconds"),
        costs.alt_of("cost_train_seconds"),
        applies=costs.is_measured("cost_train_seconds"),
        caption_regression="Bars are 95% intervals for these tasks. Dashed line: Pareto front.",
        key=costs.key,
    ),
    FigureKind(
        "memory",
        "Score against memory",
        "Bars are 95% intervals for these classes. Dashed line: Pareto front.",
        costs.drawn_by("cost_memory_mib"),
        costs.alt_of("cost_memory_mib"),
        applies=costs.is_measured("cost_memory_mib"),
        caption_regression="Bars are 95% intervals for these tasks. Dashed line: Pareto front.",
        key=costs.key,
    ),
    FigureKind(
        "steps",
        "Score by inner step",
        "On the test episodes, transductive; bands are the range over seeds.",
        lines.draw_steps,
        lines.alt_steps,
        applies=lambda section: bool(len(lines.by_step(section))),
        caption_regression="On the test episodes; bands are the range over seeds.",
        key=lines.key,
    ),
    FigureKind(
        "training",
        "Training curves",
        "On the meta-validation episodes, transductive; bands are the range over seeds.",
        lines.draw_training,
        lines.alt_training,
        applies=lambda section: bool(len(lines.by_training(section))),
        caption_regression="On the meta-validation episodes; bands are the range over seeds.",
        key=lines.key,
    ),
)


def panel_name(title: str, section: Section) -> str:
    """Return the name of a panel in messages."""
    return f"{title} of {section.title}"


def panel(kind: FigureKind, section: Section) -> Figure:
    """Return the figure of one dataset and shape."""
    return _laid_out(kind, [section], None)


def overview(kind: FigureKind, experiments: Experiments, panels: Panels) -> Figure | None:
    """Return the figure of all datasets and shapes; None where there is nothing to draw.

    A panel that fails says "not drawn".
    """
    shown = [section for section in experiments.sections() if kind.applies(section)]
    return _laid_out(kind, shown, panels) if shown else None


def _laid_out(kind: FigureKind, sections: list[Section], panels: Panels | None) -> Figure:
    """Panels of one size in rows, placed by inches so that labels can be spread before anything is drawn.

    With ``panels`` each has a title, and may fail.
    """
    titles = panels is not None
    left, right = (1.35, 0.25) if kind.names_left else (LEFT, RIGHT)
    top = TOP if titles else 0.12
    most = max(len(section.algorithms) for section in sections)
    height = max(HEIGHT, 0.26 * most + top + BOTTOM)
    columns = min(len(sections), COLUMNS)
    rows = -(-len(sections) // columns)
    entries = _entries(kind, sections)
    per_row = max(1, min(len(entries), 2 * columns))
    strip = 0.18 * -(-len(entries) // per_row) + 0.06 * bool(entries)
    whole = height * rows + strip
    figure = plt.figure(figsize=(WIDTH * columns, whole))
    if entries:
        options = {"ncol": per_row, "frameon": False, "fontsize": 8, "borderaxespad": 0.2, "labelspacing": 0.3}
        legend(figure, entries, loc="lower center", **options)
    for place, section in enumerate(sections):
        row, column = divmod(place, columns)
        box = (
            (column * WIDTH + left) / (WIDTH * columns),
            ((rows - 1 - row) * height + BOTTOM + strip) / whole,
            (WIDTH - left - right) / (WIDTH * columns),
            (height - top - BOTTOM) / whole,
        )
        axis = figure.add_axes(box)
        if panels is None:
            kind.draw(axis, section)
        elif not panels.attempt(panel_name(kind.title, section), partial(_draws, kind, axis, section)):
            axis.clear()
            axis.text(0.5, 0.5, "not drawn", transform=axis.transAxes, ha="center", va="center")
        axis.spines[["top", "right"]].set_visible(False)
        if titles:
            axis.set_title(literal(section.title))
    return figure


def _entries(kind: FigureKind, sections: Sequence[Section]) -> list[tuple[Artist, str]]:
    """Return the entries of the legend of all panels, each text once."""
    entries = {text: artist for section in sections for artist, text in kind.key(section)}
    return [(artist, text) for text, artist in entries.items()]


def _draws(kind: FigureKind, axis: Axes, section: Section) -> bool:
    """Fill the panel and return True, where ``Panels.attempt`` returns None for one that raises."""
    kind.draw(axis, section)
    return True
