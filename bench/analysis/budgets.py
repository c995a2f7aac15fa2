"""Results at a part of the training budget: cells with ``evaluation.test_at`` as if training had ended there."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from bench.analysis.leaderboard import board_of
from bench.analysis.pairwise import pair_table
from bench.analysis.scores import comparable, read_scores
from bench.stats import ALPHA
from bench.store.records import SETTING
from bench.store.settings import renamed
from bench.store.store import Store
from datasets import UserError

GROUP = ["dataset", "shape"]
OF_A_BUDGET = ("outer_steps", "selected_outer_step", "train_seconds", "test_mse")


def budgets_of(rows: pd.DataFrame) -> dict[tuple[str, str], list[int]]:
    """Return the training episodes at which any cell of a dataset and shape was to be tested, ascending.

    Args:
        rows: a row per cell, as ``Store.rows`` gives them.
    """
    found: dict[tuple[str, str], set[int]] = {}
    for dataset, shape, budgets in zip(rows["dataset"], rows["shape"], rows[SETTING].map(_budgets_in), strict=True):
        found.setdefault((str(dataset), str(shape)), set()).update(budgets)
    return {place: sorted(budgets) for place, budgets in found.items() if budgets}


def at_budget(store: Store, budget: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows and episodes of the cells that were tested at ``budget`` training episodes, as they were there.

    They are what ``bench.analysis.scores.comparable`` gives, and every statistic takes them likewise. A cell that ended
    without a result, or diverged at this budget, is a row without a result; one that was not to be tested there is left
    out.

    Raises:
        UserError: there are no results, they cannot be compared, or no cell was to be tested there.
    """
    rows, episodes = comparable(store)
    wanted = rows[[budget in _budgets_in(setting) for setting in rows[SETTING]]]
    if wanted.empty:
        known = sorted({each for budgets in budgets_of(rows).values() for each in budgets})
        said = f"; it has: {', '.join(map(str, known))}" if known else ""
        raise UserError(f"{store.given} has no results at a budget of {budget} training episodes{said}")
    points = store.budgets()
    points = points[points["budget"] == budget].set_index("cell")
    earlier = renamed(store.budget_episodes(), wanted)
    earlier = earlier[earlier["budget"] == budget].drop(columns="budget") if len(earlier) else earlier
    whole = [_whole_budget(setting) == budget for setting in wanted[SETTING]]
    last = episodes[episodes["cell"].isin(wanted.loc[whole, "cell"])] if len(episodes) else episodes
    tested = pd.concat([part for part in (last, earlier) if len(part)] or [last], ignore_index=True)
    lines = []
    for row in wanted.to_dict("records"):
        if row["status"] == "ok" and row["cell"] not in set(tested["cell"]):
            row |= {"status": "nan", "message": f"diverged at the budget of {budget} training episodes"}
        elif row["status"] == "ok":
            point = points.loc[row["cell"]]
            row |= {name: point[name] for name in (*OF_A_BUDGET, *_accuracies(points)) if name in points}
            row["train_episodes"] = budget
        lines.append(row)
    return pd.DataFrame(lines), tested


def budget_boards(store: Store) -> pd.DataFrame:
    """Return the leaderboard at each budget, one below the other, with a column ``budget`` before the others.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    rows, _ = comparable(store)
    every = sorted({budget for budgets in budgets_of(rows).values() for budget in budgets})
    boards = []
    for budget in every:
        board = board_of(*at_budget(store, budget))
        board.insert(0, "budget", budget)
        boards.append(board)
    return pd.concat(boards, ignore_index=True) if boards else pd.DataFrame()


def crossings(store: Store) -> list[str]:
    """Return where one algorithm overtakes another as the budget grows, a sentence each.

    Both ends count only where the two are separable there: Holm-adjusted over the pairs of that dataset, shape and
    budget.

    Raises:
        UserError: as ``budget_boards``.
    """
    rows, _ = comparable(store)
    better: dict[tuple[str, str, str, str], list[int]] = {}
    for budget in sorted({budget for budgets in budgets_of(rows).values() for budget in budgets}):
        for scores in read_scores(at_budget(store, budget)[1]):
            table = pair_table(scores)
            gain = table["difference"] * (1.0 if scores.higher_is_better else -1.0)
            wins = table[(gain > 0) & (np.nan_to_num(table["p_adjusted"].to_numpy(dtype=float), nan=1.0) < ALPHA)]
            for a, b in zip(wins["a"], wins["b"], strict=True):
                better.setdefault((scores.dataset, scores.shape, str(a), str(b)), []).append(budget)
    found = []
    for (dataset, shape, a, b), budgets in better.items():
        later = [budget for budget in better.get((dataset, shape, b, a), []) if budget > max(budgets)]
        if later:
            found.append(
                f"{dataset} {shape}: {b} overtakes {a} between {max(budgets):,} and {later[0]:,} training episodes"
            )
    return found


def _accuracies(points: pd.DataFrame) -> list[str]:
    return [str(name) for name in points if str(name).startswith("test_accuracy")]


def _budgets_in(setting: object) -> tuple[int, ...]:
    """The training episodes at which a cell of this setting is tested, ascending; none for a budget in seconds."""
    whole = _whole_budget(setting)
    if not isinstance(setting, str) or whole is None:
        return ()
    earlier = json.loads(setting)["evaluation"].get("test_at", [])
    return tuple(sorted({*earlier, whole}))


def _whole_budget(setting: object) -> int | None:
    if not isinstance(setting, str):
        return None
    episodes = json.loads(setting)["train"]["episodes"]
    return None if episodes is None else int(episodes)
