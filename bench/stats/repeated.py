"""Times that were measured in several rounds, with an interval for what another round would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.stats.estimate import ALPHA


@dataclass(frozen=True)
class RepeatedTime:
    """A time and how sure it is, in the unit in which it was measured; NaN where nothing was.

    Attributes:
        median: over all repetitions.
        q1: first quartile over all repetitions.
        q3: third quartile over all repetitions.
        low: lower end of the 95% interval for the median.
        high: upper end of it.
    """

    median: float
    q1: float
    q3: float
    low: float
    high: float


def median_of_rounds(rounds: Sequence[Sequence[float]]) -> RepeatedTime:
    """Return the median of all repetitions, with its interval over rounds.

    With m_r the median of round r and s the standard deviation of log m_r over R rounds, the interval is
    ``median * exp(+-t_(R-1) s / sqrt(R))``: repetitions within a round share the process and the moment, so that the
    rounds count, not the repetitions. It has no ends (NaN) for fewer than two rounds, or a median of zero.

    Args:
        rounds: positive times, any number in each round.
    """
    everything = np.concatenate([np.asarray(one, dtype=float) for one in rounds]) if len(rounds) else np.array([])
    if not everything.size:
        return RepeatedTime(*[float("nan")] * 5)
    q1, median, q3 = (float(value) for value in np.quantile(everything, [0.25, 0.5, 0.75]))
    medians = np.array([np.median(one) for one in rounds])
    if len(medians) < 2 or (medians <= 0).any():
        return RepeatedTime(median, q1, q3, float("nan"), float("nan"))
    spread = float(np.log(medians).std(ddof=1)) / len(medians) ** 0.5
    half = float(stats.t.ppf(1 - ALPHA / 2, len(medians) - 1)) * spread
    return RepeatedTime(median, q1, q3, median * float(np.exp(-half)), median * float(np.exp(half)))
