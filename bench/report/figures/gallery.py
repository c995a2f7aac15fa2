"""The first test episodes: their images, or their points."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.protocol.setup import EVALUATION_SEED, test_shape
from bench.spec.cell import Cell
from datasets.core.episodes import Dataset, Episodes
from datasets.drawing.contact_sheet import has_points, picture
from datasets.drawing.point_plot import draw_episode

EPISODES = 3
QUERIES = 2  # shown per class


def draw(cell: Cell, dataset: Dataset) -> Figure:
    """Draw the first test episodes.

    Images: a column per class, support images above the line, the first queries below. Vectors: support points filled,
    query points hollow; see ``datasets.drawing.point_plot``.
    """
    shape = test_shape(cell)
    batch = dataset.stream("test", shape, EVALUATION_SEED).batch(range(EPISODES))
    if has_points(dataset.input_shape):
        return _points(dataset, batch)
    pictures = [picture(batch, i, shape, QUERIES) for i in range(EPISODES)]
    height, width = pictures[0].shape[:2]
    figure = Figure(figsize=(6.6, 6.6 / EPISODES * height / width + 0.35))
    for i, (axis, image) in enumerate(zip(figure.subplots(1, EPISODES), pictures, strict=True)):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(f"test episode {i}", fontsize=8)
        axis.set_axis_off()
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.28 / figure.get_figheight(), wspace=0.04)
    return figure


def _points(dataset: Dataset, batch: Episodes) -> Figure:
    figure = Figure(figsize=(6.6, 2.4), layout="constrained")
    for i, axis in enumerate(figure.subplots(1, EPISODES)):  # targets of tasks can differ in scale
        draw_episode(axis, dataset, batch, i)
        axis.set_title(f"test episode {i}", fontsize=8)
        axis.tick_params(labelsize=7)
    return figure


def caption(dataset: Dataset) -> str:
    """Return how to read the figure."""
    if not has_points(dataset.input_shape):
        return "A column per class: support images above the line, queries below."
    if dataset.kind == "classification":
        return (
            "Rows on the first two principal components of their episode, a colour per class: "
            "support filled, queries hollow."
        )
    inputs = "the input" if dataset.input_shape == (1,) else "the first principal component of the episode's inputs"
    return f"The target against {inputs}: support filled, queries hollow."


def alt(cell: Cell, dataset: Dataset) -> str:
    """Return the alternative text."""
    shape = test_shape(cell)
    if has_points(dataset.input_shape):
        ways = "" if dataset.kind == "regression" else f"{shape.n_way}-way "
        return f"{EPISODES} {ways}test episodes of {cell.dataset} as points: support filled, queries hollow"
    return (
        f"{EPISODES} {shape.n_way}-way test episodes of {cell.dataset}: a column per class, {shape.n_shot} support "
        f"images above the line, {min(QUERIES, shape.n_query)} of {shape.n_query} queries per class below"
    )
