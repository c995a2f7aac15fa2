"""Episodes of vectors as points in the plane, and of functions of one variable as curves."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from datasets.core.episodes import Dataset, Episodes

FloatArray = npt.NDArray[np.float64]

CURVE_POINTS = 201
EPSILON = 0.05  # by which a curve goes on beyond its outermost points, as a part of their distance


@runtime_checkable
class Functions(Protocol):
    """A regression dataset whose tasks are functions of one variable that can be evaluated anywhere."""

    def values(self, episodes: Episodes, x: FloatArray) -> FloatArray:
        """Return [T, P] targets of these T tasks at the inputs ``x`` [P]."""


def draw_episode(axis: Axes, dataset: Dataset, episodes: Episodes, i: int) -> None:
    """Draw episode ``i``: support points filled, query points hollow.

    Classification: inputs [F] on their first two principal components within the episode, a colour per class.
    Regression: the target against the input, or against the inputs' first principal component where there are several;
    with the task's curve where the dataset knows it.
    """
    support, query = (_vectors(x[i].numpy()) for x in (episodes.support.x, episodes.query_x))
    if dataset.kind == "regression":
        _regression(axis, dataset, episodes, i, support, query)
        return
    plane = principal(np.concatenate([support, query]), 2)
    labels = np.concatenate([episodes.support.y[i].numpy(), episodes.query_y[i].numpy()])
    for label in range(episodes.support.n_way):
        colour = f"C{label % 10}"
        of_class = labels == label
        is_support = np.arange(len(labels)) < len(support)
        axis.plot(*plane[of_class & is_support].T, "o", color=colour, markersize=6)
        axis.plot(*plane[of_class & ~is_support].T, "o", color=colour, markersize=3, fillstyle="none")


def principal(vectors: FloatArray, n: int) -> FloatArray:
    """Return [N, n] coordinates of ``vectors`` [N, F] on their first principal components; zeros beyond the rank."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:n]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    coordinates = centred @ (axes * np.sign(largest)).T
    return np.pad(coordinates, ((0, 0), (0, n - coordinates.shape[1])))


def _vectors(x: npt.NDArray[np.float32]) -> FloatArray:
    return x.astype(np.float64).reshape(len(x), -1)


def _regression(
    axis: Axes, dataset: Dataset, episodes: Episodes, i: int, support: FloatArray, query: FloatArray
) -> None:
    both = np.concatenate([support, query])
    x = both[:, 0] if both.shape[1] == 1 else principal(both, 1)[:, 0]
    if isinstance(dataset, Functions):
        margin = EPSILON * (x.max() - x.min())
        dense = np.linspace(x.min() - margin, x.max() + margin, CURVE_POINTS)
        axis.plot(dense, dataset.values(episodes, dense)[i], color="0.7", linewidth=1)
    axis.plot(x[: len(support)], episodes.support.y[i, :, 0], "o", label="support")
    axis.plot(x[len(support) :], episodes.query_y[i, :, 0], "o", markersize=3, fillstyle="none", label="query")
