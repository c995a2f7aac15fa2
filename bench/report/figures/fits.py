"""Sinusoids: each algorithm's outputs on a few test tasks before adapting, after one step and after the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from bench.analysis.experiments import Experiments, Section
from bench.protocol.evaluation import adapted_outputs
from bench.report.figures.style import FAINT, FOREGROUND, literal, look_of
from bench.store.store import read_state
from datasets.core.episodes import Dataset

TASKS = 3
POINTS = 101
STEPS = ((0, ":", 1.0), (1, "--", 1.0), (-1, "-", 1.6))  # inner step (-1: the last), line, width


@dataclass(frozen=True)
class Fit:
    """One algorithm on the first test tasks.

    Attributes:
        algorithm: its name.
        steps: the inner steps shown.
        x: [P] where the curves are drawn.
        y: [len(steps), T, P] outputs.
        support: T pairs of the support points' x and y.
        amplitude_phase: [T, 2] of the tasks.
    """

    algorithm: str
    steps: tuple[int, ...]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    support: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    amplitude_phase: npt.NDArray[np.float64]


def fits(experiments: Experiments, section: Section, dataset: Dataset) -> list[Fit]:
    """Each algorithm of the section that is registered here, under its first seed, from its stored weights."""
    grid = torch.linspace(-5.0, 5.0, POINTS)[None, :, None].expand(TASKS, POINTS, 1)
    fitted = []
    for name, cell, folder in experiments.adaptable(section):
        episodes, outputs = adapted_outputs(cell, dataset, read_state(folder), range(TASKS), grid)
        by_step = {step: y[..., 0].double().cpu().numpy() for step, y in outputs}
        chosen = tuple(dict.fromkeys(max(by_step) if step < 0 else step for step, _, _ in STEPS))
        steps = tuple(step for step in chosen if step in by_step)
        points = zip(episodes.support.x, episodes.support.y, strict=True)
        support = [(x[:, 0].numpy(), y[:, 0].numpy()) for x, y in points]
        curves = np.stack([by_step[step] for step in steps])
        fitted.append(Fit(name, steps, grid[0, :, 0].double().numpy(), curves, support, episodes.identity[:, :2]))
    return fitted


def draw(fitted: list[Fit]) -> Figure:
    """Draw a row per algorithm and a column per task."""
    figure = Figure(figsize=(6.4, 1.15 * len(fitted) + 0.75))
    axes = figure.subplots(len(fitted), TASKS, sharex=True, sharey="col", squeeze=False)
    for row, fit in zip(axes, fitted, strict=True):
        colour = look_of(fit.algorithm, [other.algorithm for other in fitted]).colour
        for task, axis in enumerate(row):
            amplitude, phase = fit.amplitude_phase[task]
            axis.plot(fit.x, amplitude * np.sin(fit.x - phase), color=FAINT, lw=3, alpha=0.45, label="task")
            for curve, step in zip(fit.y, fit.steps, strict=True):
                place = 0 if step == 0 else 1 if step == 1 and step != fit.steps[-1] else 2
                axis.plot(fit.x, curve[task], color=colour, ls=STEPS[place][1], lw=STEPS[place][2])
            axis.plot(*fit.support[task], "o", ms=2.6, color=FOREGROUND)
            axis.set_ylim(-1.6 * amplitude - 0.6, 1.6 * amplitude + 0.6)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(literal(fit.algorithm), fontsize=8, color=colour)
    for task, axis in enumerate(axes[0]):
        axis.set_title(f"test task {task}", fontsize=8)
    figure.supxlabel(
        "points: support; wide grey: the task; dotted: before; dashed: after one step; solid: after the last",
        fontsize=8,
    )
    figure.tight_layout(pad=0.6)
    return figure


def alt(fitted: list[Fit]) -> str:
    """Return how far each algorithm is from the tasks, before and after, in words."""
    words = []
    for fit in fitted:
        truth = fit.amplitude_phase[:, :1] * np.sin(fit.x - fit.amplitude_phase[:, 1:])
        errors = ((fit.y - truth) ** 2).mean(axis=(1, 2))
        words.append(f"{fit.algorithm} {errors[0]:.3g} at step {fit.steps[0]}, {errors[-1]:.3g} at {fit.steps[-1]}")
    return f"fits of {TASKS} test tasks, mean squared distance from the task: {'; '.join(words)}"
