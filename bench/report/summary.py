"""Sentences on an experiment that are made from its statistics alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.analysis.experiments import Experiments, Section
from bench.analysis.ranks import across, has_several_datasets
from bench.stats import LEAST_SEEDS


def summary(experiments: Experiments) -> list[str]:
    """Return sentences: what was run, the algorithms that are not separable from the best, the fastest of those.

    Ranks are those of the leaderboard: an algorithm has rank 1 where no other is better at a Holm-adjusted p below 0.05
    over all pairs of that dataset and shape.
    """
    sections = list(experiments.sections())
    if not sections:
        return ["No cell has a result."]
    contested = [section for section in sections if section.contenders]
    if not contested:
        return [_what_was_run(experiments, sections), "All of these algorithms are bounds, which are not ranked."]
    timed = [section for section in contested if _is_timed(_first(section))]
    fastest = [_the_cheapest(timed)] if timed else []
    return [_what_was_run(experiments, sections), _the_best(contested), *fastest]


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def count(n: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _what_was_run(experiments: Experiments, sections: Sequence[Section]) -> str:
    ok = experiments.rows[experiments.rows["status"] == "ok"]
    algorithms = list(dict.fromkeys(ok["algorithm"]))
    seeds = sorted({int(n) for section in sections for n in section.finished["seeds"]})
    range_of_seeds = count(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    sentence = (
        f"{count(len(ok), 'cell')} of {count(len(algorithms), 'algorithm')} on {listed([s.title for s in sections])}, "
        f"{range_of_seeds} each; within a dataset and shape all were tested on the same episodes"
    )
    failed = len(experiments.rows) - len(ok)
    missing = sum(n for _, _, n in experiments.never_run)
    left = [f"{count(failed, 'cell')} ended without a result"] * bool(failed)
    left += [f"{count(missing, 'cell')} {'was' if missing == 1 else 'were'} not run"] * bool(missing)
    return f"{sentence}{'; ' if left else ''}{' and '.join(left)}."


def _the_best(sections: Sequence[Section]) -> str:
    groups: dict[tuple[str, ...], list[str]] = {}
    for section in sections:
        groups.setdefault(tuple(_first(section)["algorithm"]), []).append(section.title)
    words = [f"{listed(names)} on {listed(titles)}" for names, titles in groups.items()]
    few = [s.title for s in sections if s.finished["seeds"].min() < LEAST_SEEDS]
    caveat = f" (on {listed(few)} this is about these checkpoints: fewer than three seeds)" if few else ""
    return f"Best, or not separable from the best: {'; '.join(words)}{caveat}."


def _the_cheapest(sections: Sequence[Section]) -> str:
    places: dict[str, list[str]] = {}
    for section in sections:
        row = _first(section).sort_values("cost_train_seconds", kind="stable").iloc[0]
        alone = ", the only one" if len(_first(section)) == 1 else ""
        places.setdefault(str(row["algorithm"]), []).append(
            f"{section.title} ({row['cost_train_seconds']:.1f} s{alone})"
        )
    words = [f"{name} on {listed(titles)}" for name, titles in places.items()]
    return f"Of those, the fastest to train: {'; '.join(words)}."


def _is_timed(rows: pd.DataFrame) -> bool:
    """Return whether the training time of each of these rows was measured."""
    return "cost_train_seconds" in rows and bool(rows["cost_train_seconds"].notna().all())


def _first(section: Section) -> pd.DataFrame:
    return section.finished[section.finished["rank"] == 1]


def across_datasets_words(board: pd.DataFrame) -> str:
    """Return what the tests over all datasets show, as a paragraph; empty where there is only one dataset."""
    if not has_several_datasets(board):
        return ""
    result, left_out = across(board)
    sentences = [result.refusal[:1].upper() + result.refusal[1:]] if result.refusal else []
    if not sentences:
        ranks = ", ".join(f"{name} {rank:.2f}" for name, rank in result.mean_ranks.items())
        groups = "; ".join(", ".join(clique) for clique in result.cliques) or "none"
        sentences = [f"Mean ranks over datasets: {ranks}. Not separable from each other (Wilcoxon, Holm): {groups}"]
        if not math.isnan(result.friedman_p):
            sentences.append(f"Friedman's test of no difference at all: p = {result.friedman_p:.2g}")
    if left_out:
        sentences.append(f"Left out, without a result on some datasets: {', '.join(left_out)}")
    return ". ".join(sentences) + "."
