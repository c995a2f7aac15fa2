"""What may be claimed of a comparison, in words."""

from __future__ import annotations

from bench.analysis.comparison import Comparison

ALPHA = 0.05
SURE = 0.95


def number(one: Comparison, value: float, *, signed: bool = False) -> str:
    """A value of the comparison's metric: accuracy in points of a hundred, other metrics to three digits."""
    plus = "+" if signed else ""
    return f"{100 * value:{plus}.1f}" if one.metric.startswith("accuracy") else f"{value:{plus}.3g}"


def claims(one: Comparison) -> list[str]:
    """Sentences, the claim first, then new classes, what is missing, and what it would take."""
    return [_claim(one), *_new_classes(one), *_more(one), *(f"Note: {note}." for note in one.notes)]


def _about(one: Comparison) -> str:
    if one.scope == "new training runs":
        return f"New training runs on these classes ({len(one.seeds)} seeds)"
    few = "one seed" if len(one.seeds) == 1 else "two seeds"
    return f"These checkpoints only ({few}; three or more are needed to speak of new training runs), these classes"


def _claim(one: Comparison) -> str:
    unit = " points" if one.metric.startswith("accuracy") else f" in {one.metric}"
    low, high = number(one, one.effect.low, signed=True), number(one, one.effect.high, signed=True)
    bounds = f"95% interval {low} to {high}"
    if one.region is not None and one.equal >= SURE:
        region = number(one, one.region)
        return (
            f"{_about(one)}: practically equal, the difference being within {region}{unit} "
            f"with probability {one.equal:.2f} ({bounds})."
        )
    if one.p_adjusted < ALPHA:
        better, worse = (one.a, one.b) if (one.effect.mean > 0) == one.higher_is_better else (one.b, one.a)
        size = number(one, abs(one.effect.mean))
        return f"{_about(one)}: {better} is better than {worse} by {size}{unit} ({bounds})."
    said = f"{_about(one)}: {one.a} and {one.b} cannot be separated ({bounds}{unit})"
    if one.p < ALPHA:
        said += f"; p = {one.p:.2g} is not below {ALPHA} once adjusted"
    if one.region is None:
        return f"{said}. This is not evidence that they are equal."
    region = number(one, one.region)
    return f"{said}. Nor are they shown equal: within {region}{unit} with probability {one.equal:.2f}."


def _new_classes(one: Comparison) -> list[str]:
    new = one.effect_new
    if one.n_classes == 0:
        return []
    if new.low != new.low:
        return ["New classes: no claim, because some class is in every episode."]
    bounds = f"{number(one, new.low, signed=True)} to {number(one, new.high, signed=True)}"
    if not new.excludes_zero:
        return [f"New classes: no claim; {one.n_classes} classes leave the difference anywhere from {bounds}."]
    better = one.a if (new.mean > 0) == one.higher_is_better else one.b
    return [f"New classes of the same kind: {better} is better there too (95% interval {bounds})."]


def _more(one: Comparison) -> list[str]:
    """What it would take to separate the two, where they are not."""
    if one.p_adjusted < ALPHA or (one.region is not None and one.equal >= SURE):
        return []
    if one.effect.mean == 0.0:
        return ["To separate them: no number of episodes or seeds, because no difference was seen."]
    episodes, seeds = one.needed.episodes, one.needed.seeds
    if episodes == 0 or seeds == 0:
        return ["To separate them: the same once more; a difference as large as this is seen four times in five."]
    ways, others = [], []
    if episodes:
        ways.append(f"{episodes:,} more test episodes")
    else:
        others.append("more test episodes alone cannot")
    if seeds:
        ways.append(f"{seeds:,} more seeds")
    elif len(one.seeds) >= 3:
        others.append("not even a thousand more seeds would")
    else:
        others.append("how many seeds would is not known before there are three")
    needed = "; ".join([" or ".join(ways), *others] if ways else others)
    return [f"To separate a difference as large as this, four times in five: {needed}."]
