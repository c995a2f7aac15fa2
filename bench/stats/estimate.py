"""A mean, what its variance is made of, and what follows: interval, p-value, probability of a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

FloatArray = npt.NDArray[np.float64]
Scope = Literal["new training runs", "these checkpoints"]

CONFIDENCE = 0.95
LEAST_SEEDS = 3  # fewer give no usable variance between meta-trainings


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
        """The same with bounds that a probability can have, from 0 to 1."""
        return Interval(self.mean, max(self.low, 0.0), min(self.high, 1.0))


@dataclass(frozen=True)
class Part:
    """One piece of a mean's variance, known to so many degrees of freedom."""

    variance: float
    degrees: float


def quantile(probability: float, degrees: float) -> float:
    """Student's t quantile."""
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
    parts: tuple[Part, ...]
    scope: Scope = "these checkpoints"

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(sum(part.variance for part in self.parts))) if self.parts else float("nan")

    def reach(self, confidence: float = CONFIDENCE) -> float:
        """Half of the interval's width; NaN without parts."""
        if not self.parts:
            return float("nan")
        squares = (quantile(0.5 + confidence / 2, part.degrees) ** 2 * part.variance for part in self.parts)
        return float(np.sqrt(sum(squares)))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The two-sided interval."""
        reach = self.reach(confidence)
        return Interval(self.mean, self.mean - reach, self.mean + reach)

    def p_value(self, at: float = 0.0) -> float:
        """Two-sided p-value of the mean being ``at``: one minus the confidence whose interval ends there."""
        distance = abs(self.mean - at)
        if not self.parts:
            return float("nan")
        if self.standard_error == 0.0 or distance == 0.0:
            return float(distance == 0.0)
        return _root(lambda log_p: self._reach_at(log_p) - distance)

    def _reach_at(self, log_p: float) -> float:
        half = np.exp(log_p) / 2
        return float(np.sqrt(sum(quantile(half, part.degrees) ** 2 * part.variance for part in self.parts)))

    def probability(self, region: float) -> tuple[float, float, float]:
        """How much of the confidence lies below, within and above ``[-region, region]``.

        With one part this is the posterior of the mean under a flat prior, a shifted and scaled Student's t, as in
        Corani and Benavoli (2015, Machine Learning 100) and baycomp.
        """
        above, below = self._above(region), 1.0 - self._above(-region)
        return below, 1.0 - above - below, above

    def _above(self, at: float) -> float:
        half = self.p_value(at) / 2
        return 1.0 - half if at < self.mean else half


def _root(function: Callable[[float], float]) -> float:
    """Exponential of where a falling function of log p crosses zero; 0 where that is below the smallest double."""
    lowest = float(np.log(np.finfo(float).tiny)) + 10.0
    if function(lowest) < 0:
        return 0.0
    if function(0.0) >= 0:
        return 1.0
    return float(np.exp(optimize.brentq(function, lowest, 0.0, xtol=1e-10)))
