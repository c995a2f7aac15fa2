"""The space that is searched: declared once beside the algorithm, whole numbers and conditions included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.hyperparameters import Choice, HyperParameters, Needs, Range, Situation, When, hyper, tuning_space
from algorithms.maml import MAML
from bench.tuning.sampling import draw, pruner, sampler
from bench.tuning.search import plans
from bench.tuning.spec import Method, objective_of, search_space
from datasets import UserError
from tests.bench.helpers import GLYPHS, tiny
from tests.bench.tuning.helpers import NOWHERE, QUICK, plan_of

IMAGES = Situation("classification", norm_layers=True, trains=True, n_train_classes=100)


class Conditional(HyperParameters):
    """A setting that matters only where another one, searched too, is as it must be."""

    kind: str = hyper("plain", "which", "a test", Choice(("plain", "momentum")))
    momentum: float = hyper(0.9, "how much", "a test", Range(0.5, 0.99, when=When("kind", values=("momentum",))))
    steps: int | None = hyper(3, "whole", "a test", Range(1, 9))
    rate: float = hyper(0.1, "rate", "a test", Range(1e-3, 1.0, log=True, when=When("steps", least=5)))


def test_whole_numbers_are_known_by_their_type_and_conditions_survive() -> None:
    space = tuning_space(Conditional)
    assert list(space) == ["kind", "momentum", "steps", "rate"]
    assert space["steps"] == Range(1, 9, integer=True)
    assert space["momentum"] == Range(0.5, 0.99, when=When("kind", values=("momentum",)))
    assert space["rate"] == Range(1e-3, 1.0, log=True, when=When("steps", least=5))


@pytest.mark.parametrize("entry", list(ALGORITHMS), ids=lambda entry: entry.name)
def test_conditions_stand_on_what_comes_before_or_is_not_searched(entry: Any) -> None:
    space = tuning_space(entry.hparams)
    names = list(space)
    for place, (name, one) in enumerate(space.items()):
        if one.when is not None:
            assert one.when.name in entry.hparams.model_fields, name
            assert one.when.name not in names[place:], name


def test_what_cannot_matter_here_is_not_searched() -> None:
    one, more = ({"test_steps": n, "meta_batch": 4} for n in (1, 2))
    assert "later_steps" not in search_space("meta-sgd", one, IMAGES)
    assert "later_steps" in search_space("meta-sgd", more, IMAGES)


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "meta-sgd"])
def test_adapting_norm_is_searched_where_the_network_has_norm(algorithm: str) -> None:
    assert "adapt_norm" not in plan_of(algorithms=[algorithm]).space
    assert "adapt_norm" in plan_of(algorithms=[algorithm], datasets=[GLYPHS]).space


def test_adapting_norm_is_not_searched_where_the_head_alone_is_adapted() -> None:
    assert "adapt_norm" not in plan_of(algorithms=["anil"], datasets=[GLYPHS]).space


class OnlyForClasses(HyperParameters):
    """Nothing of this can be tuned on regression."""

    smoothing: float = hyper(0.1, "of labels", "a test", Range(0.0, 0.5), Needs(kind="classification"), ge=0)


@pytest.fixture
def for_classes() -> Iterator[None]:
    ALGORITHMS.add(AlgorithmEntry("for-classes", MAML, OnlyForClasses, "none", "a test"))
    yield
    ALGORITHMS.remove("for-classes")


@pytest.mark.usefixtures("for_classes")
def test_an_algorithm_whose_hyper_parameters_have_no_effect_on_a_dataset_is_left_out_there() -> None:
    both = [{"name": "sinusoid", "shots": [5]}, GLYPHS]
    found = plans(tiny(algorithms=["for-classes"], datasets=both, settings=[]), QUICK, 0, NOWHERE)
    assert [plan.cell.dataset for plan in found.plans] == ["glyphs"]
    assert found.left_out == ("for-classes on sinusoid 5-shot: no hyper-parameters to tune there",)
    with pytest.raises(UserError, match="nothing to tune: for-classes on sinusoid 5-shot: no hyper-parameters"):
        plans(tiny(algorithms=["for-classes"], settings=[]), QUICK, 0, NOWHERE)


@pytest.fixture
def conditional() -> Any:
    ALGORITHMS.add(AlgorithmEntry("conditional", MAML, Conditional, "none", "a test"))
    yield
    ALGORITHMS.remove("conditional")


@pytest.mark.usefixtures("conditional")
def test_a_trial_draws_only_what_matters_in_its_range() -> None:
    plan = plan_of(algorithms=["conditional"], settings=[])
    seen = set()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(40):
        values = draw(study.ask(), plan)
        assert ("momentum" in values) == (values["kind"] == "momentum")
        assert ("rate" in values) == (values["steps"] >= 5)
        assert isinstance(values["steps"], int)
        assert 1 <= values["steps"] <= 9
        seen.add((values["kind"], values["steps"] >= 5))
        assert plan.with_values(values).hparams == plan.cell.hparams | values
    assert len(seen) == 4


def test_an_algorithm_without_a_space_is_one_line() -> None:
    with pytest.raises(UserError, match="oracle has no hyper-parameters to tune"):
        plans(tiny(algorithms=["oracle"]), QUICK, 0, NOWHERE)
    found = plans(tiny(algorithms=["oracle", "maml"]), QUICK, 0, NOWHERE)
    assert [plan.cell.algorithm for plan in found.plans] == ["maml"]
    assert found.left_out == ("oracle: no hyper-parameters to tune",)


def test_every_trial_of_a_dataset_is_validated_on_the_same_episodes_whatever_the_algorithm_and_seed() -> None:
    digests = {
        plan.validation
        for seed in (0, 1)
        for plan in plans(tiny(algorithms=["maml", "reptile", "finetune"]), QUICK, seed, NOWHERE).plans
    }
    assert len(digests) == 1


def test_the_digest_knows_everything_that_changes_what_is_found() -> None:
    base = plan_of()
    others = [
        plan_of(seed=1),
        plan_of(Method(sampler="tpe", pruner="none", heartbeat=1)),
        plan_of(Method(sampler="random", pruner="median", heartbeat=1)),
        plan_of(Method("accuracy,adapt_ms", sampler="random", pruner="none", heartbeat=1)),
        plan_of(settings=[{"set": {"meta_batch": 5}}]),
        plan_of(train={"episodes": 12, "n_query": 2, "eval_every": 2}),
        plan_of(datasets=[{"name": "sinusoid", "shots": [5], "network": {"hidden": [9]}}]),
    ]
    assert len({base.digest, *(plan.digest for plan in others)}) == len(others) + 1
    assert plan_of().digest == base.digest


def test_accuracy_goes_up_and_everything_else_down() -> None:
    assert plan_of().directions == ["minimize"]
    assert plan_of(datasets=[dict(GLYPHS)]).directions == ["maximize"]
    both = Method("accuracy,peak_mib", pruner="none")
    assert plan_of(both, datasets=[dict(GLYPHS)]).directions == ["maximize", "minimize"]


@pytest.mark.parametrize("text", ["accuracy,adapt_ms", "adapt_ms, accuracy"])
def test_objectives_in_any_order(text: str) -> None:
    assert objective_of(text) == "accuracy,adapt_ms"


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "cmaes"])
def test_samplers_are_seeded_by_the_slot(name: Any) -> None:
    plan = plan_of(Method(sampler=name, pruner="none"))

    def drawn(slot: int) -> dict[str, Any]:
        return draw(optuna.create_study(sampler=sampler(plan, slot)).ask(), plan)

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_measurements_are_the_pruners_resource() -> None:
    plan = plan_of(Method(pruner="hyperband"), train={"episodes": 100, "n_query": 2, "eval_every": 4})
    assert plan.measurements == 7  # 25 outer steps, measured at 4, 8, ..., 24 and 25
    assert isinstance(pruner(plan), optuna.pruners.HyperbandPruner)
    assert plan_of(train={"seconds": 1.0, "n_query": 2, "eval_every": 4}).measurements is None
