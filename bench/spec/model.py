"""The base of what grids and cells are made of, and the bounds of their numbers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MOST_TRAINING = 1_000_000_000  # episodes, seconds or outer steps of one training
MOST_MEASURED = 1_000_000  # episodes of a validation or test list
MOST_EXAMPLES = 10_000  # shots, queries and ways of an episode
LARGEST_SEED = 2**63 - 1  # that torch, NumPy and the tables take


class Model(BaseModel):
    """Base of all specifications: frozen, without unknown fields, and with finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
