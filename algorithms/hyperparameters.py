"""How a hyper-parameter is declared: once, beside its algorithm, with its default, type, tuning range and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class When:
    """A condition on another hyper-parameter: it is at least ``least``, or one of ``values``.

    Where it does not hold, what it stands on changes nothing and is not searched.
    """

    name: str
    least: float | None = None
    values: tuple[Any, ...] = ()

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether it holds for these hyper-parameters, by name."""
        value = settings[self.name]
        return value in self.values if self.least is None else value is not None and value >= self.least


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included, sampled on a log scale where ``log``.

    ``tuning_space`` sets ``integer`` from the type of the hyper-parameter: whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    when: When | None = None
    integer: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[Any, ...]
    when: When | None = None


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
    """The hyper-parameters of ``model`` that a search may try, with their ranges, in the order of their declaration.

    A condition refers to a hyper-parameter that is not searched, or to one declared before.
    """
    space: dict[str, Range | Choice] = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        tune = extra.get("tune") if isinstance(extra, dict) else None
        if isinstance(tune, dict):
            arguments: dict[str, Any] = dict(tune)
            if isinstance(arguments["when"], dict):
                arguments["when"] = When(**arguments["when"])
            if "options" in tune:
                space[name] = Choice(**arguments)
            else:
                whole = int in (field.annotation, *get_args(field.annotation))
                space[name] = Range(**(arguments | {"integer": whole}))
    return space
