"""The result of comparing two algorithms."""

from __future__ import annotations

import html
from dataclasses import dataclass

import pandas as pd

from bench.stats import Interval, Needed
from bench.stats.estimate import Scope


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b`` on one dataset and shape, over the seeds that both finished.

    Attributes:
        dataset: name of the dataset.
        shape: shape of the episodes.
        metric: ``accuracy_<mode>``, ``nll_<mode>``, ``mse`` or ``return``; accuracy in [0, 1].
        a: the first algorithm.
        b: the second algorithm.
        higher_is_better: direction of the metric.
        seeds: shared, finished seeds.
        n_episodes: shared test episodes.
        n_classes: classes in these episodes; 0 for regression.
        mean_a: mean of ``a`` over the shared seeds.
        mean_b: mean of ``b`` over the shared seeds.
        effect: ``a - b`` with its 95% interval for these classes (or tasks).
        effect_new: the same for new classes; NaN bounds for regression.
        scope: whether effect and ``p`` are about new training runs, or about these checkpoints (fewer than three
            seeds).
        p: two-sided p-value: Student's t on the crossed variance for new training runs, sign-flip over episodes for
            these checkpoints.
        p_adjusted: after Holm's adjustment over the comparisons made together.
        p_sign_flip: sign-flip over episodes, of these checkpoints, not adjusted.
        p_wilcoxon: Wilcoxon's signed-rank test over episodes, of these checkpoints, not adjusted.
        improvement: the probability that ``a`` is better on an episode, with its 95% interval.
        equal: the probability that the difference is within the region of practical equality; NaN without one.
        region: half-width of that region in the metric's unit; None without one.
        needed: further episodes or seeds that would separate the two if the observed difference were the true one.
        notes: sentences about missing or unequal cells.
    """

    dataset: str
    shape: str
    metric: str
    a: str
    b: str
    higher_is_better: bool
    seeds: tuple[int, ...]
    n_episodes: int
    n_classes: int
    mean_a: float
    mean_b: float
    effect: Interval
    effect_new: Interval
    scope: Scope
    p: float
    p_adjusted: float
    p_sign_flip: float
    p_wilcoxon: float
    improvement: Interval
    equal: float
    region: float | None
    needed: Needed
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparisons:
    """Two algorithms on the datasets and shapes of an experiment.

    Attributes:
        pairs: a comparison per dataset and shape, in the order of the experiment's cells.
        missing: a sentence per dataset and shape on which the two share no result.
    """

    pairs: tuple[Comparison, ...]
    missing: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """A row per comparison; an interval ``x`` becomes ``x``, ``x_low`` and ``x_high``."""
        return pd.DataFrame([_columns(pair) for pair in self.pairs])

    def _repr_html_(self) -> str:
        """Return the comparisons for a notebook."""
        shown = ["dataset", "shape", "metric", "a", "b", "effect", "effect_low", "effect_high", "p_adjusted", "scope"]
        missing = "".join(f"<p>not compared: {html.escape(words)}</p>" for words in self.missing)
        return f"{self.frame[shown].to_html(index=False, float_format='{:.3g}'.format)}{missing}"


def _columns(comparison: Comparison) -> dict[str, object]:
    line: dict[str, object] = {}
    for name, value in vars(comparison).items():
        if isinstance(value, Interval):
            line |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
        elif isinstance(value, Needed):
            line |= {"more_episodes": value.episodes, "more_seeds": value.seeds}
        elif name in ("seeds", "notes"):
            line[name] = (" " if name == "seeds" else "; ").join(map(str, value))
        else:
            line[name] = value
    return line
