"""The check that each hyper-parameter has an effect: it is varied while the others stay."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, Protocol, get_args, get_origin

import torch
from pydantic import ValidationError
from torch import Tensor

from algorithms import Algorithm, HyperParameters
from algorithms.core.hyperparameters import Choice, Range, Situation, When, condition_of, needs_of, tuning_space
from algorithms.core.meta_state import State
from algorithms.networks.network import Network, has_norm_weights
from datasets.core.episodes import Kind

N_OUTER = 3  # outer steps of the trainings that are compared: enough for a schedule's second value
WHOLE_NUMBERS = (1, 2, 3, 5)
_Evidence = tuple[int, Mapping[str, Tensor]]
FRACTIONS = (0.0, 1e-3, 0.1, 0.5, 1.0, 2.0)


class Varied(Protocol):
    """A method on a synthetic problem, which is made again with other hyper-parameters."""

    changes: Mapping[str, Any]
    n_classes: int
    hparams: HyperParameters

    def __init__(self, entry: Any, kind: Kind, changes: Mapping[str, Any], n_classes: int) -> None: ...
    @property
    def entry(self) -> Any: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def algorithm(self) -> Algorithm[Any]: ...
    @property
    def network(self) -> Network: ...
    def trained(self, n_outer: int) -> State:
        """Return the meta-state after ``n_outer`` outer steps."""

    def evidence(self, state: State) -> dict[str, Tensor]:
        """Return what hyper-parameters may change of a trained state's results."""


def unused(subject: Varied) -> list[str] | None:
    """The hyper-parameters of which no value that was tried changes anything, with the values; None where none applies.

    A hyper-parameter has an effect where another value of it changes the state after a few outer steps, the number of
    inner steps at test time, or the outputs; each comparison is exact. One that ``needs`` something that the problem
    lacks is left out; a condition on another hyper-parameter is met first.
    """
    model = type(subject.hparams)
    variation = _Variation(subject)
    without_effect, applied, norm_layers = [], False, has_norm_weights(subject.network)
    for name in model.model_fields:
        needs = needs_of(model, name)
        n_classes = max(subject.n_classes, needs.n_train_classes)
        trains = subject.algorithm.trains
        if needs.met(Situation(subject.kind, norm_layers, trains, n_classes if subject.n_classes > 1 else 1)):
            applied = True
            tried = variation.without_effect(name, n_classes)
            if tried is not None:
                without_effect.append(tried)
    return without_effect if applied else None


@dataclass
class _Variation:
    """The hyper-parameters of a subject, varied one at a time; the unvaried outputs are computed once."""

    subject: Varied
    bases: dict[str, tuple[Varied, _Evidence]] = field(default_factory=dict)

    def without_effect(self, name: str, n_classes: int) -> str | None:
        """The hyper-parameter with the values that changed nothing; None where one did."""
        hparams = self.subject.hparams
        changes = dict(self.subject.changes) | _met(condition_of(type(hparams), name), hparams)
        base, expected = self._base(changes, n_classes)
        now, tried, problems = getattr(base.hparams, name), [], []
        for value in other_values(base.hparams, name):
            try:
                outcome = _evidence(self._with(changes | {name: value}, n_classes))
            except Exception as error:  # such as a shape that the made-up problem cannot give
                problems.append(f"{value!r}: {type(error).__name__}: {' '.join(str(error).split())}")
                continue
            if not _same(outcome, expected):
                return None
            tried.append(repr(value))
        if tried:
            return f"`{name}` than {now!r} ({', '.join(tried)} were tried)"
        if problems:
            return f"`{name}` than {now!r} runs ({problems[0]}), so that none"
        return f"`{name}` than {now!r} is known (give some with `tune=Choice(...)`), so that none"

    def _base(self, changes: dict[str, Any], n_classes: int) -> tuple[Varied, _Evidence]:
        key = repr((sorted(changes.items()), n_classes))
        if key not in self.bases:
            base = self._with(changes, n_classes)
            self.bases[key] = base, _evidence(base)
        return self.bases[key]

    def _with(self, changes: Mapping[str, Any], n_classes: int) -> Varied:
        made: Varied = type(self.subject)(self.subject.entry, self.subject.kind, changes, n_classes)
        return made


def _met(when: When | None, hparams: HyperParameters) -> dict[str, Any]:
    """Changes under which the condition holds."""
    if when is None or when.holds(hparams.model_dump()):
        return {}
    if when.least is None:
        return {when.name: when.values[0]}
    whole = isinstance(getattr(hparams, when.name), int | None)
    return {when.name: int(when.least) if whole and when.least == int(when.least) else when.least}


def _evidence(subject: Varied) -> _Evidence:
    """Return what hyper-parameters may change: the number of test steps, and trained state and outputs by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd value may well be warned of
        state = subject.trained(N_OUTER)
        results = subject.evidence(state)
    return subject.algorithm.test_steps, {**state, **{f"outputs/{name}": value for name, value in results.items()}}


def _same(a: _Evidence, b: _Evidence) -> bool:
    if a[0] != b[0] or sorted(a[1]) != sorted(b[1]):
        return False
    return all(
        value.shape == b[1][name].shape and torch.equal(value.nan_to_num(), b[1][name].nan_to_num())
        for name, value in a[1].items()
    )


def other_values(hparams: HyperParameters, name: str) -> Iterator[Any]:
    """Values that ``name`` may have beside the one in ``hparams``, the likeliest to matter first.

    They come from its type, from what a search may try, and from its neighbourhood; the model says which are allowed.
    """
    model, now = type(hparams), getattr(hparams, name)
    seen = [now]
    for value in _proposed(model, name, now):
        if any(value is earlier or (type(value) is type(earlier) and value == earlier) for earlier in seen):
            continue
        try:
            checked = getattr(model.model_validate({**hparams.model_dump(), name: value}), name)
        except ValidationError:
            continue
        if checked != now and checked not in seen[1:]:
            seen += [value, checked]
            yield checked


def _proposed(model: type[HyperParameters], name: str, now: Any) -> Iterator[Any]:
    tune = tuning_space(model).get(name)
    if isinstance(tune, Choice):
        yield from tune.options
    if isinstance(tune, Range):
        yield from (tune.low, tune.high)
    for kind in _kinds(model.model_fields[name].annotation):
        if get_origin(kind) is Literal:
            yield from get_args(kind)
        elif kind is bool:
            yield from (False, True)
        elif kind is int:
            if isinstance(now, int):
                yield from (now + 1, now * 2, now // 2, now - 1)
            yield from WHOLE_NUMBERS
        elif kind is float:
            if isinstance(now, int | float):
                yield from (now / 2, now * 2, now / 10)
            yield from FRACTIONS
        elif kind is NoneType:
            yield None


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of which a union is made, or the type itself."""
    arguments = get_args(annotation)
    return arguments if arguments and get_origin(annotation) is not Literal else (annotation,)
