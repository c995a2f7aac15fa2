"""Where data lies: the data root, and what is said when a dataset's files are not there."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from datasets.registry import UserError

ENVIRONMENT_VARIABLE = "BENCH_DATA"


class DataNotFound(UserError):
    """A dataset's files are not under the data root; ``remedy`` is the command that brings them."""

    def __init__(self, dataset: str, looked_for: Path, remedy: str) -> None:
        super().__init__(f"data not found: {dataset} needs {looked_for}; {remedy}")
        self.remedy = remedy


class BadData(UserError):
    """A file is there but is not what it should be: damaged, incomplete, dangerous or of another kind."""


def data_root(chosen: Path | str | None = None) -> Path:
    """The folder that holds the datasets: ``chosen``, else $BENCH_DATA, else the platform's user cache."""
    if chosen is not None:
        return Path(chosen).expanduser()
    if from_environment := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(from_environment).expanduser()
    return Path(platformdirs.user_cache_dir("meta-learning-bench"))
