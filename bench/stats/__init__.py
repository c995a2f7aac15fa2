"""Statistics as pure functions on arrays and data frames, each with its formula and source. See docs/statistics.md."""

from __future__ import annotations

from bench.stats.across import Across, across_datasets
from bench.stats.aggregate import above_chance, interquartile_mean
from bench.stats.estimate import ALPHA, CONFIDENCE, LEAST_SEEDS, Estimate, FloatArray, Interval, VarianceComponent
from bench.stats.expected_best import expected_best
from bench.stats.marginal import Components, components, crossed, new_classes
from bench.stats.paired import difference, improvement
from bench.stats.power import Needed, detectable, needed
from bench.stats.ranks import joint_draws, pair_p_values, rank_table
from bench.stats.tests import holm, sign_flip, wilcoxon

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "LEAST_SEEDS",
    "Across",
    "Components",
    "Estimate",
    "FloatArray",
    "Interval",
    "Needed",
    "VarianceComponent",
    "above_chance",
    "across_datasets",
    "components",
    "crossed",
    "detectable",
    "difference",
    "expected_best",
    "holm",
    "improvement",
    "interquartile_mean",
    "joint_draws",
    "needed",
    "new_classes",
    "pair_p_values",
    "rank_table",
    "sign_flip",
    "wilcoxon",
]
