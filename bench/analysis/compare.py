"""Compare two algorithms of one experiment on the seeds and episodes that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from algorithms import ALGORITHMS
from algorithms.core.modes import Mode
from bench.analysis.bounds import bound_of
from bench.analysis.budgets import at_budget
from bench.analysis.comparison import Comparison, Comparisons
from bench.analysis.metrics import is_percentage
from bench.analysis.numerics import numerics_notes
from bench.analysis.scores import WITHOUT_CLASSES, Metric, Scores, comparable, read_scores, within_steps
from bench.stats import (
    ALPHA,
    Estimate,
    FloatArray,
    components,
    difference,
    holm,
    improvement,
    needed,
    new_classes,
    sign_flip,
    wilcoxon,
)
from bench.store.settings import plain
from bench.store.store import SETTING, UNKNOWN, Store
from datasets import DATASETS, UserError
from datasets.core.registry import among

if TYPE_CHECKING:
    from datasets.core.episodes import Kind

REGION = 0.005  # of accuracy: closer than this is practically equal


def compare(
    path: Path | str,
    a: str,
    b: str,
    *,
    datasets: Sequence[str] = (),
    shapes: Sequence[str] = (),
    mode: Mode | None = None,
    metric: Metric | None = None,
    budget: int | None = None,
    steps: int | None = None,
    region: float = REGION,
    rng: np.random.Generator | None = None,
) -> Comparisons:
    """Compare two algorithms of the experiment in ``path``, on every dataset and shape or on those named.

    p-values are adjusted over the comparisons returned: name ``a``, ``b`` and the datasets before you look.

    Args:
        path: folder of the experiment.
        a: an algorithm of the experiment.
        b: another algorithm of the experiment; effects are ``a - b``.
        datasets: compare on these only.
        shapes: compare on these only, such as ``5-way 1-shot``.
        mode: how the query set was normalized, for classification; transductive by default.
        metric: by default accuracy for classification, mean squared error for regression, return for control.
        budget: compare results at this many training episodes (see ``bench.analysis.budgets.at_budget``); by default
            at the end of training.
        steps: compare what both give after so many inner steps at test, or after all of theirs where they take fewer;
            by default after the last. Meta-validation selected by the last in any case.
        region: accuracies closer than this are practically equal; there is none for other metrics.
        rng: generator of the sign-flip test; ``numpy.random.default_rng(0)`` by default, so that the same results give
            the same p-values.

    Raises:
        UserError: a name is unknown, the two share no finished cell, cells cannot be compared, none was tested at the
            budget, or none took so many inner steps.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    rows, episodes = comparable(Store(path)) if budget is None else at_budget(Store(path), budget)
    wanted = _matching(rows, path, a, b, datasets, shapes)
    if steps is not None:
        episodes = within_steps(episodes[episodes["cell"].isin(wanted["cell"])], steps)
    by_shape = {
        (scores.dataset, scores.shape): scores for scores in read_scores(episodes, mode or "transductive", metric)
    }
    shared: list[tuple[Scores, tuple[str, ...]]] = []
    missing = []
    further = [] if steps is None else [_of_steps(steps)]
    further += [f"{name} is a {bound}, not a contender: it has no rank" for name in (a, b) if (bound := bound_of(name))]
    for (dataset, shape), cells in wanted.groupby(["dataset", "shape"], sort=False):
        notes = tuple(_notes(cells, a, b))
        scores = by_shape.get((str(dataset), str(shape)))
        if scores is not None and len(scores.shared_seeds(a, b)):
            shared.append((scores, (*notes, *further)))
        elif scores is not None or metric is None:
            missing.append(f"{dataset} {shape}: {'; '.join(notes) or 'no seed that both finished'}")
    if not shared:
        reason = "; ".join(missing) or f"no dataset among them has the metric '{metric}'"
        raise UserError(f"{a} and {b} share no result in {path}: {reason}")
    if mode is not None and all(scores.metric in WITHOUT_CLASSES for scores, _ in shared):
        metrics = " and ".join(dict.fromkeys(scores.metric for scores, _ in shared))
        raise UserError(f"got {mode}, but {a} and {b} share results in {metrics} only; leave it out", "mode")
    pairs = [_pair(scores, a, b, rng) for scores, _ in shared]
    adjusted = holm(np.array([pair.p for pair in pairs]))
    comparisons = [
        _comparison(scores, (a, b), pair, float(p), ALPHA / len(pairs), region, notes)
        for (scores, notes), pair, p in zip(shared, pairs, adjusted, strict=True)
    ]
    return Comparisons(tuple(comparisons), tuple(missing))


def _of_steps(steps: int) -> str:
    at_test = f"after {steps} inner step{'' if steps == 1 else 's'} at test, or fewer"
    when = "before adaptation" if steps == 0 else at_test
    return f"these are the results {when}; the checkpoints were selected by those after the last step"


def _matching(
    rows: pd.DataFrame, path: Path | str, a: str, b: str, datasets: Sequence[str], shapes: Sequence[str]
) -> pd.DataFrame:
    """Return the cells of both algorithms on the chosen datasets and shapes.

    Raises:
        UserError: a name is unknown.
    """
    if a == b:
        raise UserError(f"both algorithms are '{a}'; name two")
    for kind, names, column in (("algorithm", (a, b), "algorithm"), ("dataset", datasets, "dataset")):
        _check_known(path, kind, names, rows[column])
    rows = rows[rows["dataset"].isin(list(datasets) or rows["dataset"])]
    _check_known(path, "shape", shapes, rows["shape"])
    rows = rows[rows["shape"].isin(list(shapes) or rows["shape"])]
    rows = rows[rows["shape"] != UNKNOWN["shape"]]
    named = rows[["algorithm", SETTING]].to_dict("records")
    return rows[[row["algorithm"] in (a, b) or plain(row) in (a, b) for row in named]]


def _check_known(path: Path | str, kind: str, names: Sequence[str], column: pd.Series) -> None:
    known = [str(name) for name in column.unique()]
    for name in names:
        if name not in known:
            if several := [label for label in known if label.startswith(f"{name} (")]:
                quoted = " or ".join(f"'{label}'" for label in several)
                raise UserError(f"{path} holds {name} under several settings; name one of them: {quoted}")
            raise UserError(f"{path} has no {kind} '{name}'{among(name, known, 'it has')}")


def _notes(cells: pd.DataFrame, a: str, b: str) -> Iterator[str]:
    """Yield what is missing from, or unequal between, the cells of both on one dataset and shape."""
    seeds = sorted(set(cells.loc[cells["algorithm"].isin([a, b]), "seed"]))
    kind = _kind_of(cells)
    for name in (a, b):
        own = cells[cells["algorithm"] == name]
        settings = [label for label in cells["algorithm"].unique() if label.startswith(f"{name} (")]
        statuses = dict(zip(own["seed"], own["status"], strict=True))
        by_seed = {seed: statuses.get(seed, "never run") for seed in seeds}
        reasons = [f"seed {seed} ({status})" for seed, status in by_seed.items() if status != "ok"]
        if own.empty and not _does(name, kind):
            yield f"{name} does not do {kind}"
        elif own.empty and settings:
            yield f"{name} has several settings there: {' and '.join(settings)}"
        elif reasons:
            yield f"{name} has no result for {', '.join(reasons)}"
    done = cells[cells["status"] == "ok"]
    yield from numerics_notes(done[done["algorithm"].isin([a, b])])
    if "train_episodes" in done:
        budgets = {name: sorted(done.loc[done["algorithm"] == name, "train_episodes"].unique()) for name in (a, b)}
        if budgets[a] and budgets[b] and budgets[a] != budgets[b]:
            words = (f"{name} on {' and '.join(f'{n:,.0f}' for n in budgets[name])} episodes" for name in (a, b))
            yield f"unequal budgets: {', '.join(words)}"


def _kind_of(cells: pd.DataFrame) -> Kind:
    """Return the kind of a dataset of a table of cells; of one that is not registered, by its shape."""
    dataset, shape = (str(cells[name].iloc[0]) for name in ("dataset", "shape"))
    if dataset in DATASETS:
        return DATASETS[dataset].kind
    return "classification" if "-way " in shape else "regression"


def _does(name: str, kind: Kind) -> bool:
    """Return whether the algorithm, as tables name it, learns datasets of that kind, as far as is known."""
    algorithm = name.split(" (")[0]
    return algorithm not in ALGORITHMS or kind in ALGORITHMS[algorithm].kinds


@dataclass(frozen=True)
class _Pair:
    """The tables of both over shared seeds, and their difference before adjustment."""

    a: FloatArray
    b: FloatArray
    seeds: tuple[int, ...]
    effect: Estimate
    p: float
    p_sign_flip: float


def _pair(scores: Scores, a: str, b: str, rng: np.random.Generator) -> _Pair:
    seeds = scores.shared_seeds(a, b)
    first, second = scores.table(a, seeds), scores.table(b, seeds)
    effect = difference(first, second)
    p_sign_flip = sign_flip((first - second).mean(axis=0), rng)
    p = effect.p_value() if effect.scope == "new training runs" else p_sign_flip
    return _Pair(first, second, tuple(int(seed) for seed in seeds), effect, p, p_sign_flip)


def _comparison(
    scores: Scores,
    names: tuple[str, str],
    pair: _Pair,
    p_adjusted: float,
    alpha: float,
    region: float,
    notes: tuple[str, ...],
) -> Comparison:
    delta = pair.a - pair.b
    ids = scores.class_ids
    new = Estimate(float(delta.mean()), ()) if ids is None else new_classes(delta, ids)
    has_region = is_percentage(scores.metric)
    return Comparison(
        dataset=scores.dataset,
        shape=scores.shape,
        metric=scores.metric,
        a=names[0],
        b=names[1],
        higher_is_better=scores.higher_is_better,
        seeds=pair.seeds,
        n_episodes=delta.shape[1],
        n_classes=scores.n_classes,
        mean_a=float(pair.a.mean()),
        mean_b=float(pair.b.mean()),
        effect=pair.effect.interval(),
        effect_new=new.interval(),
        scope=pair.effect.scope,
        p=pair.p,
        p_adjusted=p_adjusted,
        p_sign_flip=pair.p_sign_flip,
        p_wilcoxon=wilcoxon(delta.mean(axis=0)),
        improvement=improvement(delta if scores.higher_is_better else -delta).interval().of_probability(),
        equal=pair.effect.probability(region)[1] if has_region else float("nan"),
        region=region if has_region else None,
        needed=needed(components(delta), pair.effect.mean, alpha=alpha),
        notes=notes,
    )
