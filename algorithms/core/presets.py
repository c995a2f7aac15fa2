"""The papers' settings, by dataset family and shape of episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TUNED_ON_TEXTS = "this project's search, rounded: 20 trials of `language-tuning` on CLINC150's validation episodes"


@dataclass(frozen=True)
class Preset:
    """Hyper-parameters that a paper used on some problems.

    Attributes:
        values: hyper-parameters by name.
        source: where the paper says so.
        family: the dataset family they are for (see ``datasets.DatasetEntry``); None for all.
        n_way: the ways they are for; None for all.
        n_shot: the shots they are for; None for all.
    """

    values: Mapping[str, Any]
    source: str
    family: str | None = None
    n_way: int | None = None
    n_shot: int | None = None

    def applies(self, family: str, n_way: int, n_shot: int) -> bool:
        """Return whether these settings are for that problem."""
        conditions = (self.family, self.n_way, self.n_shot)
        return all(
            required in (None, actual) for required, actual in zip(conditions, (family, n_way, n_shot), strict=True)
        )


def paper_settings(presets: Sequence[Preset], family: str, n_way: int, n_shot: int) -> dict[str, Any]:
    """Return the values of all presets that apply; later ones, more specific by custom, win.

    >>> presets = Preset({"lr": 0.4}, "section 4"), Preset({"lr": 0.1}, "section 4", "omniglot", n_way=20)
    >>> paper_settings(presets, "omniglot", 20, 1)
    {'lr': 0.1}
    """
    values: dict[str, Any] = {}
    for preset in presets:
        if preset.applies(family, n_way, n_shot):
            values |= preset.values
    return values
