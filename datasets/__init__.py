"""Datasets: a registry of sources of episodes.

>>> from datasets import load
>>> load("sinusoid").kind
'regression'
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.core.entry import DATASETS, DatasetEntry, register
from datasets.core.errors import DataNotFound, UserError
from datasets.storage.paths import data_root

if TYPE_CHECKING:
    from datasets.core.episodes import Dataset

__all__ = ["DATASETS", "DataNotFound", "Dataset", "DatasetEntry", "UserError", "data_root", "load", "register"]


def load(name: str, root: Path | str | None = None) -> Dataset:
    """The dataset called ``name``, its files sought under ``root`` (see ``data_root``).

    Raises:
        UserError: no dataset has that name.
        DataNotFound: its files are not there; the message has the command that fetches them.
    """
    return DATASETS[name].load(data_root(root))


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import what needs PyTorch when it is first used (PEP 562)."""
        if name == "Dataset":
            from datasets.core.episodes import Dataset

            return Dataset
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
