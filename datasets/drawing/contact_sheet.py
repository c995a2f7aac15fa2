"""A picture of a few episodes, to be checked by eye: support and query images, or points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import Tensor

from datasets.core.control import ControlDataset
from datasets.core.episodes import Dataset, Episodes, Shape, Split
from datasets.core.errors import UserError
from datasets.drawing.point_plot import draw_episode
from datasets.drawing.task_plot import draw_tasks

GAP = 4
CAPTION = 14
PAPER = (255, 255, 255)
SHOWN_AT_LEAST = 48
"""Pixels: smaller images are enlarged by a whole factor."""


def draw(dataset: Dataset, path: Path, split: Split, shape: Shape, episodes: int, seed: int = 0) -> Path:
    """Write a PNG of the first ``episodes`` episodes of a stream to ``path``.

    Images: an episode is a block with a column per class, support rows above the line and query rows below. Vectors:
    see ``point_plot.draw_episode``. Control: see ``task_plot.draw_tasks``.

    Raises:
        UserError: the dataset holds neither images nor vectors.
    """
    if isinstance(dataset, ControlDataset):
        return draw_tasks(dataset, path, split, shape, episodes, seed)
    points = has_points(dataset.input_shape)
    if not points and not has_pictures(dataset.input_shape):
        raise UserError(
            f"{dataset.name} cannot be shown: its examples have the shape {dataset.input_shape}, and only images of 1 "
            "or 3 channels and vectors are drawn"
        )
    batch = dataset.stream(split, shape, seed).batch(range(episodes))
    if points:
        _points(dataset, batch, path)
    else:
        title = f"{dataset.name} {split}: {shape.n_way}-way {shape.n_shot}-shot, support above the line"
        _images(batch, shape, title).save(path, "PNG")
    return path


def has_pictures(input_shape: tuple[int, ...]) -> bool:
    """Return whether examples of that shape are images that can be shown: (1 or 3 channels, height, width)."""
    return len(input_shape) == 3 and input_shape[0] in (1, 3)


def has_points(input_shape: tuple[int, ...]) -> bool:
    """Return whether examples of that shape are vectors, which are shown as points."""
    return len(input_shape) == 1


def picture(batch: Episodes, i: int, shape: Shape, queries: int | None = None) -> npt.NDArray[np.uint8]:
    """[height, width, 3] episode ``i`` with a column per class: support rows, a line, ``queries`` query rows."""
    by_class = batch.query_x[i].reshape(shape.n_way, shape.n_query, *batch.query_x.shape[2:])
    shown = by_class[:, :queries].flatten(0, 1)
    return _block(_grid(batch.support.x[i], shape.n_way), _grid(shown, shape.n_way))


def _images(batch: Episodes, shape: Shape, title: str) -> Image.Image:
    blocks = [picture(batch, i, shape) for i in range(len(batch))]
    height, width = blocks[0].shape[:2]
    sheet = Image.new("RGB", (max(GAP + len(blocks) * (width + 4 * GAP), 6 * len(title)), height + 2 * CAPTION), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 0), title, fill=(0, 0, 0))
    for i, block in enumerate(blocks):
        left = GAP + i * (width + 4 * GAP)
        pen.text((left, CAPTION), f"episode {int(batch.index[i])}", fill=(0, 0, 0))
        sheet.paste(Image.fromarray(block), (left, 2 * CAPTION))
    return sheet


def _grid(images: Tensor, n_way: int) -> npt.NDArray[np.uint8]:
    """[n_way * shots, channels, height, width] in [0, 1], class by class, as one picture with a column per class."""
    pixels = (images * 255).round().byte().numpy()
    factor = max(1, -(-SHOWN_AT_LEAST // pixels.shape[-1]))
    pixels = pixels.repeat(factor, axis=2).repeat(factor, axis=3)
    pixels = np.broadcast_to(pixels, (len(pixels), 3, *pixels.shape[2:]))
    pixels = np.pad(pixels, ((0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    n, channels, height, width = pixels.shape
    rows = pixels.reshape(n_way, n // n_way, channels, height, width)
    return np.ascontiguousarray(rows.transpose(1, 3, 0, 4, 2).reshape(n // n_way * height, n_way * width, channels))


def _block(support: npt.NDArray[np.uint8], query: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    line = np.full((2 * GAP, support.shape[1], 3), 255, dtype=np.uint8)
    line[GAP // 2 : GAP // 2 + 2] = (200, 0, 0)
    return np.concatenate([support, line, query])


def _points(dataset: Dataset, batch: Episodes, path: Path) -> None:
    figure = Figure(figsize=(3 * len(batch), 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(1, len(batch), sharey=dataset.kind == "regression"))
    for i, panel in enumerate(axes):
        draw_episode(panel, dataset, batch, i)
        panel.set_title(f"episode {int(batch.index[i])}", fontsize="small")
    if dataset.kind == "regression":
        axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=100, format="png")
