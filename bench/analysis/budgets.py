"""Results at a part of the training budget: cells with ``evaluation.test_at`` as if training had ended there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

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

OF_A_BUDGET = ("outer_steps", "selected_outer_step", "train_seconds", "test_mse", "test_return")


@dataclass(frozen=True)
class ResultsByBudget:
    """The test results of experiments at the whole training budget and at earlier ones.

    Attributes:
        label: the experiments in messages.
        rows: a row per cell, of ``bench.store.settings.together``.
        episodes: a row per test episode and inner step at the whole budget.
        points: a row per cell and earlier budget.
        earlier: as ``episodes``, with the column ``budget``, at earlier budgets.
    """

    label: str
    rows: pd.DataFrame
    episodes: pd.DataFrame
    points: pd.DataFrame
    earlier: pd.DataFrame
    _read: dict[int, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict, init=False, repr=False)

    @property
    def budgets(self) -> list[int]:
        """All budgets of its cells, ascending."""
        return sorted({budget for setting in self.rows[SETTING] for budget in _budgets_in(setting)})

    def at(self, budget: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return cells and episodes at a budget; see ``at_budget``."""
        if budget not in self._read:
            self._read[budget] = self._at(budget)
        return self._read[budget]

    def _at(self, budget: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows, episodes, earlier = self.rows, self.episodes, self.earlier
        chosen = rows[[budget in _budgets_in(setting) for setting in rows[SETTING]]]
        if chosen.empty:
            known = f"; it has: {', '.join(map(str, self.budgets))}" if self.budgets else ""
            raise UserError(f"{self.label} has no results at a budget of {budget} training episodes{known}", "budget")
        points = self.points[self.points["budget"] == budget].set_index("cell") if len(self.points) else self.points
        if len(earlier):
            earlier = earlier[(earlier["budget"] == budget) & earlier["cell"].isin(chosen["cell"])]
            earlier = earlier.drop(columns="budget")
        whole = [_whole_budget(setting) == budget for setting in chosen[SETTING]]
        last = episodes[episodes["cell"].isin(chosen.loc[whole, "cell"])] if len(episodes) else episodes
        tested = pd.concat([part for part in (last, earlier) if len(part)] or [last], ignore_index=True)
        finished, lines = set(tested["cell"]) if len(tested) else set(), []
        for row in chosen.to_dict("records"):
            if row["status"] == "ok" and row["cell"] not in finished:
                row |= {"status": "nan", "message": f"diverged at the budget of {budget} training episodes"}
            elif row["status"] == "ok" and row["cell"] in points.index:
                point = points.loc[row["cell"]]
                row |= {name: point[name] for name in (*OF_A_BUDGET, *_accuracies(points)) if name in points}
                row["train_episodes"] = budget
            lines.append(row)
        return pd.DataFrame(lines), tested

    def boards(self) -> pd.DataFrame:
        """Return the leaderboard at each budget, one below the other, with a column ``budget`` before the others."""
        boards = []
        for budget in self.budgets:
            board = board_of(*self.at(budget))
            board.insert(0, "budget", budget)
            boards.append(board)
        return pd.concat(boards, ignore_index=True) if boards else pd.DataFrame()

    def crossings(self) -> list[str]:
        """Return where one algorithm overtakes another as the budget grows; see ``crossings``."""
        better: dict[tuple[str, str, str, str], list[int]] = {}
        for budget in self.budgets:
            for scores in read_scores(self.at(budget)[1]):
                table = pair_table(scores)
                gain = table["difference"] * (1.0 if scores.higher_is_better else -1.0)
                separable = np.nan_to_num(table["p_adjusted"].to_numpy(dtype=float), nan=1.0) < ALPHA
                wins = table[(gain > 0) & separable]
                for a, b in zip(wins["a"], wins["b"], strict=True):
                    better.setdefault((scores.dataset, scores.shape, str(a), str(b)), []).append(budget)
        changes = []
        for (dataset, shape, a, b), budgets in better.items():
            later = [budget for budget in better.get((dataset, shape, b, a), []) if budget > max(budgets)]
            if later:
                changes.append(
                    f"{dataset} {shape}: {b} overtakes {a} between {max(budgets):,} and {later[0]:,} training episodes"
                )
        return changes


def read_results_by_budget(store: Store) -> ResultsByBudget:
    """Read the test results of an experiment at all of its budgets.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    rows, episodes = comparable(store)
    return ResultsByBudget(store.label, rows, episodes, store.budgets(), renamed(store.budget_episodes(), rows))


def at_budget(store: Store, budget: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows and episodes of the cells that were tested at ``budget`` training episodes, as they were there.

    They are what ``bench.analysis.scores.comparable`` gives, and every statistic takes them likewise. A cell that ended
    without a result, or diverged at this budget, is a row without a result; one that was not to be tested there is left
    out.

    Raises:
        UserError: there are no results, they cannot be compared, or no cell was to be tested there.
    """
    return read_results_by_budget(store).at(budget)


def budget_boards(store: Store) -> pd.DataFrame:
    """Return the leaderboard at each budget, one below the other, with a column ``budget`` before the others.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    return read_results_by_budget(store).boards()


def crossings(store: Store) -> list[str]:
    """Return where one algorithm overtakes another as the budget grows, a sentence each.

    Both ends count only where the two are separable there: Holm-adjusted over the pairs of that dataset, shape and
    budget.

    Raises:
        UserError: as ``budget_boards``.
    """
    return read_results_by_budget(store).crossings()


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
