"""Figures of a search, each a function from data frames to a matplotlib figure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # after the choice of a backend that needs no screen
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from optuna.trial import FrozenTrial
from optuna.visualization import matplotlib as of_optuna

from algorithms import ALGORITHMS
from bench.report.figures.style import literal
from bench.tune.report.tables import value_of
from bench.tune.storage import experimental
from bench.tune.study import Opened

Colour = tuple[float, float, float]


def colours(shown: Iterable[str]) -> dict[str, Colour]:
    """One colour an algorithm, the same in every figure; those that are not registered here come last."""
    names = [*dict.fromkeys([*ALGORITHMS.names(), *sorted(shown)])]
    return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def label_of(metric: str) -> str:
    """The axis label of a validation value."""
    return "squared error" if metric == "mse" else f"accuracy, % ({metric.removeprefix('accuracy_')})"


def scale_of(metric: str) -> float:
    """Accuracies are shown in percent."""
    return 1.0 if metric == "mse" else 100.0


def _panels(table: pd.DataFrame, height: float, draw: Callable[[Axes, pd.DataFrame], None]) -> Figure:
    """A panel per dataset and shape, each filled by ``draw``."""
    groups = [
        (f"{dataset} {shape}", part) for (dataset, shape), part in table.groupby(["dataset", "shape"], sort=False)
    ]
    columns = min(len(groups), 3)
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.8 * columns, height * rows), squeeze=False)
    for axis, (title, part) in zip(axes.flat, groups, strict=False):
        draw(axis, part)
        axis.set_title(literal(title))
    for spare in axes.flat[len(groups) :]:
        spare.remove()
    sns.despine(figure)
    figure.tight_layout()
    return figure


CUT_OFF = 50
"""Times the least error: values above, of trials that all but diverged, would leave no room for the others."""


def _log_where_wide(axis: Axes) -> None:
    """A logarithmic axis for errors, with plain numbers, where they span more than a factor of five."""
    low, high = axis.dataLim.intervaly
    if low > 0 and high > 5 * low:
        axis.set_yscale("log")
        axis.set_ylim(0.9 * low, min(1.1 * high, CUT_OFF * low))
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())


def history(searches: pd.DataFrame, metrics: dict[str, str]) -> Figure:
    """Each trial's validation value, and the best so far, against the number of trials."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for name, rows in part.groupby("algorithm", sort=False):
            colour = colours(part["algorithm"])[str(name)]
            axis.scatter(rows["trials"], scale_of(metric) * rows["value"], s=9, color=colour, alpha=0.45, linewidths=0)
            axis.step(
                rows["trials"], scale_of(metric) * rows["best"], where="post", color=colour, label=literal(str(name))
            )
        axis.set(xlabel="trial", ylabel=f"validation {label_of(metric)}")
        if metric == "mse":
            _log_where_wide(axis)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)

    return _panels(searches, 3.4, draw)


def expected_best(searches: pd.DataFrame, metrics: dict[str, str]) -> Figure:
    """The expected best validation value of n trials (Dodge et al. 2019), for every algorithm on one axis."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for name, rows in part.groupby("algorithm", sort=False):
            colour = colours(part["algorithm"])[str(name)]
            axis.plot(rows["trials"], scale_of(metric) * rows["expected_best"], color=colour, label=literal(str(name)))
        axis.set(xlabel="trials", ylabel=f"expected best validation\n{label_of(metric)}")
        if metric == "mse":
            _log_where_wide(axis)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)

    return _panels(searches, 3.4, draw)


def importance(table: pd.DataFrame) -> Figure:
    """Each hyper-parameter's share of the variance of the validation values, by algorithm."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        shares = part.pivot(index="algorithm", columns="hyper-parameter", values="importance")
        shares = shares.loc[list(dict.fromkeys(part["algorithm"])), sorted(shares.columns)]
        shares = shares.rename(index=literal, columns=literal)
        sns.heatmap(shares, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="Blues", cbar=False, linewidths=0.5, ax=axis)
        axis.set(xlabel="", ylabel="")
        axis.tick_params(axis="x", rotation=40)
        plt.setp(axis.get_xticklabels(), ha="right")

    return _panels(table, 3.6, draw)


def slices(opened: Opened) -> Figure:
    """Optuna's slices of one study, in this report's style: the validation value against each hyper-parameter."""
    metric = opened.plan.metric

    def value(trial: FrozenTrial) -> float:
        return scale_of(metric) * value_of(trial)

    with experimental(), plt.rc_context():
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")  # one value was drawn
        found: Any = of_optuna.plot_slice(opened.study(), target=value, target_name=f"validation {label_of(metric)}")
    axes = np.atleast_1d(np.asarray(found, dtype=object)).ravel()
    figure: Figure = axes[0].figure
    figure.set_size_inches(max(2.3 * len(axes) + 1.2, 4.5), 2.9)
    figure.suptitle(literal(opened.plan.title), fontsize=10)
    for axis in axes:
        axis.set_facecolor("white")
        axis.set_title("")
        axis.grid(True, which="major", color="0.88", linewidth=0.6)
        axis.tick_params(colors="0.15", labelsize=7)
        for text in (axis.xaxis.label, axis.yaxis.label):
            text.set(color="0.15", fontsize=8)
        for spine in axis.spines.values():
            spine.set(visible=True, color="0.15")
        for points in axis.collections:
            points.set(cmap="viridis", edgecolor="none")
        if metric == "mse":
            _log_where_wide(axis)
    sns.despine(figure)
    return figure


def default_and_tuned(table: pd.DataFrame) -> Figure:
    """How much better the winner is than the default on fresh seeds, with paired 95% intervals."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = str(part["metric"].iloc[0])
        for place, row in enumerate(part.iloc[::-1].to_dict("records")):
            mean, low, high = (scale_of(metric) * row[name] for name in ("difference", "low", "high"))
            colour = colours(part["algorithm"])[row["algorithm"]]
            reach = [[mean - low], [high - mean]] if np.isfinite([low, high]).all() else None
            axis.errorbar(mean, place, xerr=reach, fmt="o", color=colour, capsize=3)
        axis.axvline(0, color="0.5", linewidth=0.8)
        axis.set_yticks(range(len(part)), [literal(name) for name in part["algorithm"].iloc[::-1]])
        better = "lower is better" if metric == "mse" else "higher is better"
        axis.set(xlabel=f"tuned minus default: {label_of(metric)}\n({better})", ylim=(-0.6, len(part) - 0.4))
        axis.grid(axis="x", alpha=0.3)

    return _panels(table, 3.0, draw)


def cost(table: pd.DataFrame) -> Figure:
    """Seconds of the whole search beside those of one training run with what it selected."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        shown = part.iloc[::-1]
        places = np.arange(len(shown))
        colour = [colours(part["algorithm"])[name] for name in shown["algorithm"]]
        axis.barh(places + 0.2, shown["seconds"], height=0.38, color=colour, label="search")
        axis.barh(places - 0.2, shown["train_seconds"], height=0.38, color=colour, alpha=0.45, label="training")
        for place, (search, training) in enumerate(zip(shown["seconds"], shown["train_seconds"], strict=True)):
            axis.annotate(f" search {search:.0f}", (search, place + 0.2), va="center", fontsize=7)
            axis.annotate(f" training {training:.1f}", (training, place - 0.2), va="center", fontsize=7)
        axis.set_yticks(places, [literal(name) for name in shown["algorithm"]])
        axis.set(xscale="log", xlabel="seconds of one core")
        axis.margins(x=0.25)

    return _panels(table, 3.2, draw)


def pareto(trials: pd.DataFrame, metrics: dict[str, str], cost_name: str) -> Figure:
    """Validation value against the second objective: all trials, and the front that none of the others beats."""
    complete = trials[trials["status"] == "ok"]

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for name, rows in part.groupby("algorithm", sort=False):
            colour = colours(part["algorithm"])[str(name)]
            axis.scatter(rows[cost_name], scale_of(metric) * rows["validation"], s=12, color=colour, alpha=0.35)
            best = front(rows, cost_name, metric != "mse")
            axis.plot(
                best[cost_name], scale_of(metric) * best["validation"], "o-", color=colour, label=literal(str(name))
            )
        words = {"adapt_ms": "adapting to one task, ms", "peak_mib": "peak memory, MiB"}
        axis.set(xlabel=words[cost_name], ylabel=f"validation {label_of(metric)}", xscale="log")
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)

    return _panels(complete, 3.4, draw)


def front(rows: pd.DataFrame, cost_name: str, higher_is_better: bool) -> pd.DataFrame:
    """The trials that no other beats in both objectives, by cost: each must be better than all cheaper ones."""
    signed = rows["validation"] if higher_is_better else -rows["validation"]
    ordered = rows.assign(signed=signed).sort_values([cost_name, "signed"], ascending=[True, False])
    before = ordered["signed"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["signed"] > before].drop(columns="signed")


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """The figure as PNG and SVG, without dates; it is closed."""
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    with plt.rc_context({"svg.hashsalt": "bench"}):  # the same figure gives the same bytes
        figure.savefig(paths[0], dpi=150, bbox_inches="tight", metadata={"Software": None})
        figure.savefig(paths[1], bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return paths
