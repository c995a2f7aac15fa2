"""Figures embedded in the page: SVG in the page's text colour, with an alternative text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bench.report.figures.style import FOREGROUND, svg


@dataclass(frozen=True)
class Drawn:
    """A figure in the page.

    Attributes:
        name: unique in the page.
        title: of the figure.
        caption: how to read it.
        alt: the alternative text.
        svg: the picture; empty where it could not be drawn, for the reason in ``alt``.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str


def not_drawn(name: str, title: str, reason: str) -> Drawn:
    """Return the note in place of a figure that could not be drawn."""
    return Drawn(name, title, "", f"Not drawn: {reason}", "")


def drawn(figure: Figure, name: str, title: str, caption: str, alt: str) -> Drawn:
    """Return the figure as the page embeds it, and close it."""
    text = svg(figure).replace(FOREGROUND, "currentColor")
    plt.close(figure)
    return Drawn(name, title, caption, alt, _embedded(text, name))


def _embedded(text: str, name: str) -> str:
    """Return the SVG with unique names in the page, hidden from screen readers, which read ``alt``."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', text)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"<svg ", '<svg aria-hidden="true" focusable="false" ', text, count=1)
