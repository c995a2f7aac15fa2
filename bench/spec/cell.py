"""A cell: one run, with everything that changes its result. The parts of a grid that a cell carries on are here too."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_serializer, model_validator
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from algorithms.core.modes import Mode
from algorithms.engines.names import EngineName, PrecisionName
from bench.spec.external import ExternalSpec
from bench.spec.model import MOST_EXAMPLES, MOST_MEASURED, MOST_TRAINING, Model
from bench.spec.network import NetworkSpec
from bench.spec.own_data import FolderSpec, TableSpec
from bench.spec.tokens import TextSpec
from datasets import DATASETS, DatasetEntry, UserError

if TYPE_CHECKING:
    from algorithms.networks.network import Network
    from datasets.core.episodes import Kind

CELL_SCHEMA = 1
READABLE = 241  # characters of a cell's id before its digest, so that it can be a file's name
LATER = (
    "engine",
    "evaluation.test_at",
    "external",
    "precision",
    "table",
    "text",
)  # that came after the first results were stored


class TrainingBudget(Model):
    """The training budget, equal for every algorithm.

    Attributes:
        episodes: meta-train episodes consumed (plain batches: as many images as these episodes hold).
        seconds: a wall-clock budget instead of ``episodes``; exactly one of the two is given.
        n_query: queries per class in training episodes.
        n_shot: shots of training episodes; those of the tested episodes by default.
        eval_every: outer steps between two measurements on the meta-validation episodes.
        checkpoint_steps: whether second-order methods compute the graph of an inner step again in the backward pass
            instead of keeping it: the same result in less memory and more time.
    """

    episodes: int | None = Field(None, ge=1, le=MOST_TRAINING)
    seconds: float | None = Field(None, gt=0, le=MOST_TRAINING)
    n_query: int = Field(15, ge=1, le=MOST_EXAMPLES)
    n_shot: int | None = Field(None, ge=1, le=MOST_EXAMPLES)
    eval_every: int = Field(500, ge=1, le=MOST_TRAINING)
    checkpoint_steps: bool = False

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)  # as cells and studies were stored before steps were checkpointed
        return {name: value for name, value in values.items() if name != "checkpoint_steps" or value}

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.episodes is None) == (self.seconds is None):
            raise ValueError(
                f"exactly one of `episodes` and `seconds` must be given, "
                f"but got episodes={self.episodes}, seconds={self.seconds}"
            )
        return self


class Evaluation(Model):
    """The evaluation of a trained meta-state.

    Attributes:
        val_episodes: episodes of the fixed meta-validation list.
        test_episodes: episodes of the fixed meta-test list.
        n_query: queries per class in both lists.
        label: shown behind the shape in tables, to distinguish tests on other lists of episodes.
        select: whether the checkpoint that is best on the meta-validation list is tested, or the last one.
        select_by: the accuracy by which the best is selected (without effect for regression).
        test_at: training episodes, ascending, at which the checkpoint selected so far is tested too.
    """

    val_episodes: int = Field(100, ge=1, le=MOST_MEASURED)
    test_episodes: int = Field(600, ge=2, le=MOST_MEASURED)
    n_query: int = Field(15, ge=1, le=MOST_EXAMPLES)
    label: str = ""
    select: Literal["best", "last"] = "best"
    select_by: Mode = "transductive"
    test_at: tuple[Annotated[int, Field(ge=1, le=MOST_TRAINING)], ...] = ()

    @field_validator("test_at")
    @classmethod
    def _ascending(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if list(budgets) != sorted(set(budgets)):
            raise ValueError(f"must ascend, but got {', '.join(map(str, budgets))}")
        return budgets


class Cell(Model):
    """One run: an algorithm on a dataset and shape under a seed. Whatever changes its result is in here.

    ``engine`` is how tasks are mapped (see ``algorithms.engines.task_network``), None for the quicker one, and
    ``precision`` that of the network's body, None for float32 (``algorithms.engines.precision``). A cell with
    ``external`` was not run here: its algorithm is a name, its budget what its author tells, its network the usual one
    of the dataset for want of a better one.
    """

    schema_version: int = CELL_SCHEMA
    algorithm: str
    hparams: dict[str, Any]
    dataset: str
    folder: FolderSpec | None = None
    table: TableSpec | None = None
    text: TextSpec | None = None
    n_way: int = Field(ge=1, lt=2**63)
    n_shot: int = Field(ge=1, lt=2**63)
    train: TrainingBudget
    evaluation: Evaluation
    network: NetworkSpec
    seed: int = Field(ge=0, lt=2**63)
    device: str = "cpu"
    engine: EngineName | None = None
    precision: PrecisionName | None = None
    external: ExternalSpec | None = None

    @property
    def content(self) -> dict[str, Any]:
        """The specification, JSON-ready. Fields that cells had not from the first are left out where they say nothing,
        so that the ids of older cells stay."""
        return _without_empty(self.model_dump(mode="json"))

    @property
    def setting(self) -> dict[str, Any]:
        """Everything but the seed: only cells that share it are averaged; see ``bench.store.settings``."""
        return {name: value for name, value in self.content.items() if name not in ("schema_version", "seed")}

    @property
    def digest(self) -> str:
        """SHA-256 of the specification in canonical JSON: sorted keys, no spaces."""
        text = json.dumps(self.content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def shape(self) -> str:
        """``5-way 1-shot``, or ``10-shot`` for regression and control."""
        return self.shape_of(self.entry.kind)

    def shape_of(self, kind: Kind) -> str:
        """Return ``shape`` for a dataset of that kind, which need not be registered."""
        shots = f"{self.n_shot}-shot{f' ({self.evaluation.label})' if self.evaluation.label else ''}"
        return f"{self.n_way}-way {shots}" if kind == "classification" else shots

    @property
    def entry(self) -> DatasetEntry:
        """The dataset as the registry describes it, with the cell's tokens where it holds texts."""
        entry = self.own_data.entry(self.dataset) if self.own_data else DATASETS[self.dataset]
        return entry if self.text is None else self.text.applied(entry)

    def build_network(self, input_shape: tuple[int, ...], n_outputs: int, family: str | None = None) -> Network:
        """Return the network for inputs of that shape, of the cell's dataset family by default.

        Raises:
            UserError: it does not fit the inputs, or cannot be used.
        """
        family = self.entry.family if family is None else family
        return self.network.build(family, input_shape, n_outputs, self.n_tokens)

    @property
    def n_tokens(self) -> int | None:
        """The number of token ids; None where the dataset holds no texts."""
        return None if self.text is None else self.text.form.vocabulary

    @property
    def factory_options(self) -> dict[str, Any]:
        """Options of the algorithm's factory that are given only where they say something: a user's may know none."""
        checkpoints = {"checkpoint_steps": True} if self.train.checkpoint_steps else {}
        return checkpoints if self.precision is None else {**checkpoints, "precision": self.precision}

    @property
    def own_data(self) -> FolderSpec | TableSpec | None:
        """The dataset, where it is the user's own."""
        return self.folder or self.table

    @property
    def earlier_budgets(self) -> tuple[int, ...]:
        """The training episodes at which it is tested, but for its whole budget."""
        return tuple(budget for budget in self.evaluation.test_at if budget != self.train.episodes)

    def check_budgets(self) -> None:
        """Raise UserError where one of ``evaluation.test_at`` lies before the first selection or after the end."""
        if not self.evaluation.test_at:
            return
        if self.train.episodes is None:
            raise UserError("evaluation.test_at counts training episodes; give `train.episodes` instead of `seconds`")
        first, last = self.evaluation.test_at[0], self.evaluation.test_at[-1]
        if last > self.train.episodes:
            raise UserError(
                f"evaluation.test_at: {last} is beyond the {self.train.episodes} episodes of training on "
                f"{self.dataset}; raise `train.episodes`, or leave it out"
            )
        steps = self.train.eval_every if self.evaluation.select == "best" else 1
        selected = min(steps * int(self.hparams["meta_batch"]), self.train.episodes)
        if first < selected:
            raise UserError(
                f"evaluation.test_at: {self.algorithm} on {self.dataset} has nothing selected at {first} episodes, "
                f"because its first measurement on the validation episodes is at {selected}; lower `train.eval_every` "
                f"(outer steps of {self.hparams['meta_batch']} episodes), or leave {first} out"
            )

    def check_inputs(self, input_shape: tuple[int, ...] | None) -> None:
        """Check that network, engine and precision fit the dataset's inputs, as far as their shape is known.

        Raises:
            UserError: they do not.
        """
        if input_shape is None:
            return
        if self.entry.kind == "control" and self.network.is_other:
            raise UserError(f"network: a policy on {self.dataset} is an MLP; leave the network out, or give `hidden`")
        self.network.check(self.dataset, input_shape, self.n_tokens)
        if self.engine is not None or self.precision is not None:
            self._check_engine(input_shape)

    def _check_engine(self, input_shape: tuple[int, ...]) -> None:
        import torch

        from algorithms.engines.precision import check_precision
        from algorithms.engines.task_network import check_engine, choose_engine

        network, device = self.build_network(input_shape, 2), torch.device(self.device)
        if self.engine is not None:
            try:
                check_engine(self.engine, network)
            except ValueError as error:
                raise UserError(f"{self.dataset}: {error}", "engine") from None
        check_precision(self.precision, self.engine or choose_engine(network, device), network, device)

    @property
    def id(self) -> str:
        """The cell's folder: readable, and safe as a file name whatever the names in it and however long they are."""
        words = f"{self.algorithm}--{self.dataset}-{self.shape.replace(' ', '-')}--seed{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9@._-]', '_', words).lstrip('.')[:READABLE]}--{self.digest[:12]}"


def _without_empty(content: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The fields of a specification without those of ``LATER`` that say nothing."""
    kept = {}
    for name, value in content.items():
        if f"{before}{name}" in LATER and value in (None, []):
            continue
        nested = isinstance(value, dict) and any(later.startswith(f"{before}{name}.") for later in LATER)
        kept[name] = _without_empty(value, f"{before}{name}.") if nested else value
    return kept
