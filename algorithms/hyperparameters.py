"""How a hyper-parameter is declared: once, beside its algorithm, with its default, type, tuning range and source."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included, sampled on a log scale where ``log``."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[Any, ...]


class HyperParameters(BaseModel):
    """Base of every algorithm's hyper-parameters; unknown names, wrong types and infinite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    meta_batch: int = Field(4, ge=1, description="episodes of one outer step")


def hyper(default: Any, description: str, source: str, tune: Range | Choice | None = None, **bounds: Any) -> Any:
    """A hyper-parameter.

    Args:
        default: its value where nothing else is said.
        description: what it is, with its unit.
        source: where the default comes from: paper and section, or code.
        tune: what a search may try; None where it is not tuned.
        bounds: pydantic's constraints, such as ``gt=0``.
    """
    extra: dict[str, Any] = {"source": source, "tune": asdict(tune) if tune is not None else None}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def tuning_space(model: type[HyperParameters]) -> dict[str, Range | Choice]:
    """The hyper-parameters of ``model`` that a search may try, with their ranges."""
    space: dict[str, Range | Choice] = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        tune = extra.get("tune") if isinstance(extra, dict) else None
        if isinstance(tune, dict):
            arguments: dict[str, Any] = dict(tune)
            space[name] = Choice(**arguments) if "options" in tune else Range(**arguments)
    return space
