"""Figures of an experiment as the page holds them: SVG that takes the page's text colour, with words for those who
cannot see it."""

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
        alt: what it shows, in words.
        svg: its picture; empty where it could not be drawn, which ``alt`` says then.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str


def not_drawn(name: str, title: str, reason: str) -> Drawn:
    """The note that stands in place of a figure that could not be drawn."""
    return Drawn(name, title, "", f"Not drawn: {reason}", "")


def drawn(figure: Figure, name: str, title: str, caption: str, alt: str) -> Drawn:
    """Take a figure into the page; it is closed."""
    text = svg(figure).replace(FOREGROUND, "currentColor")
    plt.close(figure)
    return Drawn(name, title, caption, alt, _embedded(text, name))


def _embedded(text: str, name: str) -> str:
    """The SVG with names of its own, so that many can stand in one page, and hidden from screen readers: the page
    says ``alt``."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', text)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return re.sub(r"<svg ", '<svg aria-hidden="true" focusable="false" ', text, count=1)
