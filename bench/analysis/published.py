"""The numbers that the papers report, to stand beside ours.

``published.csv`` has a row for each published number. Its columns:

- ``method`` (this project's name of the algorithm), ``dataset``, ``ways``, ``shots``;
- ``metric``: ``accuracy`` in percent, or ``mse_after_<n>_step(s)``; ``value``; ``interval``, its plus or minus, of the
  kind ``interval_kind``;
- ``transductive_bn``: whether the queries were normalized together; empty where the paper does not say;
- ``backbone``, ``queries_per_class``, ``test_episodes``;
- ``source``, and ``read_in``: the paper itself, its authors' data file, a secondary source that quotes it, or the
  repository of a reproduction.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from algorithms.networks.entry import NETWORKS
from bench.spec.cell import Cell
from bench.spec.grid import load_grid
from bench.spec.network import usual_conv4
from bench.store.records import read_cell

TABLE = Path(__file__).with_name("published.csv")

ON_RESNET12 = "on ResNet-12; the paper's grid has Conv4"
NOT_RUN: dict[tuple[str, ...], str] = {
    ("maml-mlp", "omniglot"): "a network of dense layers for images is not among ours",
    ("finetune", "mini-imagenet", "Finn et al. 2017, table 1 (fine-tuning baseline)"): (
        "MAML's own fine-tuning row is a weaker thing than the Baseline that `finetune` is"
    ),
    ("r2d2", "cifar-fs"): "R2D2 is not among our algorithms",
    **{
        ("protonet", dataset, "Lee et al. 2019, table 2 (their backbone)"): ON_RESNET12
        for dataset in ("cifar-fs", "fc100")
    },
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


RELATED = {"omniglot-small": "omniglot", "omniglot-official": "omniglot"}
"""Datasets of the same drawings, beside which the published numbers of another stand, flagged."""

PAPER_GRIDS = ("paper-sinusoid", "paper-omniglot", "paper-mini-imagenet", "paper-cifar-fs", "paper-fc100")

NOT_OF_SIZE = ("head_init", "dropout", "dropblock")
"""Options with which a network is called by the same name in papers."""

INTERVALS = {"std_over_3_inits": "standard deviation over 3 trainings", "not_stated": "± of a kind that is not stated"}


def beside(board: pd.DataFrame, cells: Mapping[tuple[str, str, str], Cell] | None = None) -> pd.DataFrame:
    """A leaderboard's accuracies beside the published ones, a row for each published number that has a counterpart.

    Columns: dataset, n_way, n_shot, algorithm, ``mode``, ``accuracy`` (ours, percent), ``published``, ``interval``,
    ``interval_kind``, ``differs`` (in what the two differ, in words) and ``source``. A published row that does not say
    how its queries were normalized stands beside the transductive number. One stands beside ours only where the network
    is the same.

    Args:
        board: the leaderboard.
        cells: a cell of each of its rows, by (dataset, shape, algorithm), to say what its network is and what differs
            in budget and settings.
    """
    rows = []
    known = published()
    for line in board.to_dict("records"):
        words = str(line["shape"]).split("-way ")
        if len(words) != 2 or math.isnan(line.get("accuracy_transductive", math.nan)):  # no cell finished
            continue
        n_way, n_shot = int(words[0]), int(words[1].split("-shot")[0])
        cell = (cells or {}).get((line["dataset"], line["shape"], line["algorithm"]))
        if cell is not None and cell.external is not None:
            continue
        chosen = known[
            (known["method"] == (cell.algorithm if cell else line["algorithm"]))
            & (known["dataset"] == RELATED.get(line["dataset"], line["dataset"]))
            & (known["ways"] == n_way)
            & (known["shots"] == n_shot)
            & known["why_not"].isin(("", ON_RESNET12))
            & known["backbone"].map(lambda backbone, of=cell: _has_backbone(of, backbone))
        ]
        for other in chosen.to_dict("records"):
            mode = "inductive" if other["transductive_bn"] == "no" else "transductive"
            rows.append(
                {
                    "dataset": line["dataset"],
                    "n_way": n_way,
                    "n_shot": n_shot,
                    "algorithm": line["algorithm"],
                    "mode": mode,
                    "accuracy": 100 * line[f"accuracy_{mode}"],
                    "published": other["value"],
                    "interval": other["interval"],
                    "interval_kind": other["interval_kind"],
                    "differs": "; ".join([*_flags(line["dataset"], other), *_settings(cell, other)]),
                    "source": other["source"],
                }
            )
    return pd.DataFrame(rows)


def cells_of_board(rows: pd.DataFrame, folders: Mapping[str, Path]) -> dict[tuple[str, str, str], Cell]:
    """Return a cell of each row of the leaderboard, by (dataset, shape, algorithm).

    Args:
        rows: the experiments' rows.
        folders: the folder of each finished cell, by the column ``cell``.
    """
    keys = dict(zip(rows["cell"], zip(rows["dataset"], rows["shape"], rows["algorithm"], strict=True), strict=True))
    return {keys[name]: read_cell(folder) for name, folder in folders.items()}


def _has_backbone(cell: Cell | None, backbone: str) -> bool:
    """Return whether the cell's network is the one that ``backbone`` names in ``published.csv``.

    ``conv4-32-stride`` is a Conv4 of 32 filters with strides; where their number or the way is not named, any counts. A
    cell that is not known has the usual network of its dataset, a Conv4.

    >>> _has_backbone(None, "conv4-64"), _has_backbone(None, "resnet12")
    (True, False)
    """
    family, *parts = backbone.split("-")
    if cell is None:
        return family == "conv4"
    network = cell.network
    if network.module is not None or network.name not in (None, "conv4"):
        if network.name != family or family not in NETWORKS:
            return False
        usual = NETWORKS[family].options().model_dump(mode="json")
        return all(value == usual[name] for name, value in (network.args or {}).items() if name not in NOT_OF_SIZE)
    options = usual_conv4(cell.entry.family) | network.model_dump(exclude_none=True)
    return family == "conv4" and all(part in (str(options["channels"]), options["downsample"]) for part in parts)


def _flags(dataset: str, other: Mapping[Hashable, Any]) -> Iterator[str]:
    """Yield what a reader must know of a published number, whatever stands beside it."""
    if dataset in RELATED:
        yield f"other classes ({dataset} is not the {other['dataset']} of the paper)"
    if other["transductive_bn"] not in ("yes", "no"):
        yield "how its queries were normalized is not said"
    if other["interval_kind"] in INTERVALS:
        yield f"its interval is a {INTERVALS[other['interval_kind']]}"
    if other["read_in"] == "secondary":
        yield "read in a paper that quotes it"
    if other["read_in"] == "repository":
        yield "a reproduction's number"


def _settings(cell: Cell | None, other: Mapping[Hashable, Any]) -> Iterator[str]:
    """Yield where our cell's budget, queries and hyper-parameters are not those of the paper's grid."""
    if cell is None:
        return
    if other["queries_per_class"] == other["queries_per_class"] != cell.evaluation.n_query:
        yield f"{cell.evaluation.n_query} queries per class for {other['queries_per_class']:.0f}"
    paper = _paper_cells().get((other["method"], other["dataset"], cell.n_way, cell.n_shot))
    if paper is None:
        return
    if cell.train.episodes != paper.train.episodes and cell.train.episodes and paper.train.episodes:
        yield f"trained on {cell.train.episodes:,} episodes for {paper.train.episodes:,}"
    changed = (
        f"{name} {_plain(value)} for {_plain(paper.hparams.get(name))}"
        for name, value in cell.hparams.items()
        if value != paper.hparams.get(name)
    )
    yield from changed


def _plain(value: object) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@cache
def _paper_cells() -> dict[tuple[str, str, int, int], Cell]:
    cells = (cell for name in PAPER_GRIDS for cell in load_grid(name).cells())
    return {(cell.algorithm, cell.dataset, cell.n_way, cell.n_shot): cell for cell in cells}


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
