"""Algorithms across datasets: Friedman's test and the cliques that Wilcoxon's test with Holm's adjustment leaves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from bench.stats.estimate import ALPHA
from bench.stats.tests import holm, wilcoxon


@dataclass(frozen=True)
class Across:
    """The results of tests across datasets.

    Attributes:
        mean_ranks: by algorithm, best first; empty with fewer than two datasets or algorithms.
        friedman_p: p-value of Friedman's test of no difference; NaN with fewer than three datasets or algorithms.
        cliques: largest sets of algorithms, next to each other in mean rank, of which no pair is separable; for a
            critical-difference diagram. Empty where ``refusal`` says that there are none to draw.
        p_values: a row per pair: ``a``, ``b``, ``p``, ``p_adjusted``; empty with a refusal.
        refusal: why no claim is made, in words; empty where one is.
    """

    mean_ranks: pd.Series
    friedman_p: float
    cliques: tuple[tuple[str, ...], ...]
    p_values: pd.DataFrame
    refusal: str


def smallest_p(n_datasets: int) -> float:
    """Return the smallest two-sided p-value that an exact Wilcoxon signed-rank test on ``n_datasets`` can give."""
    return float(min(2.0 / 2.0**n_datasets, 1.0))


def across_datasets(scores: pd.DataFrame) -> Across:
    """Friedman's test, then pairwise Wilcoxon signed-rank tests (zeros by Pratt's rule, as in ``bench.stats.wilcoxon``)
    with Holm's adjustment and their cliques.

    Demsar 2006 (J. Mach. Learn. Res. 7) for the tests; Benavoli, Corani and Mangili 2016 (same journal, 17) for
    Wilcoxon in place of Nemenyi, whose verdict on two algorithms depends on which others are there.

    Args:
        scores: a row per dataset, a column per algorithm, larger is better, nothing missing. Shapes of one dataset
            share its classes and are one row: their mean.
    """
    if scores.isna().to_numpy().any():
        raise ValueError(f"nothing may be missing, but got NaN for {scores.columns[scores.isna().any()].tolist()}")
    n_datasets, n_algorithms = scores.shape
    if n_datasets < 2 or n_algorithms < 2:
        have = "algorithm has" if n_algorithms == 1 else "algorithms have"
        reason = f"nothing to compare across datasets: {n_algorithms} {have} results on all {n_datasets} datasets"
        return Across(pd.Series(dtype=float), float("nan"), (), pd.DataFrame(), reason)
    ranks = scores.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    friedman = float("nan")
    if n_datasets >= 3 and n_algorithms >= 3:
        friedman = float(stats.friedmanchisquare(*scores.to_numpy(dtype=float).T).pvalue)
    if reason := refusal(n_datasets, n_algorithms):
        return Across(ranks, friedman, (), pd.DataFrame(), reason)
    names = [str(name) for name in ranks.index]
    pairs = list(combinations(names, 2))
    p_values = np.array([wilcoxon((scores[a] - scores[b]).to_numpy(dtype=float)) for a, b in pairs])
    adjusted = holm(p_values)
    table = pd.DataFrame(pairs, columns=["a", "b"]).assign(p=p_values, p_adjusted=adjusted)
    separable = {pair for pair, p in zip(pairs, adjusted, strict=True) if p < ALPHA}
    return Across(ranks, friedman, _cliques(names, separable), table, "")


def refusal(n_datasets: int, n_algorithms: int) -> str:
    """Explain why ``n_datasets`` cannot separate ``n_algorithms``; return an empty string where they can."""
    least = smallest_p(n_datasets)
    n_pairs = n_algorithms * (n_algorithms - 1) // 2
    if least >= ALPHA:
        return (
            f"{n_datasets} datasets are too few for a claim across datasets: the smallest two-sided p-value of "
            f"Wilcoxon's test is 2/2^{n_datasets} = {least:.3g}, so that no result could reach {ALPHA}"
        )
    if least * n_pairs >= ALPHA:
        return (
            f"{n_datasets} datasets are too few to compare {n_algorithms} algorithms: the smallest p-value is "
            f"2/2^{n_datasets} = {least:.3g}, or {min(least * n_pairs, 1.0):.3g} after Holm's adjustment for "
            f"{n_pairs} pairs, so that no first result could reach {ALPHA}"
        )
    return ""


def _cliques(names: list[str], separable: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Return the maximal runs of at least two of ``names`` (by mean rank) without a pair in ``separable``."""
    cliques: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(names)):
        end = start + 1
        while end < len(names) and all((names[k], names[end]) not in separable for k in range(start, end)):
            end += 1
        if end - start > 1 and end > reached:
            cliques.append(tuple(names[start:end]))
        reached = max(reached, end)
    return tuple(cliques)
