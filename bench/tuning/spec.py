"""The specification of a study: a cell, its search space, the objective, the sampler and the pruner."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from algorithms import ALGORITHMS
from algorithms.core.hyperparameters import Choice, Range, Situation, needs_of, tuning_space
from bench.spec.cell import Cell
from bench.spec.tuned_file import plain_shape, tuned_name
from datasets import UserError
from datasets.core.registry import suggest

SamplerName = Literal["tpe", "random", "gp", "cmaes"]
PrunerName = Literal["hyperband", "median", "none"]
Objective = Literal["accuracy", "accuracy,adapt_ms", "accuracy,peak_mib"]
Direction = Literal["minimize", "maximize"]
SAMPLERS: tuple[SamplerName, ...] = ("tpe", "random", "gp", "cmaes")
PRUNERS: tuple[PrunerName, ...] = ("hyperband", "median", "none")
OBJECTIVES: tuple[Objective, ...] = ("accuracy", "accuracy,adapt_ms", "accuracy,peak_mib")


@dataclass(frozen=True)
class Method:
    """The method of a search, the same for every algorithm.

    Attributes:
        objective: the selection value on the meta-validation episodes (accuracy, or squared error for regression), and
            a cost beside it.
        sampler: what proposes hyper-parameters.
        pruner: what ends trials early; with two objectives there is none.
        heartbeat: seconds between two signs of life of a running trial; a worker that is silent for three times as
            long is taken for dead.
    """

    objective: Objective = "accuracy"
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "median"
    heartbeat: int = 20

    def __post_init__(self) -> None:
        if self.objective != "accuracy" and self.pruner != "none":
            raise UserError(
                f"'{self.pruner}' works with one objective, not with '{self.objective}'; use none", "pruner"
            )
        if self.objective != "accuracy" and self.sampler == "cmaes":
            raise UserError(f"'cmaes' works with one objective, not with '{self.objective}'; use tpe", "sampler")

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names, the selecting one first."""
        return tuple(self.objective.split(","))


@dataclass(frozen=True)
class Budget:
    """The budget of each study: trials, or seconds of trials added up over all workers."""

    trials: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        if self.trials is not None:
            return f"{self.trials} trial{'' if self.trials == 1 else 's'}"
        return f"{(self.seconds or 0.0) / 3600:g} hours of trials"


@dataclass(frozen=True)
class Plan:
    """One study.

    Attributes:
        experiment: the grid's name, part of the study's.
        cell: what a trial trains and validates, with the hyper-parameters that are not searched; its seed is the one of
            training and of the sampler in all trials.
        method: how the space is searched.
        validation: SHA-256 of the meta-validation list.
        situation: of the dataset, the network and the algorithm: what hyper-parameters may need.
    """

    experiment: str
    cell: Cell
    method: Method
    validation: str
    situation: Situation

    @property
    def title(self) -> str:
        """``maml on glyphs 5-way 1-shot``."""
        return f"{self.cell.algorithm} on {self.cell.dataset} {self.shape}"

    @property
    def shape(self) -> str:
        return plain_shape(self.cell.entry.kind, self.cell.n_way, self.cell.n_shot)

    @property
    def study_name(self) -> str:
        return f"{self.experiment}--{tuned_name(self.cell.algorithm, self.cell.dataset, self.shape)}"

    @property
    def metric(self) -> str:
        """Return what the selecting objective is: ``mse``, ``return`` or ``accuracy_<mode>``."""
        alone = {"regression": "mse", "control": "return"}
        return alone.get(self.cell.entry.kind, f"accuracy_{self.cell.evaluation.select_by}")

    @property
    def directions(self) -> list[Direction]:
        """Accuracy and return up, everything else down."""
        first: Direction = "minimize" if self.metric == "mse" else "maximize"
        return [first, *(["minimize"] * (len(self.method.names) - 1))]  # type: ignore[list-item]

    @cached_property
    def space(self) -> dict[str, Range | Choice]:
        """Return the search space, without hyper-parameters that have no effect here or whose condition cannot hold.

        Raises:
            UserError: the algorithm has nothing to search.
        """
        return search_space(self.cell.algorithm, self.cell.hparams, self.situation)

    @property
    def measurements(self) -> int | None:
        """Return how often a trial is measured; None where its budget is in seconds."""
        train = self.cell.train
        if train.episodes is None:
            return None
        outer_steps = math.ceil(train.episodes / int(self.cell.hparams["meta_batch"]))
        return math.ceil(outer_steps / train.eval_every)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes what the study finds, for the storage; the budget does not, and may grow."""
        settings = {
            "cell": self.cell.model_dump(mode="json"),
            "space": {name: asdict(allowed) for name, allowed in self.space.items()},
            **asdict(self.method),
            "validation": self.validation,
        }
        return dict(json.loads(json.dumps(settings)))  # as it comes back from the storage

    @property
    def digest(self) -> str:
        """SHA-256 of the settings in canonical JSON."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def with_values(self, values: Mapping[str, Any]) -> Cell:
        """The cell with these hyper-parameters, checked by their model."""
        hparams = ALGORITHMS[self.cell.algorithm].hparams.model_validate(self.cell.hparams | dict(values))
        return self.cell.model_copy(update={"hparams": hparams.model_dump(mode="json")})


def search_space(algorithm: str, settings: Mapping[str, Any], situation: Situation) -> dict[str, Range | Choice]:
    """Return what a search may try for the algorithm there, its other hyper-parameters being ``settings``.

    Raises:
        UserError: there is nothing.
    """
    model = ALGORITHMS[algorithm].hparams
    declared = {name: allowed for name, allowed in tuning_space(model).items() if needs_of(model, name).met(situation)}
    space = {
        name: allowed
        for name, allowed in declared.items()
        if allowed.when is None or allowed.when.name in declared or allowed.when.holds(settings)
    }
    if not space:
        raise UserError(f"{algorithm} has no hyper-parameters to tune; leave it out")
    return space


def tunable(algorithm: str) -> bool:
    """Return whether the algorithm declares anything to search."""
    return bool(tuning_space(ALGORITHMS[algorithm].hparams))


def objective_of(text: str) -> Objective:
    """``text`` where it is an objective, in whatever order and spacing; raises UserError otherwise."""
    parts = [part.strip() for part in text.split(",")]
    for known in OBJECTIVES:
        if sorted(parts) == sorted(known.split(",")):
            return known
    hint = suggest(text, list(OBJECTIVES))
    raise UserError(f"got '{text}'{hint}; use one of {'; '.join(OBJECTIVES)}", "objective")
