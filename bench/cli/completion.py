"""The words that a shell can complete: names of algorithms, datasets, grids and the like, also in lists with commas.

A shell waits for them, so nothing here may import PyTorch; the names of hyper-parameters are read from the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from algorithms import ALGORITHMS
from algorithms.networks.entry import NETWORKS
from bench.spec.shipped_grids import grid_names
from datasets import DATASETS
from datasets.core.declarations import Reference, field_names

METRICS = ("accuracy", "nll", "mse", "return")  # as in bench.analysis.scores, which imports pandas
RETRIES = ("failed", "timeout", "oom", "none")  # as in bench.execution.queue, which imports PyTorch
SPLITS = ("train", "val", "test")  # as in datasets.core.episodes, likewise
DEVICES = ("cpu", "cuda")


def algorithms(incomplete: str) -> list[str]:
    """Complete the last of some algorithms."""
    return _last_of(incomplete, ALGORITHMS.names())


def datasets(incomplete: str) -> list[str]:
    """Complete the last of some datasets."""
    return _last_of(incomplete, DATASETS.names())


def grids(incomplete: str) -> list[str]:
    """Complete the name of a grid."""
    return _last_of(incomplete, grid_names())


def choice(*names: str) -> Callable[[str], list[str]]:
    """Return what completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def samplers(incomplete: str) -> list[str]:
    """Complete the name of a sampler of a search."""
    from bench.tuning.spec import SAMPLERS

    return choice(*SAMPLERS)(incomplete)


def pruners(incomplete: str) -> list[str]:
    """Complete the name of a pruner of a search."""
    from bench.tuning.spec import PRUNERS

    return choice(*PRUNERS)(incomplete)


def objectives(incomplete: str) -> list[str]:
    """Complete the objectives of a search, which hold commas of their own."""
    from bench.tuning.spec import OBJECTIVES

    return choice(*OBJECTIVES)(incomplete)


def query_modes(incomplete: str) -> list[str]:
    """Complete how the queries of external predictions were predicted."""
    from bench.spec.external import QUERY_MODES

    return choice(*QUERY_MODES)(incomplete)


def tuned(incomplete: str) -> list[str]:
    """Complete what is tuned: the name of a grid or of an algorithm."""
    return choice(*grid_names(), *ALGORITHMS.names())(incomplete)


def dataset(incomplete: str) -> list[str]:
    """Complete the name of one dataset."""
    return choice(*DATASETS.names())(incomplete)


def settings(incomplete: str) -> list[str]:
    """Complete the name in NAME=VALUE: a hyper-parameter, ``train.`` or ``evaluation.`` and a field, or an algorithm,
    a dot and a hyper-parameter.

    >>> settings("inner_l"), settings("maml.inner_l"), settings("protonet")
    (['inner_lr='], ['maml.inner_lr='], ['protonet.'])
    """
    group, dot, _ = incomplete.partition(".")
    if dot and group in ALGORITHMS:
        names = [f"{group}.{name}" for name in _hyper_parameters(group)]
    else:
        from bench.spec.cell import Evaluation, TrainingBudget

        names = [name for algorithm in ALGORITHMS.names() for name in _hyper_parameters(algorithm)]
        names += [f"train.{name}" for name in TrainingBudget.model_fields]
        names += [f"evaluation.{name}" for name in Evaluation.model_fields]
    named = [f"{name}=" for name in dict.fromkeys(names)]
    dotted = [f"{name}." for name in ALGORITHMS.names()] if incomplete and not dot else []
    return choice(*named, *dotted)(incomplete)


def own_settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name in NAME=VALUE for the algorithm or the network that is named before."""
    name = _first(ctx, "name")
    if name in ALGORITHMS:
        names = _hyper_parameters(name)
    else:
        names = _fields(NETWORKS[name], "options") if name in NETWORKS else []
    return choice(*(f"{field}=" for field in names))(incomplete)


def _hyper_parameters(algorithm: str) -> list[str]:
    return _fields(ALGORITHMS[algorithm], "hparams")


def _fields(entry: object, attribute: str) -> list[str]:
    """Return the fields of an entry's model, which is not imported where it is a reference."""
    model = object.__getattribute__(entry, attribute)
    return field_names(model) if isinstance(model, Reference) else list(model.model_fields)


def cells(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of some cells' ids, as the folder that is named before holds them."""
    try:
        names = [path.name for path in (Path(_first(ctx, "folder")).expanduser() / "cells").iterdir()]
    except (OSError, RuntimeError):
        return []
    return _last_of(incomplete, sorted(name for name in names if not name.startswith(".")))


def checked(incomplete: str) -> list[str]:
    """Complete the name of an algorithm or a network."""
    return [*algorithms(incomplete), *_last_of(incomplete, NETWORKS.names())]


def anything(incomplete: str) -> list[str]:
    """Complete the name of an algorithm, a network, a dataset or a grid."""
    return [*checked(incomplete), *datasets(incomplete), *grids(incomplete)]


def _first(ctx: typer.Context, name: str) -> str:
    """Return the first argument of a command, by its name; empty where there is none.

    It is among those that are left over where it stands before an option whose value is completed.
    """
    return str(ctx.params.get(name) or next(iter(ctx.args), ""))


def _last_of(incomplete: str, names: Iterable[str]) -> list[str]:
    """Return what the last of some names, separated by commas, may become; those before it are not given again.

    >>> _last_of("maml,re", ["maml", "reptile"])
    ['maml,reptile']
    """
    before, comma, start = incomplete.rpartition(",")
    listed = before.split(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(start) and name not in listed]
