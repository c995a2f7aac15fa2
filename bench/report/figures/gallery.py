"""The first test episodes as images."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.protocol.setup import EVALUATION_SEED, test_shape
from bench.spec.cell import Cell
from datasets.core.episodes import Dataset
from datasets.storage.contact_sheet import picture

EPISODES = 3
QUERIES = 2  # shown per class


def draw(cell: Cell, dataset: Dataset) -> Figure:
    """Draw the first test episodes: a column per class, support images above the line, the first queries below."""
    shape = test_shape(cell)
    batch = dataset.stream("test", shape, EVALUATION_SEED).batch(range(EPISODES))
    pictures = [picture(batch, i, shape, QUERIES) for i in range(EPISODES)]
    height, width = pictures[0].shape[:2]
    figure = Figure(figsize=(6.6, 6.6 / EPISODES * height / width + 0.35))
    for i, (axis, image) in enumerate(zip(figure.subplots(1, EPISODES), pictures, strict=True)):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(f"test episode {i}", fontsize=8)
        axis.set_axis_off()
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.28 / figure.get_figheight(), wspace=0.04)
    return figure


def alt(cell: Cell) -> str:
    """Return the alternative text."""
    shape = test_shape(cell)
    return (
        f"{EPISODES} {shape.n_way}-way test episodes of {cell.dataset}: a column per class, {shape.n_shot} support "
        f"images above the line, {min(QUERIES, shape.n_query)} of {shape.n_query} queries per class below"
    )
