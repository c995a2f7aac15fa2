"""What the papers report, to stand beside what this project measures.

``published.csv`` has a row for each published number. Its columns:

- ``method`` (this project's name of the algorithm), ``dataset``, ``ways``, ``shots``;
- ``metric``: ``accuracy`` in percent, or ``mse_after_<n>_step(s)``; ``value``; ``interval``, its plus or minus, of the
  kind ``interval_kind``;
- ``transductive_bn``: whether the queries were normalised together; empty where the paper does not say;
- ``backbone``, ``queries_per_class``, ``test_episodes``;
- ``source``, and ``read_in``: the paper itself, its authors' data file, or a secondary source that quotes it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("published.csv")

NOT_RUN: dict[tuple[str, ...], str] = {
    ("maml-mlp", "omniglot"): "a network of dense layers for images is not among ours",
    ("finetune", "mini-imagenet", "Finn et al. 2017, table 1 (fine-tuning baseline)"): (
        "MAML's own fine-tuning row is a weaker thing than the Baseline that `finetune` is"
    ),
}
"""Published rows that no grid here runs, by the columns method, dataset and (where needed) source; and why."""


def published() -> pd.DataFrame:
    """Every published number with its provenance, and ``why_not``: why no grid runs it, or empty."""
    table = pd.read_csv(TABLE)
    table["why_not"] = [
        NOT_RUN.get((method, dataset, source), NOT_RUN.get((method, dataset), ""))
        for method, dataset, source in table[["method", "dataset", "source"]].itertuples(index=False)
    ]
    return table


def beside(board: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard's accuracies beside the published ones, a row for each published number that has a counterpart.

    Columns: dataset, n_way, n_shot, algorithm, ``mode``, ``accuracy`` (ours, percent), ``published``, ``interval``,
    ``interval_kind`` and ``source``. A published row that does not say how its queries were normalised stands beside
    the transductive number.
    """
    rows = []
    for line in board.to_dict("records"):
        words = str(line["shape"]).split("-way ")
        if len(words) != 2:
            continue
        n_way, n_shot = int(words[0]), int(words[1].split("-shot")[0])
        known = published()
        chosen = known[
            (known["method"] == line["algorithm"])
            & (known["dataset"] == line["dataset"])
            & (known["ways"] == n_way)
            & (known["shots"] == n_shot)
            & (known["why_not"] == "")
        ]
        for other in chosen.itertuples():
            mode = "inductive" if other.transductive_bn == "no" else "transductive"
            rows.append(
                {
                    "dataset": line["dataset"],
                    "n_way": n_way,
                    "n_shot": n_shot,
                    "algorithm": line["algorithm"],
                    "mode": mode,
                    "accuracy": 100 * line[f"accuracy_{mode}"],
                    "published": other.value,
                    "interval": other.interval,
                    "interval_kind": other.interval_kind,
                    "source": other.source,
                }
            )
    return pd.DataFrame(rows)


def sinusoid_table(episodes: pd.DataFrame) -> pd.DataFrame:
    """Squared errors of sinusoid cells after 0, 1, 5 and 10 steps beside the published ones.

    ``mean`` is over episodes and seeds, as the paper's; ``median`` is over the same, and ``above_100`` counts episodes
    whose error is above 100: adaptation diverges on a few tasks, and a mean over those says nothing of the others.

    Args:
        episodes: a row per cell, test episode and inner step, as ``Store.episodes`` gives them.
    """
    known = published()
    rows = []
    for (algorithm, shape, step), part in episodes.groupby(["algorithm", "shape", "step"]):
        if step not in (0, 1, 5, 10):
            continue
        metric = f"mse_after_{step}_step{'' if step == 1 else 's'}"
        chosen = known[(known["method"] == algorithm) & (known["dataset"] == "sinusoid") & (known["metric"] == metric)]
        at_shape = chosen[chosen["shots"].astype(int).astype(str) + "-shot" == shape]
        rows.append(
            {
                "algorithm": algorithm,
                "shape": shape,
                "steps": step,
                "mean": part["mse"].mean(),
                "median": part["mse"].median(),
                "above_100": int((part["mse"] > 100).sum()),
                "episodes": len(part),
                "published": at_shape["value"].iloc[0] if len(at_shape) else float("nan"),
            }
        )
    return pd.DataFrame(rows)
