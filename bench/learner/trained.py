"""A trained meta-state with all that adaptation needs to know of its cell and data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.core.algorithm import Mode
from algorithms.core.meta_state import State
from bench.protocol.evaluation import VALUES_AT_ONCE, episodes_at_once
from bench.protocol.setup import test_shape, train_shape
from bench.spec.cell import Cell
from bench.spec.problems import first_problem
from bench.spec.tokens import TextSpec
from datasets import DatasetEntry, UserError
from datasets.core.episodes import Kind, Support
from datasets.core.printable import first_line_of
from datasets.core.table_pools import Column
from datasets.text.tokens import Hashed, Tokenizer


@dataclass(frozen=True)
class TableForm:
    """The columns of a table that a network was trained on.

    Attributes:
        features: the inputs, in their order.
        target: what is predicted, for regression.
        class_column: the name of the column of classes, for classification.
    """

    features: tuple[Column, ...]
    target: Column | None
    class_column: str | None


@dataclass(frozen=True)
class DataForm:
    """The form of the data that a network was trained on.

    Attributes:
        kind: classification or regression.
        family: of the dataset; see ``datasets.DatasetEntry``.
        input_shape: of one example: (n,) for vectors, (channels, height, width) for images.
        drawings: whether ink is 1 and paper 0, the inverse of image files.
        text: the tokens that texts are turned into; None where the data holds no texts.
        tokenizer: turns texts into them.
        table: the columns of a table; None where the data is none.
    """

    kind: Kind
    family: str
    input_shape: tuple[int, ...]
    drawings: bool
    text: TextSpec | None = None
    tokenizer: Tokenizer | None = None
    table: TableForm | None = None

    @classmethod
    def of_entry(cls, entry: DatasetEntry, input_shape: tuple[int, ...], text: TextSpec | None = None) -> DataForm:
        """Return the form of a registered dataset's examples, without preprocessing that is fitted to the data."""
        return cls(entry.kind, entry.family, tuple(input_shape), "drawings" in entry.traits, text, hashing(text))

    @property
    def is_image(self) -> bool:
        return len(self.input_shape) == 3


def hashing(text: TextSpec | None) -> Tokenizer | None:
    """Return the tokenizer of n-grams, which are hashed; None for other tokens, which need a vocabulary."""
    return Hashed(text.form) if text is not None and text.tokens == "ngrams" else None


@contextmanager
def _as_in_a_cell() -> Iterator[None]:
    """Around a computation as a cell does it: on one thread, deterministically. The process is left as it was."""
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(threads)


@dataclass(frozen=True, repr=False)
class Trained:
    """The selected meta-state of a cell, as a function of (support, query). Nothing changes it.

    Attributes:
        cell: the cell that trained it.
        form: of the data.
        state: the meta-state.
    """

    cell: Cell
    form: DataForm
    state: State

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Trained:
        """Return the same object, so that clones of a learner share one meta-state."""
        return self

    @property
    def name(self) -> str:
        """The algorithm, data, shape and seed in words."""
        algorithm, dataset, shape, seed = self.identity
        return f"{algorithm} on {dataset}, {shape}, seed {seed}"

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """Algorithm, dataset, shape and seed."""
        return self.cell.algorithm, self.cell.dataset, self.shape, self.cell.seed

    @property
    def shape(self) -> str:
        """``5-way 1-shot``, or ``10-shot`` for regression."""
        return self.cell.shape_of(self.form.kind)

    @property
    def n_outputs(self) -> int:
        """Logits or values of each query."""
        return self.cell.n_way if self.form.kind == "classification" else 1

    def algorithm(self) -> Algorithm[Any]:
        """Return the algorithm with its network, on the CPU.

        Raises:
            UserError: it is not registered or installed here, or the network is not available.
        """
        entry = ALGORITHMS[self.cell.algorithm]
        if missing := entry.missing():
            raise UserError(missing)
        try:
            hparams = entry.hparams.model_validate(self.cell.hparams)
        except ValidationError as error:
            raise UserError(f"{entry.name}: {first_problem(error, entry.hparams)}") from None
        network = self.cell.build_network(self.form.input_shape, self.n_outputs, self.form.family)
        problem = Problem(self.form.kind, train_shape(self.cell), 0, 0)
        try:
            return entry.factory(hparams, problem, network, self.cell.engine, **self.cell.factory_options)
        except ValueError as error:
            raise UserError(f"{entry.name}: {first_line_of(error)}") from None

    @property
    def tested_together(self) -> int:
        """Return the number of test episodes that the cell computed together; 1 if no bit depends on it."""
        if self.algorithm().net.engine == "loop":
            return 1
        return episodes_at_once(self.form.input_shape, test_shape(self.cell))

    def adapt(self, support: Support) -> dict[str, Tensor]:
        """Return the weights [T, ...] after the last test step on the support sets of T episodes."""
        with _as_in_a_cell():
            algorithm = self.algorithm()
            *_, (_, weights) = algorithm.adapt(self.state, support, algorithm.test_steps)
            return {name: value.detach() for name, value in weights.items()}

    def outputs(self, weights: Mapping[str, Tensor], support: Support, query_x: Tensor, mode: Mode) -> Tensor:
        """Return the outputs [n, n_outputs] of the first of T equal tasks for query_x [n, *input_shape].

        Transductive queries are normalized together; inductive ones do not depend on each other.

        Args:
            weights: [T, ...] adapted weights.
            support: of the T tasks.
            query_x: the queries of one of them.
            mode: how they are normalized.
        """
        copies = (len(support), *(1 for _ in query_x.shape))
        at_once = len(query_x)
        if mode == "inductive":
            at_once = max(1, VALUES_AT_ONCE // math.prod(self.form.input_shape))
        with _as_in_a_cell(), torch.no_grad():
            algorithm = self.algorithm()
            parts = [
                algorithm.predict(weights, support, query_x[start : start + at_once].repeat(copies), mode)[0]
                for start in range(0, len(query_x), at_once)
            ]
        return torch.cat(parts)

    def check(self) -> None:
        """Adapt to a made-up episode by one step at most.

        Raises:
            UserError: the meta-state does not fit the algorithm and its network.
        """
        for name, value in self.state.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise UserError(f"the weights of {self.name} hold values that are not finite: {name[:80]!r}")
        algorithm = self.algorithm()
        n = self.cell.n_way * 2
        x = torch.linspace(0, 1, n * math.prod(self.form.input_shape)).reshape(1, n, *self.form.input_shape)
        if self.cell.n_tokens is not None:
            x = (x * (self.cell.n_tokens - 1)).to(torch.int64)
        y = torch.arange(self.cell.n_way).repeat_interleave(2)[None]
        if self.form.kind == "regression":
            y = torch.zeros(1, n, 1)
        support = Support(x, y, np.zeros(1, dtype=np.int64), self.cell.n_way)
        try:
            with _as_in_a_cell():
                *_, (_, weights) = algorithm.adapt(self.state, support, min(1, algorithm.test_steps))
                with torch.no_grad():
                    shape = tuple(algorithm.predict(weights, support, x, "inductive").shape)
        except (RuntimeError, KeyError, IndexError, ValueError, TypeError) as error:
            raise UserError(
                f"the weights do not fit {self.name} ({type(error).__name__}: {first_line_of(error)})"
            ) from None
        if shape != (1, n, self.n_outputs):
            raise UserError(f"the weights give outputs of shape {shape} for {n} examples of {self.name}")
