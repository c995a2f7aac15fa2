"""Claims: sentences about what a comparison shows, and what it does not."""

from __future__ import annotations

from bench.analysis.comparison import Comparison
from bench.analysis.metrics import is_percentage, metric_name, score_text
from bench.stats import ALPHA, LEAST_SEEDS

EQUAL_AT = 0.95  # probability of the region of practical equality from which "practically equal" is said


def number(comparison: Comparison, value: float, *, signed: bool = False) -> str:
    """Format a value of the comparison's metric: accuracy in percentage points, other metrics to three digits."""
    return score_text(comparison.metric, value, signed)


def claims(comparison: Comparison) -> list[str]:
    """Return sentences: the claim, then new classes, what would separate the two, and notes."""
    notes = (f"Note: {note}." for note in comparison.notes)
    return [_claim(comparison), *_new_classes(comparison), *_further_data(comparison), *notes]


def tested_on(comparison: Comparison) -> str:
    """Return what the interval holds fixed: ``these classes``, or ``these tasks`` for regression."""
    return "these classes" if comparison.n_classes else "these tasks"


def _is_equal(comparison: Comparison) -> bool:
    return comparison.region is not None and comparison.equal >= EQUAL_AT


def _scope(comparison: Comparison) -> str:
    fixed = tested_on(comparison)
    if comparison.scope == "new training runs":
        return f"New training runs on {fixed} ({len(comparison.seeds)} seeds)"
    few = "one seed" if len(comparison.seeds) == 1 else "two seeds"
    return f"These checkpoints on {fixed} ({few}; a claim about new training runs needs three seeds or more)"


def _claim(comparison: Comparison) -> str:
    c, scope = comparison, _scope(comparison)
    unit = " points" if is_percentage(c.metric) else f" in {metric_name(c.metric)}"
    bounds = f"95% interval {number(c, c.effect.low, signed=True)} to {number(c, c.effect.high, signed=True)}"
    if c.region is not None and _is_equal(c):
        region = number(c, c.region)
        return (
            f"{scope}: practically equal: the difference is within ±{region}{unit} "
            f"with probability {c.equal:.2f} ({bounds})."
        )
    if c.p_adjusted < ALPHA:
        better, worse = (c.a, c.b) if (c.effect.mean > 0) == c.higher_is_better else (c.b, c.a)
        size = number(c, abs(c.effect.mean))
        return f"{scope}: {better} is better than {worse} by {size}{unit} ({bounds})."
    sentence = f"{scope}: {c.a} and {c.b} cannot be separated ({bounds}{unit})"
    if c.p < ALPHA:
        sentence += f"; p = {c.p:.2g} is not below {ALPHA} after the adjustment"
    if c.region is None:
        return f"{sentence}. This does not show that they are equal."
    region = number(c, c.region)
    return (
        f"{sentence}. This does not show that they are equal: "
        f"the difference is within ±{region}{unit} with probability {c.equal:.2f}."
    )


def _new_classes(comparison: Comparison) -> list[str]:
    new = comparison.effect_new
    if comparison.n_classes == 0:
        return []
    if new.low != new.low:
        return ["New classes: no claim, because some class is in every episode."]
    bounds = f"{number(comparison, new.low, signed=True)} to {number(comparison, new.high, signed=True)}"
    if not new.excludes_zero:
        n = comparison.n_classes
        return [f"New classes: no claim; with {n} test classes the 95% interval of the difference is {bounds}."]
    better = comparison.a if (new.mean > 0) == comparison.higher_is_better else comparison.b
    return [f"New classes of the same kind: {better} is better there too (95% interval {bounds})."]


def _further_data(comparison: Comparison) -> list[str]:
    """State what would separate the two, where they are neither separated nor equal."""
    if comparison.p_adjusted < ALPHA or _is_equal(comparison):
        return []
    if comparison.effect.mean == 0.0:
        return ["No number of episodes or seeds would separate them: the observed difference is zero."]
    episodes, seeds = comparison.needed.episodes, comparison.needed.seeds
    if episodes == 0 or seeds == 0:
        return ["An experiment of the same size would separate a true difference this large with probability 0.8."]
    enough, limits = [], []
    if episodes:
        enough.append(f"{episodes:,} more test episodes")
    else:
        limits.append("more test episodes alone would not be enough")
    if seeds:
        enough.append(f"{seeds:,} more seeds")
    elif len(comparison.seeds) >= LEAST_SEEDS:
        limits.append("a thousand more seeds would not be enough")
    else:
        limits.append("the number of seeds cannot be estimated from fewer than three")
    if not enough:
        return [f"To separate a true difference this large with probability 0.8: {'; '.join(limits)}."]
    needed = "; ".join([" or ".join(enough), *limits])
    return [f"To separate a true difference this large with probability 0.8, run {needed}."]
