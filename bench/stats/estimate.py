"""Estimates of a mean: the parts of its variance, its interval, its p-value, and the probability of a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

FloatArray = npt.NDArray[np.float64]
Scope = Literal["new training runs", "these checkpoints"]

ALPHA = 0.05  # p-values below it separate two algorithms
CONFIDENCE = 1 - ALPHA  # of every interval
LEAST_SEEDS = 3  # fewer give no usable variance between meta-trainings
SMALLEST_P = 1e-150  # SciPy's quantiles of Student's t are exact down to here


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its interval; the bounds are NaN where there is too little data for one."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def of_probability(self) -> Interval:
        """Return the interval cut to [0, 1]."""
        return Interval(self.mean, max(self.low, 0.0), min(self.high, 1.0))


@dataclass(frozen=True)
class VarianceComponent:
    """One piece of a mean's variance, known to so many degrees of freedom."""

    variance: float
    degrees: float


def quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution."""
    return float(special.stdtrit(degrees, probability))


@dataclass(frozen=True)
class Estimate:
    """A mean whose variance is a sum of independently estimated parts.

    The half-width of the interval is ``sqrt(sum_i t_i^2 v_i)``, with ``t_i`` Student's quantile at the degrees of
    freedom of part ``i``: each part pays for how little is known about it, in the manner of Howe (1974, J. Am. Stat.
    Assoc. 69) and Graybill and Wang (1980, same journal, 75). Student's t at Satterthwaite's degrees of freedom falls
    up to three points short of 95% with three seeds; ``tests/bench/stats/simulate.py`` has both.

    Attributes:
        mean: the estimate.
        parts: what its variance is made of; none where there is too little data.
        scope: what the parts cover.
    """

    mean: float
    parts: tuple[VarianceComponent, ...]
    scope: Scope = "these checkpoints"

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(sum(part.variance for part in self.parts))) if self.parts else float("nan")

    def reach(self, confidence: float = CONFIDENCE) -> float:
        """Return half of the interval's width; NaN without parts."""
        if not self.parts:
            return float("nan")
        squares = (quantile(0.5 + confidence / 2, part.degrees) ** 2 * part.variance for part in self.parts)
        return float(np.sqrt(sum(squares)))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval."""
        reach = self.reach(confidence)
        return Interval(self.mean, self.mean - reach, self.mean + reach)

    def p_value(self, at: float = 0.0) -> float:
        """Return the two-sided p-value of the mean being ``at``: one minus the confidence whose interval ends there.

        Values below 1e-150 are returned as 0. NaN without parts.
        """
        distance = abs(self.mean - at)
        if not self.parts:
            return float("nan")
        if self.standard_error == 0.0 or distance == 0.0:
            return float(distance == 0.0)
        return _root(lambda log_p: self._reach_at(log_p) - distance)

    def _reach_at(self, log_p: float) -> float:
        half = np.exp(log_p) / 2
        varying = (part for part in self.parts if part.variance > 0)
        return float(np.sqrt(sum(quantile(half, part.degrees) ** 2 * part.variance for part in varying)))

    def probability(self, region: float) -> tuple[float, float, float]:
        """Return the probabilities that the mean is below, within and above ``[-region, region]``.

        With one part this is the posterior of the mean under a flat prior, a shifted and scaled Student's t, as in
        Corani and Benavoli (2015, Machine Learning 100) and baycomp.
        """
        above, below = self._above(region), 1.0 - self._above(-region)
        return below, 1.0 - above - below, above

    def _above(self, at: float) -> float:
        half = self.p_value(at) / 2
        return 1.0 - half if at < self.mean else half


def _root(function: Callable[[float], float]) -> float:
    """Return the p in [0, 1] at which a falling function of log p crosses zero; 0 where it is below ``SMALLEST_P``."""
    lowest = float(np.log(SMALLEST_P))
    if function(lowest) < 0:
        return 0.0
    if function(0.0) >= 0:
        return 1.0
    return float(np.exp(optimize.brentq(function, lowest, 0.0, xtol=1e-10)))
