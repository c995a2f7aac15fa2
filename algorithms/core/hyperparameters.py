"""Hyper-parameters, each declared once beside its algorithm: default, type, tuning range and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from datasets.core.episodes import Kind  # which imports PyTorch


@dataclass(frozen=True)
class When:
    """A condition on another hyper-parameter: it is at least ``least``, or one of ``values``.

    Where it does not hold, what it stands on changes nothing and is not searched.
    """

    name: str
    least: float | None = None
    values: tuple[Any, ...] = ()

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Return whether it holds for these hyper-parameters, by name.

        >>> When("test_steps", least=2).holds({"test_steps": 1})
        False
        """
        value = settings[self.name]
        return value in self.values if self.least is None else value is not None and value >= self.least


@dataclass(frozen=True)
class Situation:
    """A problem, as far as hyper-parameters need to know it.

    Attributes:
        kind: classification or regression.
        norm_layers: whether the network has weights of normalization layers (batch, group, layer or instance norm).
        trains: whether the algorithm trains.
        n_train_classes: classes of the training split (1 for regression).
    """

    kind: Kind
    norm_layers: bool
    trains: bool
    n_train_classes: int


@dataclass(frozen=True)
class Needs:
    """The problems on which a hyper-parameter has an effect; on others it is neither searched nor checked.

    Attributes:
        kind: only on datasets of this kind.
        norm_layers: only on networks whose normalization layers have weights.
        training: only for algorithms that train.
        n_train_classes: only with so many training classes at least.
        never: why it has an effect nowhere, for one that is inherited; empty where it has.
    """

    kind: Kind | None = None
    norm_layers: bool = False
    training: bool = False
    n_train_classes: int = 1
    never: str = ""

    def met(self, situation: Situation) -> bool:
        """Return whether the hyper-parameter has an effect there."""
        return (
            not self.never
            and self.kind in (None, situation.kind)
            and (situation.norm_layers or not self.norm_layers)
            and (situation.trains or not self.training)
            and situation.n_train_classes >= self.n_train_classes
        )


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


def hyper(
    default: Any,
    description: str,
    source: str,
    tune: Range | Choice | None = None,
    needs: Needs | None = None,
    when: When | None = None,
    **bounds: Any,
) -> Any:
    """Declare a hyper-parameter.

    Args:
        default: its value where nothing else is said.
        description: what it is, with its unit.
        source: where the default comes from: paper and section, or code.
        tune: what a search may try; None where it is not tuned.
        needs: where it has an effect; None for everywhere.
        when: the condition on another hyper-parameter under which it has an effect; ``tune`` may hold it instead.
        bounds: pydantic's constraints, such as ``gt=0``.
    """
    extra: dict[str, Any] = {"source": source}
    extra |= {
        name: None if declaration is None else asdict(declaration)
        for name, declaration in (("tune", tune), ("needs", needs), ("when", when))
    }
    return Field(default, description=description, json_schema_extra=extra, **bounds)


class HyperParameters(BaseModel):
    """Base of every algorithm's hyper-parameters; unknown names, wrong types and infinite numbers are refused.

    Attributes:
        largest: the largest whole number that any of them may have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    largest: ClassVar[int] = 1_000_000_000

    meta_batch: int = hyper(4, "episodes of one outer step", "this project's choice", needs=Needs(training=True), ge=1)

    @field_validator("*")
    @classmethod
    def _not_absurd(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > cls.largest:
            raise ValueError(f"too large; whole numbers up to {cls.largest:,} are allowed")
        return value

    def check_shape(self, n_shot: int, n_query: int) -> None:
        """Raise ValueError where a value asks for more than training episodes of these sizes hold."""


def _declared(model: type[HyperParameters], name: str, what: str) -> dict[str, Any]:
    """Return one of the declarations of ``hyper`` as it is kept with the field; empty where there is none."""
    extra = model.model_fields[name].json_schema_extra
    declaration = extra.get(what) if isinstance(extra, dict) else None
    return dict(declaration) if isinstance(declaration, dict) else {}


def needs_of(model: type[HyperParameters], name: str) -> Needs:
    """Return where the hyper-parameter ``name`` of ``model`` has an effect, as declared."""
    return Needs(**_declared(model, name, "needs"))


def condition_of(model: type[HyperParameters], name: str) -> When | None:
    """Return the condition on another hyper-parameter under which ``name`` has an effect, as declared; None where it
    has one anyway."""
    condition = _declared(model, name, "when") or _declared(model, name, "tune").get("when")
    return When(**condition) if condition else None


def tuning_space(model: type[HyperParameters]) -> dict[str, Range | Choice]:
    """Return the hyper-parameters of ``model`` that a search may try, with their ranges, in the order of declaration.

    A condition refers to a hyper-parameter that is not searched, or to one declared before.
    """
    space: dict[str, Range | Choice] = {}
    for name, field in model.model_fields.items():
        if arguments := _declared(model, name, "tune"):
            arguments["when"] = condition_of(model, name)
            if "options" in arguments:
                space[name] = Choice(**arguments)
            else:
                whole = int in (field.annotation, *get_args(field.annotation))
                space[name] = Range(**(arguments | {"integer": whole}))
    return space
