"""External results: cells whose predictions were made elsewhere, by any framework, on exported test episodes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from algorithms.core.modes import MODES, Mode
from bench.spec.model import Model

QueryMode = Literal["transductive", "inductive", "both"]
QUERY_MODES: tuple[QueryMode, ...] = ("transductive", "inductive", "both")
EXTERNAL_NAME = r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}"


class ExternalSpec(Model):
    """The origin of predictions that were made elsewhere, as their author tells it.

    Attributes:
        source: framework, paper or author, in a few words.
        mode: transductive where the prediction of a query depends on the other queries, inductive where it does not,
            both for a method without batch statistics, of which the two are the same; None for regression.
    """

    source: Annotated[str, Field(min_length=1, max_length=200)]
    mode: QueryMode | None = None

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The evaluations in which the predictions count."""
        return tuple(mode for mode in MODES if self.mode in (mode, "both"))
