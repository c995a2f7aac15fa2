"""The conformance check: it passes what is right, and every check catches an algorithm that is broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from algorithms import ALGORITHMS, HyperParameters
from algorithms.core.algorithm import Mode
from algorithms.core.hyperparameters import Choice, Needs, Range, When, hyper
from algorithms.core.meta_state import State
from algorithms.maml import MAML, MAMLHyperParameters
from algorithms.protonet import ProtoNet
from algorithms.testing import checks as checks
from algorithms.testing.checks import assert_conforms, check
from bench.cli import app
from datasets import UserError
from datasets.core.episodes import Episodes, Support


class WrongShape(MAML):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        return super().predict(weights, support, query_x, mode)[..., 0]


class WrongPrecision(MAML):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        return super().predict(weights, support, query_x, mode).float()


class WithoutStepZero(MAML):
    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[Any]:
        yield from list(super().adapt(state, support, n_steps))[1:]


class ReadsNewBuffers(MAML):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        outputs = super().predict(weights, support, query_x, mode)
        return outputs + 0 * torch.empty_like(outputs)


class GlobalRandomness(MAML):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        outputs = super().predict(weights, support, query_x, mode)
        return outputs + 1e-3 * torch.rand_like(outputs)


class RandomTraining(MAML):
    def outer_step(self, state: State, batch: Any) -> Any:
        new, metrics = super().outer_step(state, batch)
        return {name: value + 1e-9 * torch.rand_like(value) for name, value in new.items()}, metrics


class LooksAtOtherTasks(MAML):
    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[Any]:
        centred = Support(support.x - support.x.mean(dim=0, keepdim=True), support.y, support.seeds, support.n_way)
        return super().adapt(state, centred, n_steps)


class NotATaskDimension(MAML):
    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[Any]:
        for step, weights in super().adapt(state, support, n_steps):
            yield step, {**weights, "extra": torch.zeros(1)}


class ChangesState(MAML):
    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[Any]:
        yield from super().adapt(state, support, n_steps)
        state["weights/head.bias"].add_(1e-6)


class ChangesStateInTraining(MAML):
    def outer_step(self, state: State, batch: Any) -> Any:
        result = super().outer_step(state, batch)
        state["weights/head.bias"].add_(1e-6)
        return result


class NotFinite(MAML):
    def outer_step(self, state: State, batch: Any) -> Any:
        new, metrics = super().outer_step(state, batch)
        return {**new, "weights/head.bias": new["weights/head.bias"] / 0.0}, metrics


class TrainsNothing(MAML):
    def outer_step(self, state: State, batch: Any) -> Any:
        return state, {"loss": 1.0}


class PrefersAClass(ProtoNet):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        outputs = super().predict(weights, support, query_x, mode)
        return outputs + torch.arange(outputs.shape[-1])


class SaysFirstOrder(MAML):
    second_order = False

    def query_losses(self, meta: State, tasks: Episodes) -> Any:
        type(self).second_order = True
        try:
            return super().query_losses(meta, tasks)
        finally:
            type(self).second_order = False


class SaysSecondOrder(MAML):
    def inner_step(self, meta: State, weights: Any, support: Support, step: int, training: bool) -> Any:
        return super().inner_step(meta, weights, support, step, training=False)


class ClimbsInsteadOfDescending(MAML):
    def meta_gradient(self, state: State, episodes: Episodes) -> Any:
        gradient, loss = super().meta_gradient(state, episodes)
        return {name: -value for name, value in gradient.items()}, loss


class MomentumHyperParameters(MAMLHyperParameters):
    momentum: float = hyper(0.9, "momentum of the inner steps", "a test", Range(0.0, 0.99), ge=0, lt=1)


class IgnoresMomentum(MAML):
    """It declares a momentum, which a search would tune, and never looks at it."""


class Raises(MAML):
    def predict(self, weights: Any, support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        raise KeyError("layer9")


BROKEN = [
    (WrongShape, "outputs have the right shape"),
    (WrongPrecision, "outputs have the right shape"),
    (WithoutStepZero, "steps of adaptation"),
    (NotATaskDimension, "steps of adaptation"),
    (GlobalRandomness, "deterministic"),
    (RandomTraining, "deterministic"),
    (LooksAtOtherTasks, "tasks are independent"),
    (ChangesState, "state is not changed"),
    (ChangesStateInTraining, "state is not changed"),
    (NotFinite, "numbers are finite"),
    (TrainsNothing, "numbers are finite"),
    (PrefersAClass, "labels can be renamed"),
    (SaysFirstOrder, "order of the gradient"),
    (SaysSecondOrder, "order of the gradient"),
    (ClimbsInsteadOfDescending, "learns a trivial problem"),
    (IgnoresMomentum, "hyper-parameters have an effect"),
    (Raises, "outputs have the right shape"),
]


def entry_of(factory: Any) -> Any:
    base = ALGORITHMS["protonet" if issubclass(factory, ProtoNet) else "maml"]
    kind = "classification" if issubclass(factory, ProtoNet) else "regression"
    hparams = MomentumHyperParameters if factory is IgnoresMomentum else base.hparams
    return replace(base, name=factory.__name__, factory=factory, hparams=hparams, kinds=(kind,))


@pytest.mark.parametrize(("factory", "name"), BROKEN, ids=[factory.__name__ for factory, _ in BROKEN])
def test_a_broken_algorithm_is_caught(factory: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name]})
    (finding,) = check(entry_of(factory))
    assert finding.passed is False
    assert finding.message
    assert "\n" not in finding.message


def effects_of(factory: Any, hparams: type[HyperParameters], kind: Any = "regression") -> Any:
    entry = replace(ALGORITHMS["maml"], name=factory.__name__, factory=factory, hparams=hparams, kinds=(kind,))
    return next(one for one in check(entry) if one.check.startswith("hyper-parameters have an effect"))


@pytest.fixture
def only_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "hyper-parameters have an effect"
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name]})


@pytest.mark.usefixtures("only_effects")
def test_an_ignored_hyper_parameter_is_named_with_what_was_tried() -> None:
    finding = effects_of(IgnoresMomentum, MomentumHyperParameters)
    assert "no other value of `momentum` than 0.9 (0.0, 0.99, 0.45, " in finding.message
    assert "inner_lr" not in finding.message


@pytest.mark.usefixtures("only_effects")
def test_a_hyper_parameter_is_checked_where_it_says_that_it_has_an_effect() -> None:
    class ForClassification(MAMLHyperParameters):
        smoothing: float = hyper(0.1, "of labels", "a test", needs=Needs(kind="classification"), ge=0, lt=1)

    assert effects_of(MAML, ForClassification, "regression").passed is True
    finding = effects_of(MAML, ForClassification, "classification")
    assert finding.passed is False
    assert "`smoothing`" in finding.message


class Heavy(MAML):
    """Momentum at test time, where it is switched on; a text of which nothing but its length matters."""

    def rate_factor(self, step: int, training: bool) -> float:
        hparams: Any = self.hparams
        heavy = hparams.how == "heavy" and not training
        return super().rate_factor(step, training) * (1 + (hparams.momentum if heavy else 0.0))


@pytest.mark.usefixtures("only_effects")
def test_a_condition_on_another_hyper_parameter_is_met_before_its_effect_is_looked_for() -> None:
    class Conditional(MAMLHyperParameters):
        how: str = hyper("plain", "how", "a test", Choice(("plain", "heavy")))
        momentum: float = hyper(0.9, "m", "a test", Range(0.1, 0.99, when=When("how", values=("heavy",))), gt=0)

    class Unconditional(Conditional):
        momentum: float = hyper(0.9, "m", "a test", Range(0.1, 0.99), gt=0)

    assert effects_of(Heavy, Conditional).passed is True
    assert "`momentum`" in effects_of(Heavy, Unconditional).message


@pytest.mark.usefixtures("only_effects")
def test_a_hyper_parameter_that_cannot_be_varied_is_said_with_what_to_do() -> None:
    class Text(MAMLHyperParameters):
        words: str = hyper("plain", "free text", "a test")

    finding = effects_of(MAML, Text)
    assert finding.passed is False
    assert "`words` than 'plain' is known (give some with `tune=Choice(...)`)" in finding.message


def test_every_check_has_an_algorithm_that_breaks_it() -> None:
    assert {name for _, name in BROKEN} == set(checks.CHECKS)


@pytest.mark.parametrize("name", [entry.name for entry in ALGORITHMS])
def test_every_algorithm_of_the_registry_conforms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last check, which ``test_trivial_problems_are_learned`` holds for a few."""
    if reason := ALGORITHMS[name].missing():
        pytest.skip(reason)
    quick = {check_name: run for check_name, run in checks.CHECKS.items() if check_name != "learns a trivial problem"}
    monkeypatch.setattr(checks, "CHECKS", quick)
    assert_conforms(name)


@pytest.mark.parametrize("name", ["maml", "meta-sgd", "anil", "protonet", "finetune"])
def test_trivial_problems_are_learned(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"learns": checks.CHECKS["learns a trivial problem"]})
    kinds = ("regression",) if name in ("maml", "meta-sgd") else ("classification",)
    assert_conforms(replace(ALGORITHMS[name], kinds=kinds))


def test_helper_says_what_fails() -> None:
    with pytest.raises(AssertionError, match=r"outputs have the right shape \(regression\): KeyError: 'layer9'"):
        assert_conforms(entry_of(Raises))


def test_a_missing_library_is_a_users_error() -> None:
    entry = replace(ALGORITHMS["maml"], missing=lambda: "install it")
    with pytest.raises(UserError, match="cannot be checked: install it"):
        check(entry)


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"steps of adaptation": checks.CHECKS["steps of adaptation"]})
    right = CliRunner().invoke(app, ["check", "oracle"])
    assert right.exit_code == 0
    assert "oracle: conforms" in right.output
    broken = ALGORITHMS.add(entry_of(WithoutStepZero))
    try:
        wrong = CliRunner().invoke(app, ["check", broken.name])
    finally:
        ALGORITHMS.remove(broken.name)
    assert wrong.exit_code == 1
    assert "FAILS  steps of adaptation (regression): adapt gives the steps [1, 2, 3, 4, 5]" in wrong.output


def test_what_reads_a_buffer_before_it_is_written_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"numbers are finite": checks.CHECKS["numbers are finite"]})
    broken = ALGORITHMS.add(entry_of(ReadsNewBuffers))
    try:
        found = CliRunner().invoke(app, ["check", broken.name])
    finally:
        ALGORITHMS.remove(broken.name)
    assert found.exit_code == 1
    assert "FAILS  numbers are finite" in found.output
