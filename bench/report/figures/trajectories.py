"""Navigation: query trajectories on a few test tasks before adapting, and after the last inner step, with the goals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bench.analysis.experiments import Experiments, Section
from bench.protocol.evaluation import adapted_trajectories
from bench.report.figures.style import FOREGROUND, literal, look_of
from bench.store.store import read_state
from datasets.core.episodes import Dataset

TASKS = 3
SHOWN = 5  # trajectories of each task
BEFORE = "#d4d4da"


@dataclass(frozen=True)
class Walk:
    """One algorithm on the first test tasks.

    Attributes:
        algorithm: its name.
        steps: the first and the last inner step.
        paths: for each of these a list by task of SHOWN arrays [steps, 2] of positions.
        goals: [T, 2].
    """

    algorithm: str
    steps: tuple[int, ...]
    paths: tuple[list[list[npt.NDArray[np.float64]]], ...]
    goals: npt.NDArray[np.float64]


def walks(experiments: Experiments, section: Section, dataset: Dataset) -> list[Walk]:
    """Each algorithm of the section that is registered here, under its first seed, from its stored weights."""
    walked = []
    for name, cell, folder in experiments.adaptable(section):
        episodes, by_step = adapted_trajectories(cell, dataset, read_state(folder), range(TASKS))
        steps = tuple(dict.fromkeys((min(by_step), max(by_step))))
        paths = []
        for step in steps:
            seen = by_step[step]
            positions, valid = seen.observations[..., :2].double().numpy(), seen.valid.numpy() > 0
            paths.append(
                [[positions[t, n][valid[t, n]] for n in range(min(SHOWN, valid.shape[1]))] for t in range(TASKS)]
            )
        walked.append(Walk(name, steps, tuple(paths), episodes.query.parameters))
    return walked


def draw(walked: list[Walk]) -> Figure:
    """Draw a row per algorithm and a column per task."""
    figure = Figure(figsize=(6.4, 1.9 * len(walked) + 0.6))
    axes = figure.subplots(len(walked), TASKS, sharex=True, sharey=True, squeeze=False)
    for row, walk in zip(axes, walked, strict=True):
        colour = look_of(walk.algorithm, [other.algorithm for other in walked]).colour
        for task, axis in enumerate(row):
            for place, paths in enumerate(walk.paths):
                last = place == len(walk.paths) - 1
                for path in paths[task]:
                    axis.plot(*path.T, color=colour if last else BEFORE, lw=1.1 if last else 0.6, zorder=2 + last)
            axis.plot(0.0, 0.0, "o", ms=3, color=FOREGROUND, zorder=4)
            axis.plot(*walk.goals[task], "*", ms=9, color=FOREGROUND, zorder=4)
            axis.set(xlim=(-0.9, 0.9), ylim=(-0.9, 0.9), aspect="equal")
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(literal(walk.algorithm), fontsize=8, color=colour)
    for task, axis in enumerate(axes[0]):
        axis.set_title(f"test task {task}", fontsize=8)
    figure.supxlabel("star: goal; dot: start; thin and pale: before adapting; thick: after the last step", fontsize=8)
    figure.tight_layout(pad=0.6)
    return figure


def alt(walked: list[Walk]) -> str:
    """Return how far from the goal the trajectories end, before and after, in words."""
    words = []
    for walk in walked:
        ends = [
            np.mean([np.linalg.norm(path[-1] - walk.goals[t]) for t in range(TASKS) for path in paths[t]])
            for paths in walk.paths
        ]
        words.append(f"{walk.algorithm} {ends[0]:.3g} at step {walk.steps[0]}, {ends[-1]:.3g} at {walk.steps[-1]}")
    return f"trajectories of {TASKS} test tasks, mean distance from the goal at their last step: {'; '.join(words)}"
