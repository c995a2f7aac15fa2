"""What an experiment says, in three sentences that are made from the statistics alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.experiments import Evidence, Section


def summary(evidence: Evidence) -> list[str]:
    """What was run; which algorithms are best or not separable from the best; which of those train quickest.

    Ranks are those of the leaderboard: an algorithm has rank 1 where no other is better at a Holm-adjusted p below 0.05
    over all pairs of that dataset and shape.
    """
    sections = list(evidence.sections())
    if not sections:
        return ["No cell has a result."]
    contested = [section for section in sections if section.contenders]
    if not contested:
        return [_what_was_run(evidence, sections), "All of these are bounds, and none is ranked."]
    return [_what_was_run(evidence, sections), _the_best(contested), _the_cheapest(contested)]


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(n: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _what_was_run(evidence: Evidence, sections: Sequence[Section]) -> str:
    ok = evidence.rows[evidence.rows["status"] == "ok"]
    algorithms = list(dict.fromkeys(ok["algorithm"]))
    seeds = sorted({int(n) for section in sections for n in section.finished["seeds"]})
    range_of_seeds = count(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    said = (
        f"{count(len(ok), 'cell')} of {count(len(algorithms), 'algorithm')} on {listed([s.title for s in sections])}, "
        f"{range_of_seeds} each; within a dataset and shape all were tested on the same episodes"
    )
    other = len(evidence.rows) - len(ok)
    missing = sum(n for _, _, n in evidence.never_run)
    left = [f"{count(other, 'cell')} ended without a result"] * bool(other)
    left += [f"{count(missing, 'cell')} {'was' if missing == 1 else 'were'} not run"] * bool(missing)
    return f"{said}{'; ' if left else ''}{' and '.join(left)}."


def _the_best(sections: Sequence[Section]) -> str:
    groups: dict[tuple[str, ...], list[str]] = {}
    for section in sections:
        groups.setdefault(tuple(_first(section)["algorithm"]), []).append(section.title)
    said = [f"{listed(names)} on {listed(titles)}" for names, titles in groups.items()]
    few = [s.title for s in sections if s.finished["seeds"].min() < 3]
    caveat = f" (on {listed(few)} that is said of these checkpoints only, with fewer than three seeds)" if few else ""
    return f"Best, or not separable from the best: {'; '.join(said)}{caveat}."


def _the_cheapest(sections: Sequence[Section]) -> str:
    places: dict[str, list[str]] = {}
    for section in sections:
        row = _first(section).sort_values("train_seconds", kind="stable").iloc[0]
        alone = ", alone" if len(_first(section)) == 1 else ""
        places.setdefault(str(row["algorithm"]), []).append(f"{section.title} ({row['train_seconds']:.1f} s{alone})")
    said = [f"{name} on {listed(where)}" for name, where in places.items()]
    return f"Of those, the quickest to train are {'; '.join(said)}."


def _first(section: Section) -> pd.DataFrame:
    return section.finished[section.finished["rank"] == 1]
