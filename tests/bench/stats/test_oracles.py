"""Statistics against those of scipy, statsmodels and scikit-posthocs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from bench.stats import (
    Components,
    Estimate,
    VarianceComponent,
    above_chance,
    across_datasets,
    crossed,
    detectable,
    holm,
    interquartile_mean,
    new_classes,
    sign_flip,
    wilcoxon,
)
from bench.stats.across import _cliques
from bench.stats.marginal import _squares
from tests.bench.stats.worlds import World, draw


def test_one_seed_is_students_t_of_scipy() -> None:
    values = draw(World(seeds=1, mean=0.1), np.random.default_rng(0)).values
    found, oracle = crossed(values), stats.ttest_1samp(values[0], 0.0)
    low_high = oracle.confidence_interval(0.95)
    assert found.p_value() == pytest.approx(oracle.pvalue, rel=1e-6)
    assert [found.interval().low, found.interval().high] == pytest.approx([low_high.low, low_high.high])


def test_seeds_alone_are_students_t_over_their_means() -> None:
    """If episodes do not differ, a t-test over the seeds' means is left."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 1)) + np.zeros((1, 50))
    oracle = stats.ttest_1samp(values[:, 0], 0.0)
    assert crossed(values).p_value() == pytest.approx(oracle.pvalue, rel=1e-6)


def test_mean_squares_are_those_of_statsmodels() -> None:
    values = draw(World(4, 6, sd_seed=0.3), np.random.default_rng(2)).values
    table = pd.DataFrame(values).stack().rename("y").rename_axis(["seed", "episode"]).reset_index()
    oracle = anova_lm(ols("y ~ C(seed) + C(episode)", table).fit())
    assert list(_squares(values)) == pytest.approx(list(oracle["mean_sq"]))


def test_the_posterior_is_the_shifted_t() -> None:
    below, within, above = Estimate(0.2, (VarianceComponent(0.01, 7),)).probability(0.05)
    t = stats.t(7, loc=0.2, scale=0.1)
    assert [below, within, above] == pytest.approx([t.cdf(-0.05), t.cdf(0.05) - t.cdf(-0.05), t.sf(0.05)], abs=1e-8)


def test_p_value_and_interval_agree() -> None:
    estimate = Estimate(0.3, (VarianceComponent(0.01, 2), VarianceComponent(0.005, 300)))
    assert estimate.interval(1 - estimate.p_value()).low == pytest.approx(0.0, abs=1e-8)
    assert estimate.p_value(at=0.3) == 1.0
    assert Estimate(0.3, (VarianceComponent(0.0, 2),)).p_value() == 0.0
    assert np.isnan(Estimate(0.3, ()).p_value())


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 59, 599])
def test_p_values_of_any_degrees_of_freedom_are_found(degrees: int) -> None:
    """One part has no variance; the quantiles of the smallest p-values are too large for a double."""
    estimate = Estimate(0.3, (VarianceComponent(0.01, degrees), VarianceComponent(0.0, 3)))
    assert estimate.p_value() == pytest.approx(2 * stats.t.sf(3.0, degrees), rel=1e-6)
    assert Estimate(1e300, (VarianceComponent(1e-10, degrees),)).p_value() < 1e-140


def test_jackknife_with_one_class_an_episode_is_the_jackknife_of_means() -> None:
    """Balanced episodes of one class: the jackknife over classes is Student's t over the classes' means."""
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(12), 5)[:, None]
    values = rng.normal(size=12).repeat(5) + 0.1 * rng.normal(size=60)
    by_class = values.reshape(12, 5).mean(axis=1)
    oracle = stats.ttest_1samp(by_class, 0.0).confidence_interval(0.95)
    found = new_classes(values, ids).interval()
    assert [found.low, found.high] == pytest.approx([oracle.low, oracle.high])


def test_sign_flip_is_exact_with_few_episodes() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.2, 0.15, -0.05, 0.6])
    means = [abs(np.mean(values * signs)) for signs in product([-1, 1], repeat=len(values))]
    exact = np.mean(np.array(means) >= abs(values.mean()) - 1e-12)
    assert sign_flip(values, np.random.default_rng(0)) == pytest.approx(exact)


def test_no_difference_at_all_is_p_one() -> None:
    assert sign_flip(np.zeros(20), np.random.default_rng(0)) == wilcoxon(np.zeros(20)) == 1.0


def test_wilcoxon_is_that_of_scipy_by_pratt() -> None:
    values = np.round(np.random.default_rng(4).normal(0.1, 1, 200), 0)
    assert wilcoxon(values) == stats.wilcoxon(values, zero_method="pratt").pvalue


@pytest.mark.parametrize("count", range(1, 13))
def test_holm_is_that_of_statsmodels(count: int) -> None:
    p_values = np.round(np.random.default_rng(count).random(count) ** 3, 1)  # with ties, zeros and ones
    found = holm(p_values)
    np.testing.assert_allclose(found, multipletests(p_values, method="holm")[1])
    with_gap = holm(np.array([np.nan, *p_values]))
    np.testing.assert_array_equal(with_gap[1:], found)
    assert np.isnan(with_gap[0])


def test_detectable_difference_is_near_statsmodels_power() -> None:
    """Its approximation of the noncentral t leaves the power within a point of what statsmodels finds."""
    spread = Components(1, 100, np.nan, 0.49, np.nan)
    size = detectable(spread, 1, 100)
    assert TTestPower().power(size / 0.7, nobs=100, alpha=0.05) == pytest.approx(0.8, abs=0.01)


def test_interquartile_mean_is_the_mean_of_the_middle_half() -> None:
    scores = np.random.default_rng(5).random((5, 40))
    assert interquartile_mean(scores) == pytest.approx(np.sort(scores.ravel())[50:150].mean())
    assert above_chance(np.array([0.2, 1.0, 0.6]), 5) == pytest.approx([0.0, 1.0, 0.5])
    with pytest.raises(ValueError, match="n_way=1"):
        above_chance(np.array([0.5]), 1)


def _many(n_datasets: int) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    table = rng.random((n_datasets, 1)) + 0.1 * rng.random((n_datasets, 4)) + [0.0, 0.0, 0.2, 0.21]
    return pd.DataFrame(table, columns=list("abcd"))


def test_across_datasets_is_scipys_friedman_and_scikit_posthocs_wilcoxon() -> None:
    scores = _many(14)
    found = across_datasets(scores)
    assert found.refusal == ""
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    melted = scores.melt(var_name="algorithm", value_name="score")
    oracle = scikit_posthocs.posthoc_wilcoxon(
        melted, val_col="score", group_col="algorithm", zero_method="zsplit", p_adjust="holm"
    )
    for row in found.p_values.to_dict("records"):
        assert row["p_adjusted"] == pytest.approx(oracle.loc[row["a"], row["b"]])
    assert {frozenset(clique) for clique in found.cliques} == {frozenset("ab"), frozenset("cd")}
    assert set(found.mean_ranks.index[:2]) == {"c", "d"}


def test_across_datasets_treats_ties_as_everywhere_else_by_pratt() -> None:
    scores = _many(14)[["a", "c"]]
    scores.loc[[0, 3, 7], "c"] = scores.loc[[0, 3, 7], "a"]
    (row,) = across_datasets(scores).p_values.to_dict("records")
    differences = (scores[row["a"]] - scores[row["b"]]).to_numpy()
    assert row["p"] == wilcoxon(differences) == stats.wilcoxon(differences, zero_method="pratt").pvalue
    assert row["p"] != stats.wilcoxon(differences, zero_method="zsplit").pvalue


def test_cliques_overlap_and_none_is_inside_another() -> None:
    assert _cliques(list("abcd"), {("a", "d")}) == (("a", "b", "c"), ("b", "c", "d"))
    assert _cliques(list("abcd"), set()) == (("a", "b", "c", "d"),)
    assert _cliques(list("ab"), {("a", "b")}) == ()


@pytest.mark.parametrize("n_datasets", [2, 3, 4, 5])
def test_few_datasets_are_refused_with_the_smallest_p(n_datasets: int) -> None:
    found = across_datasets(_many(n_datasets))
    assert f"2/2^{n_datasets} = {2 / 2**n_datasets:.3g}" in found.refusal
    assert found.cliques == ()
    assert len(found.p_values) == 0
    assert len(found.mean_ranks) == 4


def test_datasets_that_are_too_few_after_adjustment_are_refused_too() -> None:
    assert "after Holm's adjustment for 6 pairs" in across_datasets(_many(7)).refusal
    assert across_datasets(_many(7)[["a", "c"]]).refusal == ""


def test_one_dataset_is_nothing_to_compare_across() -> None:
    assert "nothing to compare" in across_datasets(_many(1)).refusal


def test_missing_scores_across_datasets_are_an_error() -> None:
    scores = _many(8)
    scores.loc[3, "b"] = np.nan
    with pytest.raises(ValueError, match=r"\['b'\]"):
        across_datasets(scores)
