"""The figures of a search: functions from data frames to matplotlib figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from algorithms.core.hyperparameters import Choice, Range
from bench.analysis.metrics import direction, is_percentage, metric_name
from bench.report.figures.style import FAINT, HUES, Look, legend, literal, look_of
from bench.tuning.ledger import read
from bench.tuning.report.tables import value_of
from bench.tuning.study import Opened


def label_of(metric: str) -> str:
    """Return the axis label of a validation value."""
    return f"{metric_name(metric)}{', %' if is_percentage(metric) else ''}"


def scale_of(metric: str) -> float:
    """Return 100 for accuracies, which are shown in percent, and 1 for errors and returns."""
    return 100.0 if is_percentage(metric) else 1.0


def _panels(table: pd.DataFrame, height: float, draw: Callable[[Axes, pd.DataFrame], None]) -> Figure:
    """Return a figure with a panel per dataset and shape, each filled by ``draw``."""
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
"""Times the least error: larger errors, of trials that nearly diverged, are cut off."""


def _by_algorithm(part: pd.DataFrame) -> list[tuple[str, Look, pd.DataFrame]]:
    """Return name, look and rows of each algorithm, in their order."""
    names = [str(name) for name in dict.fromkeys(part["algorithm"])]
    return [(name, look_of(name, names), part[part["algorithm"] == name]) for name in names]


def _line(looks: Look) -> Line2D:
    return Line2D([], [], color=looks.colour, marker=looks.marker, ls=looks.dash, ms=4)


def _names(axis: Axes, part: pd.DataFrame) -> None:
    """Draw the legend of the algorithms below the axes, where it hides no line."""
    entries: list[tuple[Artist, str]] = [(_line(looks), name) for name, looks, _ in _by_algorithm(part)]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "frameon": False, "handlelength": 3}
    legend(axis, entries, ncol=3, fontsize=8, **below)


def _log_where_wide(axis: Axes) -> None:
    """A logarithmic axis for errors, with plain numbers, where they span more than a factor of five."""
    low, high = axis.dataLim.intervaly
    if low > 0 and high > 5 * low:
        axis.set_yscale("log")
        axis.set_ylim(0.9 * low, min(1.1 * high, CUT_OFF * low))
        _plain_numbers(axis.yaxis)


def _plain_numbers(axis: Axis) -> None:
    """Mark a logarithmic axis at 1, 2, 5, 10 and so on, or at 1, 10, 100 where it is long, without powers of ten."""
    short = axis.get_data_interval()[1] < 30 * axis.get_minpos()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def history(searches: pd.DataFrame, metrics: dict[str, str]) -> Figure:
    """Draw each trial's validation value, and the best so far, against the number of trials."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for _, (colour, marker, dash), rows in _by_algorithm(part):
            values, best = scale_of(metric) * rows["value"], scale_of(metric) * rows["best"]
            axis.scatter(rows["trials"], values, s=18, color=colour, marker=marker, alpha=0.5, linewidths=0)
            axis.step(rows["trials"], best, where="post", color=colour, ls=dash)
        axis.xaxis.set_major_locator(_whole_numbers())
        axis.set(xlabel="trial", ylabel=f"validation:\n{label_of(metric)}")
        if metric == "mse":
            _log_where_wide(axis)
        _names(axis, part)
        axis.grid(alpha=0.3)

    return _panels(searches, 3.4, draw)


def expected_best(searches: pd.DataFrame, metrics: dict[str, str]) -> Figure:
    """Draw the expected best validation value of n trials (Dodge et al. 2019) for every algorithm."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for _, (colour, marker, dash), rows in _by_algorithm(part):
            values, every = scale_of(metric) * rows["expected_best"], max(1, len(rows) // 8)
            axis.plot(rows["trials"], values, color=colour, marker=marker, ms=4, markevery=every, ls=dash)
        axis.xaxis.set_major_locator(_whole_numbers())
        axis.set(xlabel="trials", ylabel=f"expected best validation:\n{label_of(metric)}")
        if metric == "mse":
            _log_where_wide(axis)
        _names(axis, part)
        axis.grid(alpha=0.3)

    return _panels(searches, 3.4, draw)


def importance(table: pd.DataFrame) -> Figure:
    """Draw each hyper-parameter's share of the variance of the validation values, by algorithm."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        shares = part.pivot(index="algorithm", columns="hyper-parameter", values="importance")
        shares = shares.loc[list(dict.fromkeys(part["algorithm"])), sorted(shares.columns)]
        shares = shares.rename(index=literal, columns=literal)
        sns.heatmap(shares, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="Blues", cbar=False, ax=axis)
        axis.set(xlabel="", ylabel="")
        axis.tick_params(axis="x", rotation=40)
        plt.setp(axis.get_xticklabels(), ha="right")

    return _panels(table, 3.6, draw)


SLICE_COLUMNS = 2
MARGIN = 0.05  # beside the range of an axis, as a fraction of it


def slices(opened: Opened) -> Figure:
    """Draw the validation value of a study's trials against each hyper-parameter, later trials darker."""
    metric = opened.plan.metric
    trials = [trial for trial in read(opened.study()).slots if np.isfinite(value_of(trial))]
    names = [name for name in opened.plan.space if any(name in trial.params for trial in trials)]
    rows = max(1, -(-len(names) // SLICE_COLUMNS))
    figure, axes = plt.subplots(rows, SLICE_COLUMNS, figsize=(4.9, 2.0 * rows + 0.5), squeeze=False, sharey=True)
    shades = sns.light_palette(HUES[0], max(len(trials), 1) + 2)[2:]
    for axis, name in zip(axes.flat, names, strict=False):
        drawn = [
            (trial.params[name], value_of(trial), shade)
            for trial, shade in zip(trials, shades, strict=True)
            if name in trial.params
        ]
        _slice(axis, name, [value for value, _, _ in drawn], opened.plan.space[name])
        places = _places([value for value, _, _ in drawn])
        axis.scatter(places, [scale_of(metric) * y for _, y, _ in drawn], s=16, c=[c for *_, c in drawn], linewidths=0)
        if metric == "mse":
            _log_where_wide(axis)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    for spare in axes.flat[max(len(names), 1) :]:
        spare.remove()
    figure.supylabel(f"validation: {label_of(metric)}", fontsize=8)
    figure.suptitle(literal(opened.plan.title), fontsize=10)
    sns.despine(figure)
    figure.tight_layout()
    return figure


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(values: Sequence[object]) -> list[float]:
    """Return where values stand on the x axis: numbers at themselves, others side by side."""
    if all(_is_number(value) for value in values):
        return [float(str(value)) for value in values]
    kinds = sorted({str(value) for value in values})
    return [float(kinds.index(str(value))) for value in values]


def _whole_numbers(most: int = 9) -> MaxNLocator:
    """Return a locator of at most so many ticks, all at whole numbers, be there a single one."""
    return MaxNLocator(most, integer=True, min_n_ticks=1)


def _slice(axis: Axes, name: str, values: Sequence[object], allowed: Range | Choice) -> None:
    """Label the x axis of a slice with few ticks: the whole range that was searched, on the scale of the search."""
    axis.set_xlabel(literal(name), fontsize=9)
    if not all(_is_number(value) for value in values):
        kinds = sorted({str(value) for value in values})
        axis.set_xticks(range(len(kinds)), [literal(kind) for kind in kinds])
        axis.set_xlim(-0.5, len(kinds) - 0.5)
        return
    places = _places(values)
    bounds = (allowed.low, allowed.high) if isinstance(allowed, Range) else ()
    low, high = min(*places, *bounds), max(*places, *bounds)
    whole = all(isinstance(value, int) for value in values)
    if isinstance(allowed, Range) and allowed.log:
        axis.set_xscale("log")
        axis.set_xlim(low * (low / high) ** MARGIN, high * (high / low) ** MARGIN)
        short = high < 30 * low  # few powers of ten
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=6 if short else 4))
        if short:
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_xlim(low - MARGIN * (high - low), high + MARGIN * (high - low))
        axis.xaxis.set_major_locator(_whole_numbers(4) if whole else MaxNLocator(4))


def default_and_tuned(table: pd.DataFrame) -> Figure:
    """Draw the difference of the tuned from the default values on fresh seeds, with paired 95% intervals."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = str(part["metric"].iloc[0])
        for place, row in enumerate(part.iloc[::-1].to_dict("records")):
            mean, low, high = (scale_of(metric) * row[name] for name in ("difference", "low", "high"))
            colour, marker, _ = look_of(row["algorithm"], list(part["algorithm"]))
            reach = [[mean - low], [high - mean]] if np.isfinite([low, high]).all() else None
            axis.errorbar(mean, place, xerr=reach, marker=marker, ls="", color=colour, capsize=3)
        axis.axvline(0, color=FAINT, linewidth=0.8)
        axis.set_yticks(range(len(part)), [literal(name) for name in part["algorithm"].iloc[::-1]])
        axis.set(xlabel=f"tuned minus default: {label_of(metric)}\n({direction(metric)})", ylim=(-0.6, len(part) - 0.4))
        axis.grid(axis="x", alpha=0.3)

    return _panels(table, 3.0, draw)


def cost(table: pd.DataFrame) -> Figure:
    """Draw the seconds of the whole search beside those of the selected trial."""

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        shown = part.iloc[::-1]
        places = np.arange(len(shown))
        colour = [look_of(name, list(part["algorithm"])).colour for name in shown["algorithm"]]
        axis.barh(places + 0.2, shown["seconds"], height=0.38, color=colour, linewidth=0)
        axis.barh(places - 0.2, shown["selected_seconds"], height=0.38, color=colour, alpha=0.45, linewidth=0)
        for place, (search, one) in enumerate(zip(shown["seconds"], shown["selected_seconds"], strict=True)):
            axis.annotate(f" search {search:.0f}", (search, place + 0.2), va="center", fontsize=7)
            axis.annotate(f" selected trial {one:.1f}", (one, place - 0.2), va="center", fontsize=7)
        axis.set_yticks(places, [literal(name) for name in shown["algorithm"]])
        axis.set(xscale="log", xlabel="seconds")
        _plain_numbers(axis.xaxis)
        axis.margins(x=0.25)

    return _panels(table, 3.2, draw)


def pareto(trials: pd.DataFrame, metrics: dict[str, str], cost_name: str) -> Figure:
    """Draw validation value against the second objective: all trials, and the Pareto front."""
    complete = trials[trials["status"] == "ok"]

    def draw(axis: Axes, part: pd.DataFrame) -> None:
        metric = metrics[part["dataset"].iloc[0]]
        for _, (colour, marker, dash), rows in _by_algorithm(part):
            values = scale_of(metric) * rows["validation"]
            axis.scatter(rows[cost_name], values, s=12, color=colour, marker=marker, alpha=0.35)
            best = front(rows, cost_name, metric != "mse")
            axis.plot(best[cost_name], scale_of(metric) * best["validation"], color=colour, marker=marker, ls=dash)
        words = {"adapt_ms": "adapting to one task, ms", "peak_mib": "peak memory, MiB"}
        axis.set(xlabel=words[cost_name], ylabel=f"validation:\n{label_of(metric)}", xscale="log")
        _plain_numbers(axis.xaxis)
        _names(axis, part)
        axis.grid(alpha=0.3)

    return _panels(complete, 3.4, draw)


def front(rows: pd.DataFrame, cost_name: str, higher_is_better: bool) -> pd.DataFrame:
    """Return the trials on the Pareto front of both objectives, by cost."""
    signed = rows["validation"] if higher_is_better else -rows["validation"]
    ordered = rows.assign(signed=signed).sort_values([cost_name, "signed"], ascending=[True, False])
    before = ordered["signed"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["signed"] > before].drop(columns="signed")
