"""What a comparison of two algorithms gives: numbers, and what was missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.stats import Interval, Needed
from bench.stats.estimate import Scope


@dataclass(frozen=True)
class Comparison:
    """``a`` against ``b`` on one dataset and shape, over the seeds that both finished.

    Attributes:
        dataset: its name.
        shape: of its episodes.
        metric: ``accuracy_<mode>``, ``nll_<mode>`` or ``mse``; accuracy in [0, 1].
        a: the first algorithm.
        b: the second one.
        higher_is_better: of the metric.
        seeds: shared, finished.
        n_episodes: shared.
        n_classes: in these episodes; 0 for regression.
        mean_a: of the shared seeds.
        mean_b: of the shared seeds.
        effect: ``a - b`` with its 95% interval for these classes.
        effect_new: the same for new classes; NaN bounds for regression.
        scope: whether effect and ``p`` speak of new training runs, or of these checkpoints (fewer than three seeds).
        p: two-sided: Student's t on the crossed variance for new training runs, sign-flip over episodes for these
            checkpoints.
        p_adjusted: Holm over the comparisons made together.
        p_sign_flip: over episodes, of these checkpoints, not adjusted.
        p_wilcoxon: the same by Wilcoxon's signed-rank test.
        improvement: the probability that ``a`` is better on an episode, with its 95% interval.
        equal: the probability that the difference is within the region that is nothing in practice; NaN without one.
        region: that region's half-width in the metric's unit; None without one.
        needed: how many more episodes or seeds would separate the two, were the observed difference the true one.
        notes: what is missing or unequal, in words.
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
        pairs: one each, in the order of the experiment's cells.
        missing: where both should have results and share none, in words.
    """

    pairs: tuple[Comparison, ...]
    missing: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """A row per comparison; an interval ``x`` becomes ``x``, ``x_low`` and ``x_high``."""
        return _frame(self.pairs)


def _frame(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    lines = []
    for one in comparisons:
        line: dict[str, object] = {}
        for name, value in vars(one).items():
            if isinstance(value, Interval):
                line |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
            elif isinstance(value, Needed):
                line |= {"more_episodes": value.episodes, "more_seeds": value.seeds}
            elif name in ("seeds", "notes"):
                line[name] = (" " if name == "seeds" else "; ").join(map(str, value))
            else:
                line[name] = value
        lines.append(line)
    return pd.DataFrame(lines)
