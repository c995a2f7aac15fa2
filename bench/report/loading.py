"""Load the datasets of an experiment's cells, where their files are available."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.experiments import Experiments, Section
from bench.spec.cell import Cell
from bench.store.store import read_cell
from datasets import UserError
from datasets.core.episodes import Dataset


class Loader:
    """Loads each dataset once.

    Attributes:
        missing: by dataset, why it could not be loaded.
    """

    def __init__(self, experiments: Experiments, root: Path) -> None:
        self._experiments = experiments
        self._root = root
        self._loaded: dict[str, Dataset] = {}
        self.missing: dict[str, str] = {}

    def cell(self, section: Section) -> Cell:
        """Return a finished cell of the section."""
        return read_cell(
            self._experiments.folders[str(section.rows.loc[section.rows["status"] == "ok", "cell"].iloc[0])]
        )

    def dataset(self, section: Section) -> Dataset | None:
        """Return the section's dataset; None, with the reason in ``missing``, without the files that the cells used."""
        name = section.dataset
        if name not in self._loaded and name not in self.missing:
            try:
                dataset = self.cell(section).entry.load(self._root)
            except UserError as error:
                self.missing[name] = str(error)
                return None
            finished = section.rows[section.rows["status"] == "ok"]
            known = set(finished["digest.dataset"]) if "digest.dataset" in finished else set()
            if known - {dataset.fingerprint}:
                self.missing[name] = f"the files of {name} here are not those that the cells were run on"
                return None
            self._loaded[name] = dataset
        return self._loaded.get(name)
