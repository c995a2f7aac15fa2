"""Tasks of control as a picture: a panel of each task's parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from datasets.core.episodes import Dataset, Shape, Split


def draw_tasks(dataset: Dataset, path: Path, split: Split, shape: Shape, episodes: int, seed: int) -> Path:
    """Write a PNG of the parameters of a stream's first tasks to ``path``.

    Two continuous parameters, such as the coordinates of a goal, are a star in the plane, with the origin as a dot;
    others, such as the means of a bandit's arms, are bars.
    """
    parameters = dataset.stream(split, shape, seed).identity(range(episodes))[:, :-2]
    figure = Figure(figsize=(2.6 * episodes, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, episodes, sharex=True, sharey=True))
    for i, (axis, values) in enumerate(zip(axes, parameters, strict=True)):
        if len(values) == 2:
            axis.plot(0.0, 0.0, "o", markersize=4)
            axis.plot(*values, "*", markersize=10)
            axis.set_aspect("equal")
            axis.margins(0.2)
        else:
            axis.bar(range(len(values)), values)
            axis.set_xlabel("parameter", fontsize="small")
        axis.set_title(f"episode {i}", fontsize="small")
    figure.savefig(path, dpi=100, format="png")
    return path
