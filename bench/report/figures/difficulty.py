"""The test classes by the accuracy of the episodes that hold them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from bench.analysis.experiments import Section
from bench.analysis.scores import last_step
from bench.report.figures.style import FOREGROUND, HUES, literal
from bench.stats import ALPHA

HARDEST, EASIEST = 9, 4
LEAST_EPISODES = 5  # with a class; fewer have no useful interval


def difficulty(section: Section) -> pd.DataFrame:
    """Return a row per class that is in at least five test episodes, hardest first.

    Columns: ``class_id``, ``episodes``, ``accuracy`` (transductive, after the last inner step, mean over algorithms,
    seeds and the episodes that hold the class, in [0, 1]) and ``half``, half of its 95% interval (Student's t over
    these episodes). The other classes of an episode are drawn at random, so that what a class adds shows in the mean.
    """
    last = last_step(section.episodes)
    last = last.assign(accuracy=last["n_correct_transductive"] / last["n_query"])
    by_episode = last.groupby("episode").agg(accuracy=("accuracy", "mean"), class_ids=("class_ids", "first"))
    table = by_episode.explode("class_ids").groupby("class_ids")["accuracy"].agg(["mean", "std", "size"]).reset_index()
    table.columns = pd.Index(["class_id", "accuracy", "sd", "episodes"])
    table = table[table["episodes"] >= LEAST_EPISODES]
    reach = stats.t.ppf(1 - ALPHA / 2, table["episodes"].to_numpy() - 1) / np.sqrt(table["episodes"].to_numpy())
    table = table.assign(half=table["sd"] * reach).sort_values(["accuracy", "class_id"], ignore_index=True)
    return table[["class_id", "episodes", "accuracy", "half"]]


def figure(table: pd.DataFrame, names: dict[int, str]) -> Figure:
    """Draw the hardest and the easiest classes with the mean accuracy of the episodes that hold them."""
    shown = _shown(table)[::-1]
    whole = Figure(figsize=(4.9, 3.1))
    axis = whole.add_axes((0.42, 0.17, 0.54, 0.79))
    for place, row in enumerate(shown):
        mean, half = 100 * row["accuracy"], 100 * row["half"]
        axis.plot([max(mean - half, 0.0), min(mean + half, 100.0)], [place] * 2, color=HUES[0], lw=1)
        axis.plot(mean, place, "o", ms=4, color=HUES[0])
    labels = [f"{_name(row, names)} ({row['episodes']})" for row in shown]
    axis.set_yticks(range(len(shown)), [literal(label) for label in labels], fontsize=7)
    if len(table) > HARDEST + EASIEST:
        axis.axhline(EASIEST - 0.5, color=FOREGROUND, lw=0.5, ls=":")
    axis.set(xlabel="accuracy of episodes with the class, %", ylim=(-0.6, len(shown) - 0.4))
    axis.grid(axis="x")
    axis.spines[["top", "right"]].set_visible(False)
    return whole


def _shown(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    rows = table.to_dict("records")
    return rows if len(rows) <= HARDEST + EASIEST else [*rows[:HARDEST], *rows[-EASIEST:]]


MOST_LETTERS = 28  # of a class's name


def short_name(name: str, most: int = MOST_LETTERS) -> str:
    """Return a class's name as the page spells it: no code of a character, no repeated words, the last words only.

    >>> short_name("Georgian/U+10DA GEORGIAN LETTER LAS")
    'Georgian las'
    """
    script, _, character = name.partition("/")
    code, *words = character.split() or [""]
    if code.startswith("U+"):
        repeated = {"letter", *script.lower().split()}
        words = [*script.split(), *(word for word in map(str.lower, words) if word not in repeated)]
    else:
        words = name.replace("/", " ").split() or [name]
    while len(words) > 1 and len(" ".join(words)) > most:
        words = words[1:]
    return " ".join(words)[:most]


def alt(table: pd.DataFrame, names: dict[int, str]) -> str:
    """Return the classes in words, hardest first."""
    words = (f"{_name(row, names)} {100 * row['accuracy']:.0f}" for row in _shown(table))
    return f"classes by the accuracy of episodes that hold them, hardest first: {', '.join(words)}"


def _name(row: dict[Hashable, Any], names: dict[int, str]) -> str:
    return short_name(names.get(row["class_id"], str(row["class_id"])))
