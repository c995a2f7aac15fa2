"""The simulations behind docs/statistics.md, at length: ``python -m tests.bench.stats.simulate [--repeats 400]``.

One process, a quarter of a second for each of the repeats; the same numbers each time. The tests run shorter versions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.stats import (
    crossed,
    improvement,
    needed,
    new_classes,
    rank_table,
    sign_flip,
    wilcoxon,
)
from bench.stats.marginal import components
from tests.bench.stats.worlds import (
    Sample,
    World,
    bootstrap_interval,
    coverage,
    draw,
    naive_interval,
    rejection,
    satterthwaite_interval,
)

SEED_SPREADS = (0.0, 0.05, 0.1, 0.2, 1.0)
Line = tuple[str, str, float]


def these_classes(sample: Sample) -> float:
    return sample.these_classes


def these_classes_lines(repeats: int) -> Iterator[Line]:
    """Coverage of new training runs on these classes, by the number of seeds and how much they vary."""
    for seeds in (3, 5, 10, 20):
        for spread in SEED_SPREADS:
            world = World(seeds=seeds, sd_seed=spread)
            where = f"{seeds} seeds, sd {spread:.2f} between them"
            for name, interval in (
                ("crossed", lambda sample: crossed(sample.values).interval()),
                ("Satterthwaite", satterthwaite_interval),
                ("over episodes only", naive_interval),
            ):
                yield (
                    f"{name}: these classes",
                    where,
                    coverage(world, interval, these_classes, repeats, np.random.default_rng(1)),
                )
            rng = np.random.default_rng(2)
            few = max(repeats // 5, 1)
            yield (
                "two-way bootstrap: these classes",
                where,
                coverage(
                    world, lambda sample, rng=rng: bootstrap_interval(sample.values, rng, 1000), these_classes, few, rng
                ),
            )
    for seeds in (1, 2):
        yield (
            "crossed: these checkpoints",
            f"{seeds} seed(s), sd 1.00 between them",
            coverage(
                World(seeds=seeds, sd_seed=1.0),
                lambda sample: crossed(sample.values).interval(),
                lambda sample: sample.these_checkpoints,
                repeats,
                np.random.default_rng(3),
            ),
        )


def new_classes_lines(repeats: int) -> Iterator[Line]:
    """Coverage of the mean over new classes."""
    for seeds, spread in ((1, 0.5), (5, 0.0), (5, 0.5)):
        for classes in (20, 100, 423):
            world = World(seeds, 600, classes, sd_seed=spread, sd_class=1.0, sd_episode=0.3, sd_residual=0.3)
            where = f"{classes} classes, {seeds} seed(s), sd {spread:.2f} between them"
            for name, interval in (
                ("jackknife", lambda sample: new_classes(sample.values, sample.class_ids).interval()),
                ("over episodes only", naive_interval),
            ):
                yield (
                    f"{name}: new classes",
                    where,
                    coverage(
                        world,
                        interval,
                        lambda sample: (
                            sample.new_classes_these_checkpoints if len(sample.values) < 3 else sample.new_classes
                        ),
                        repeats,
                        np.random.default_rng(4),
                    ),
                )


def level_lines(repeats: int) -> Iterator[Line]:
    """Return how often a true null is rejected at 0.05."""
    rng = np.random.default_rng(5)
    for seeds, spread in ((1, 0.0), (5, 0.0), (5, 0.2)):
        world = World(seeds=seeds, sd_seed=spread)
        where = f"{seeds} seed(s), sd {spread:.2f} between them"
        yield "t, crossed variance: level", where, rejection(world, lambda v: crossed(v).p_value(), repeats, rng)
        few = max(repeats // 4, 1)
        yield (
            "sign-flip over episodes: level",
            where,
            rejection(world, lambda v: sign_flip(v.mean(axis=0), rng, 999), few, rng),
        )
        yield "Wilcoxon over episodes: level", where, rejection(world, lambda v: wilcoxon(v.mean(axis=0)), repeats, rng)


def power_lines(repeats: int) -> Iterator[Line]:
    """Power at the numbers that ``needed`` asks for, and the part of them that pairing saves."""
    rng = np.random.default_rng(6)
    for effect, seeds, kind in ((0.1, 1, "episodes"), (0.1, 5, "episodes"), (0.3, 5, "seeds")):
        start = World(seeds, 100, sd_seed=0.2 if kind == "seeds" else 0.0, mean=effect)
        known = components(draw(World(200 if seeds > 1 else 1, 4000, sd_seed=start.sd_seed), rng).values)
        known = type(known)(seeds, 100, known.seed, known.episode, known.residual)
        more = getattr(needed(known, effect), kind)
        world = World(
            seeds + more * (kind == "seeds"), 100 + more * (kind == "episodes"), sd_seed=start.sd_seed, mean=effect
        )
        yield (
            f"power with {kind} as needed for 0.80",
            f"{world.seeds} seed(s), {world.episodes} episodes",
            rejection(world, lambda v: crossed(v).p_value(), repeats, rng),
        )


def improvement_lines(repeats: int) -> Iterator[Line]:
    """Coverage of the probability of improvement, whose truth is one half where the mean difference is zero."""
    rng = np.random.default_rng(7)
    for seeds, spread in ((3, 0.2), (5, 0.2), (10, 0.2)):
        yield (
            "improvement",
            f"{seeds} seeds, sd {spread:.2f} between them",
            coverage(
                World(seeds=seeds, sd_seed=spread),
                lambda sample: improvement(sample.values).interval(),
                lambda sample: 0.5,
                repeats,
                rng,
            ),
        )


def rank_lines(repeats: int) -> Iterator[Line]:
    """Yield how often every rank interval of four algorithms holds the true rank, and how often equals share rank 1."""
    rng = np.random.default_rng(8)
    for seeds, spread in ((1, 0.0), (3, 0.1), (5, 0.1), (10, 0.1)):
        where = f"4 algorithms, {seeds} seed(s), sd {spread:.2f} between them"
        for name, means in (("ranks known to be 1 2 3 4", (0.3, 0.2, 0.1, 0.0)), ("four equal ones", (0.0,) * 4)):
            held = np.mean([ranks_hold(World(seeds, 100, sd_seed=spread), means, rng) for _ in range(repeats // 5)])
            yield f"rank intervals: {name}", where, float(held)


def ranks_hold(world: World, means: tuple[float, ...], rng: np.random.Generator) -> bool:
    """Return whether all intervals hold the true ranks (ties: whether all share rank 1)."""
    shared = draw(World(1, world.episodes), rng).values  # how hard each episode is for all of them
    tables = [
        pd.DataFrame(mean + shared + draw(World(world.seeds, world.episodes, sd_seed=world.sd_seed), rng).values)
        for mean in means
    ]
    found = rank_table(tables, rng, n_draws=500)
    if len(set(means)) == 1:
        return bool((found["rank"] == 1).all())
    truth = np.arange(1, len(means) + 1)
    return bool(((found["rank_low"] <= truth) & (truth <= found["rank_high"])).all())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    parts = (these_classes_lines, new_classes_lines, improvement_lines, level_lines, power_lines, rank_lines)
    for part in parts:
        for what, where, rate in part(repeats):
            print(f"{what:<45} {where:<45} {rate:.3f}", flush=True)


if __name__ == "__main__":
    main()
