"""Datasets of the environments in ``simulators``."""

from __future__ import annotations

from pathlib import Path

from datasets import register
from datasets.core.episodes import Dataset
from datasets.gymnasium_tasks import gymnasium_dataset
from tests.plugins.simulators import Doors, Pendulums


@register("swings", kind="control", family="control", summary="pendulums of Gymnasium", paper="", input_shape=(3,))
def load(root: Path) -> Dataset:
    return gymnasium_dataset("swings", Pendulums, horizon=20)


@register("doors", kind="control", family="control", summary="three doors", paper="", input_shape=(4,))
def load_doors(root: Path) -> Dataset:
    return gymnasium_dataset("doors", Doors, horizon=6)
