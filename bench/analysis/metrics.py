"""Metrics for readers: names, units and directions; files and data frames keep the short names."""

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


def score_text(metric: str, value: float, signed: bool = False) -> str:
    """Format accuracy in percentage points, other metrics to three digits.

    >>> score_text("accuracy_inductive", 0.256, signed=True), score_text("mse", 0.1234)
    ('+25.6', '0.123')
    """
    plus = "+" if signed else ""
    return f"{100 * value:{plus}.1f}" if is_percentage(metric) else f"{value:{plus}.3g}"


def higher_is_better(metric: str) -> bool:
    """Return the direction of a metric."""
    return metric.partition("_")[0] not in LOWER_IS_BETTER


def direction(metric: str) -> str:
    """Return ``higher is better`` or ``lower is better``."""
    return f"{'higher' if higher_is_better(metric) else 'lower'} is better"
