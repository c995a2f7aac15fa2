"""The figures of an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.evidence import Evidence, Section
from bench.report.figures import costs, lines, scores
from bench.report.figures.style import FOREGROUND, styled, svg

__all__ = ["FOREGROUND", "KINDS", "Kind", "overview", "panel", "styled", "svg"]

WIDTH, HEIGHT = 4.9, 3.1
LEFT, RIGHT, TOP, BOTTOM = 0.72, 1.3, 0.32, 0.52
COLUMNS = 3


@dataclass(frozen=True)
class Kind:
    """A figure with a panel per dataset and shape.

    Attributes:
        name: of its files.
        title: of the figure.
        caption: how to read it.
        caption_regression: the same for regression, where it differs.
        draw: fills a panel.
        alt: a panel in words.
        applies: whether there is anything to draw.
        names_left: whether the algorithms' names stand on the y axis, and not at the right edge.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Axes, Section], None]
    alt: Callable[[Section], str]
    applies: Callable[[Section], bool] = lambda section: True
    names_left: bool = False
    caption_regression: str = ""

    def caption_of(self, section: Section) -> str:
        """How to read the panel of that section."""
        return (self.caption_regression if section.regression else "") or self.caption


KINDS: tuple[Kind, ...] = (
    Kind(
        "scores",
        "Mean and intervals",
        "Thick bars are 95% intervals for these classes, thin ones for new classes; hollow marks are inductive.",
        scores.draw,
        scores.alt,
        names_left=True,
        caption_regression="Bars are 95% intervals; an error is never below zero, and they end there.",
    ),
    Kind(
        "time",
        "Score against training time",
        "Bars are 95% intervals for these classes; nothing beats the algorithms on the dashed line in both directions.",
        costs.drawn_by("train_seconds"),
        costs.alt_of("train_seconds"),
    ),
    Kind(
        "memory",
        "Score against memory",
        "Bars are 95% intervals for these classes; nothing beats the algorithms on the dashed line in both directions.",
        costs.drawn_by("peak_mib"),
        costs.alt_of("peak_mib"),
    ),
    Kind(
        "steps",
        "Score by inner step",
        "On the test episodes, transductive; bands are the range over seeds.",
        lines.draw_steps,
        lines.alt_steps,
        caption_regression="On the test episodes; bands are the range over seeds.",
    ),
    Kind(
        "training",
        "Training curves",
        "On the meta-validation episodes, transductive; bands are the range over seeds.",
        lines.draw_training,
        lines.alt_training,
        applies=lambda section: bool(len(lines.by_training(section))),
        caption_regression="On the meta-validation episodes; bands are the range over seeds.",
    ),
)


def panel(kind: Kind, section: Section) -> Figure:
    """The figure of one dataset and shape."""
    return _laid_out(kind, [section], titles=False)


def overview(kind: Kind, evidence: Evidence) -> Figure | None:
    """The figure of all datasets and shapes; None where there is nothing to draw."""
    shown = [section for section in evidence.sections() if kind.applies(section)]
    return _laid_out(kind, shown, titles=True) if shown else None


def _laid_out(kind: Kind, sections: list[Section], titles: bool) -> Figure:
    """Panels of one size in rows, placed by inches so that labels can be spread before anything is drawn."""
    left, right = (1.35, 0.25) if kind.names_left else (LEFT, RIGHT)
    top = TOP if titles else 0.12
    most = max(len(section.algorithms) for section in sections)
    height = max(HEIGHT, 0.26 * most + top + BOTTOM)
    columns = min(len(sections), COLUMNS)
    rows = -(-len(sections) // columns)
    figure = plt.figure(figsize=(WIDTH * columns, height * rows))
    for place, section in enumerate(sections):
        row, column = divmod(place, columns)
        box = (
            (column * WIDTH + left) / (WIDTH * columns),
            ((rows - 1 - row) * height + BOTTOM) / (height * rows),
            (WIDTH - left - right) / (WIDTH * columns),
            (height - top - BOTTOM) / (height * rows),
        )
        axis = figure.add_axes(box)
        kind.draw(axis, section)
        axis.spines[["top", "right"]].set_visible(False)
        if titles:
            axis.set_title(section.title)
    return figure
