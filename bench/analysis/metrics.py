"""Names of metrics for readers; files and data frames keep the short ones."""

from __future__ import annotations

NAMES = {"accuracy": "accuracy", "nll": "negative log-likelihood", "mse": "mean squared error", "return": "mean return"}
LOWER_IS_BETTER = ("nll", "mse")


def metric_name(metric: str) -> str:
    """Return the name of a metric in words, the mode first where it has one.

    >>> metric_name("accuracy_transductive"), metric_name("nll_inductive"), metric_name("mse")
    ('transductive accuracy', 'inductive negative log-likelihood', 'mean squared error')
    """
    base, _, mode = metric.partition("_")
    name = NAMES.get(base, base)
    return f"{mode} {name}" if mode else name


def is_percentage(metric: str) -> bool:
    """Return whether a metric is shown in percent; its values are in [0, 1]."""
    return metric.startswith("accuracy")


def direction(metric: str) -> str:
    """Return ``higher is better`` or ``lower is better``."""
    return f"{'lower' if metric.partition('_')[0] in LOWER_IS_BETTER else 'higher'} is better"
