"""Figures of an experiment, each a function from data frames to a matplotlib figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the choice of a backend that needs no screen
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from algorithms import ALGORITHMS
from bench.store import Store

PALETTE = "colorblind"


def _colours(shown: Iterable[str] = ()) -> dict[str, tuple[float, float, float]]:
    """One colour an algorithm, the same in every figure; those that are not registered here come last."""
    names = [*dict.fromkeys([*ALGORITHMS.names(), *sorted(shown)])]
    return dict(zip(names, sns.color_palette(PALETTE, len(names)), strict=True))


def _panels(board: pd.DataFrame, height: float, draw: Callable[[Axes, pd.DataFrame], None]) -> Figure | None:
    """A panel per dataset and shape that has a result, each filled by ``draw``; None where there is none."""
    groups = [(f"{d} {s}", part) for (d, s), part in board.groupby(["dataset", "shape"], sort=False)]
    groups = [(title, part[part["seeds"] > 0]) for title, part in groups if int(part["seeds"].sum())]
    if not groups:
        return None
    columns = min(len(groups), 3)
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, height * rows), squeeze=False)
    for axis, (title, part) in zip(axes.flat, groups, strict=False):
        draw(axis, part)
        axis.set_title(title)
    for spare in axes.flat[len(groups) :]:
        spare.remove()
    sns.despine(figure)
    figure.tight_layout()
    return figure


def _score(part: pd.DataFrame) -> tuple[str, float, str]:
    """Which column the panel shows, its scale, and its label."""
    if "mse" in part and bool(part["mse"].notna().any()):
        return "mse", 1.0, "mean squared error (lower is better)"
    return "accuracy_transductive", 100.0, "accuracy, % (transductive)"


def scores(store: Store, board: pd.DataFrame) -> Figure | None:
    """Each algorithm's mean with its 95% interval (these classes), by dataset and shape."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        column, scale, label = _score(part)
        for place, row in enumerate(part.iloc[::-1].to_dict("records")):
            mean, low, high = (scale * row[name] for name in (column, f"{column}_low", f"{column}_high"))
            colour = _colours(part["algorithm"])[row["algorithm"]]
            axis.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3)
            if column != "mse":
                axis.plot(scale * row["accuracy_inductive"], place, "D", markersize=5, mfc="none", color=colour)
        axis.set_yticks(range(len(part)), part["algorithm"].iloc[::-1])
        axis.set(xlabel=label + ("; ◇ inductive" if column != "mse" else ""), ylim=(-0.6, len(part) - 0.4))
        axis.grid(axis="x", alpha=0.3)

    return _panels(board, 2.8, draw)


def time(store: Store, board: pd.DataFrame) -> Figure | None:
    """Score against seconds of meta-training."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        column, scale, label = _score(part)
        for row in part.to_dict("records"):
            mean, low, high = (scale * row[name] for name in (column, f"{column}_low", f"{column}_high"))
            cost, colour = row["train_seconds"], _colours(part["algorithm"])[row["algorithm"]]
            axis.errorbar(cost, mean, yerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3)
            axis.annotate(row["algorithm"], (cost, mean), xytext=(6, 4), textcoords="offset points", fontsize=8)
        axis.set(xlabel="training, s (one thread)", ylabel=label)
        axis.set_xlim(0, 1.3 * part["train_seconds"].max())
        axis.grid(alpha=0.3)

    return _panels(board, 3.2, draw)


def memory(store: Store, board: pd.DataFrame) -> Figure | None:
    """How much resident memory rose over the process's baseline, and its peak in figures."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        shown = part.iloc[::-1]
        colours = _colours(shown["algorithm"])
        axis.barh(shown["algorithm"], shown["peak_rise_mib"], color=[colours[name] for name in shown["algorithm"]])
        for place, (rise, peak) in enumerate(zip(shown["peak_rise_mib"], shown["peak_mib"], strict=True)):
            axis.annotate(f" {rise:.0f} (peak {peak:.0f})", (rise, place), va="center", fontsize=8)
        axis.set_xlabel("rise of resident memory, MiB")
        axis.margins(x=0.4)

    return _panels(board, 2.8, draw)


def steps(store: Store, board: pd.DataFrame) -> Figure | None:
    """Squared error (sinusoids) or accuracy by inner step: the mean, and the range over seeds."""
    episodes = store.episodes()

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        column, scale, label = _score(part)
        chosen = (episodes["dataset"] == part["dataset"].iloc[0]) & (episodes["shape"] == part["shape"].iloc[0])
        rows = episodes[chosen]
        values = rows["mse"] if column == "mse" else scale * rows["n_correct_transductive"] / rows["n_query"]
        means = rows.assign(value=values).groupby(["algorithm", "seed", "step"], as_index=False)["value"].mean()
        sns.lineplot(
            means,
            x="step",
            y="value",
            hue="algorithm",
            hue_order=list(part["algorithm"]),
            palette=_colours(part["algorithm"]),
            errorbar=("pi", 100),
            ax=axis,
        )
        axis.set(xlabel="inner step at test time", ylabel=label)
        if means["step"].max() > 20:
            axis.set_xscale("symlog", linthresh=10)
        axis.set_xlim(left=0)
        axis.legend(fontsize=7, title=None, loc="upper right" if column == "mse" else "lower right")
        axis.grid(alpha=0.3)

    return _panels(board, 3.2, draw)


FIGURES: dict[str, Callable[[Store, pd.DataFrame], Figure | None]] = {
    "scores": scores,
    "time": time,
    "memory": memory,
    "steps": steps,
}


def write_figures(store: Store, board: pd.DataFrame, folder: Path) -> list[Path]:
    """Every figure as PNG; those that have nothing to show are left out."""
    written = []
    with sns.axes_style("ticks"):
        for name, draw in FIGURES.items():
            figure = draw(store, board)
            if figure is not None:
                written.append(folder / f"{name}.png")
                figure.savefig(written[-1], dpi=150, metadata={"Software": None})
                plt.close(figure)
    return written
