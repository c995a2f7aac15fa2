"""The contract of a method of control, and what those with a trust region share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from algorithms.control.rollouts import Experience, experience, roll_out
from algorithms.control.surrogates import (
    likelihood_surrogates,
    ratio_surrogates,
    self_divergences,
)
from algorithms.control.trpo import Product, Step, TrustRegion, flat, hessian_product, trpo_step
from algorithms.core.algorithm import Algorithm, Metrics
from algorithms.core.hyperparameters import HyperParameters, Needs, Range, When, hyper
from algorithms.core.inner_loop import descend, gradients, leaves
from algorithms.core.meta_state import State, group, only
from algorithms.networks.network import Weights
from datasets.core.control import ControlEpisodes, Tasks

PAPER = "Finn et al. 2017, appendix A.2"
CODE = "the authors' code (cbfinn/maml_rl)"
STEPS_AT_ONCE = 4000  # of trajectories, whose graphs are in memory together


class ControlHyperParameters(HyperParameters):
    """Settings of methods whose adaptation is a policy gradient."""

    meta_batch: int = hyper(20, "tasks of one outer step", PAPER, needs=Needs(training=True), ge=1)
    inner_lr: float = hyper(
        0.1, "step size of adaptation", f"{PAPER} ({CODE} has 0.5 for navigation)", Range(0.01, 2.0, log=True), gt=0
    )
    test_steps: int = hyper(3, "inner steps at test time", "figure 4: up to three", ge=1)
    later_steps: float = hyper(
        0.5,
        "factor of the inner step size after the first step at test time",
        PAPER,
        Range(0.1, 1.0, when=When("test_steps", least=2)),
        gt=0,
    )
    discount: float = hyper(0.99, "discount of rewards a step", f"{CODE}: rllab's default", gt=0, le=1)
    smoothing: float = hyper(1.0, "lambda of generalized advantages", f"{CODE}: rllab's default", ge=0, le=1)


class TrustRegionHyperParameters(ControlHyperParameters):
    """Settings of methods whose outer step has a trust region."""

    kl_bound: float = hyper(
        0.01, "bound of the mean KL divergence of an outer step, nats", CODE, Range(1e-3, 0.1, log=True), gt=0
    )
    cg_steps: int = hyper(10, "iterations of conjugate gradients", f"{CODE}: rllab's default", ge=1)
    damping: float = hyper(1e-5, "added to the diagonal of the Fisher matrix", f"{CODE}: rllab's default", ge=0)
    backtracks: int = hyper(15, "lengths of an outer step that are tried", f"{CODE}: rllab's default", ge=1)
    shrink: float = hyper(0.8, "factor of one length to the next", f"{CODE}: rllab's default", gt=0, lt=1)
    fisher_trajectories: int | None = hyper(
        None,
        "trajectories of each task that the Fisher matrix is estimated from; None: all",
        "all in the authors' code; Schulman et al. 2015, appendix C: a tenth suffices",
        ge=1,
    )

    def check_shape(self, n_shot: int, n_query: int) -> None:
        """Raise ValueError where the Fisher matrix is estimated from more trajectories than an outer step takes."""
        most = self.fewest_trajectories(n_shot, n_query)
        if self.fisher_trajectories is not None and self.fisher_trajectories > most:
            raise ValueError(
                f"fisher_trajectories: got {self.fisher_trajectories}, but an outer step takes {most} trajectories of "
                "a task at a time; use at most that many, or None for all"
            )

    def fewest_trajectories(self, n_shot: int, n_query: int) -> int:
        """Return the number of a task's trajectories that the smallest of the step's samples has."""
        return min(n_shot, n_query)

    @property
    def region(self) -> TrustRegion:
        return TrustRegion(self.kl_bound, self.cg_steps, self.damping, self.backtracks, self.shrink)


H = TypeVar("H", bound=ControlHyperParameters)


class ControlAlgorithm(Algorithm[H]):
    """A method that learns policies: the network is a ``Policy``, and tasks are acted in before they are learned from.

    ``outputs`` and ``predict`` of the base are for labelled queries; what is measured here are ``returns``.
    """

    @abstractmethod
    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        """Take one step of meta-training; see ``Algorithm.outer_step``. ``loss`` is minus the mean return of the last
        trajectories."""

    @property
    def test_steps(self) -> int:
        return self.hparams.test_steps

    @property
    def train_trajectories(self) -> int:
        """Trajectories of one task that an outer step takes."""
        return self.problem.shape.n_shot + self.problem.shape.n_query

    def initial(self, meta: State, n_tasks: int) -> dict[str, Tensor]:
        """Return the policies [T, ...] that adaptation starts from."""
        return self.net.stack(group(meta, "weights"), n_tasks)

    def act(self, weights: Weights, tasks: Tasks, step: int) -> Experience:
        """Return trajectories of T tasks' policies with their advantages; ``step`` selects the noise."""
        return experience(self.net, weights, tasks, step, self.hparams.discount, self.hparams.smoothing, self.told)

    def surrogates(self, weights: Weights, seen: Experience) -> Tensor:
        """Return [T] the objectives whose gradients are the policy gradients of adaptation."""
        return likelihood_surrogates(self.net, weights, seen)

    def rate(self, meta: State, name: str) -> Tensor | float:
        """Return alpha for the weight called ``name``: a number, or a tensor in the weight's shape."""
        return self.hparams.inner_lr

    def inner_step(
        self, meta: State, weights: Weights, seen: Experience, factor: float = 1.0, differentiable: bool = False
    ) -> dict[str, Tensor]:
        """Return theta' = theta + alpha * gradient of the surrogate for each of T tasks.

        Args:
            meta: the meta-state that has the rates.
            weights: [T, ...] the policies that acted.
            seen: what they did.
            factor: of alpha.
            differentiable: whether the gradient can be differentiated again.
        """
        with torch.enable_grad():
            starts = weights if differentiable else leaves(weights)
            losses = -factor * self.surrogates(starts, seen)
            slopes = gradients(losses, starts, create_graph=differentiable)
        return {name: descend(value, self.rate(meta, name), slopes[name]) for name, value in weights.items()}

    def adapt(self, state: State, support: Tasks, n_steps: int) -> Iterator[tuple[int, Weights]]:  # type: ignore[override]
        """Yield the policies after each step; each step acts anew with the policies of the step before."""
        weights: Weights = self.initial(state, len(support))
        yield 0, weights
        for step in range(n_steps):
            seen = self.act(weights, support, step)
            weights = leaves(self.inner_step(state, weights, seen, 1.0 if step == 0 else self.hparams.later_steps))
            yield step + 1, weights

    def returns(
        self, state: State, episodes: ControlEpisodes, n_steps: int, last_only: bool = False
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield [T] mean undiscounted returns over the query trajectories after each inner step, or after the last.

        The query noise is the same after each step.
        """
        for step, weights in self.adapt(state, episodes.support, n_steps):
            if step == n_steps or not last_only:
                yield step, roll_out(self.net, weights, episodes.query, 0, self.told).returns


R = TypeVar("R", bound=TrustRegionHyperParameters)


class TrustRegionAlgorithm(ControlAlgorithm[R]):
    """Base of methods whose outer step is one of trust-region policy optimization (Schulman et al. 2015).

    Attributes:
        learned: groups of the meta-state that the outer step changes.
    """

    learned: ClassVar[tuple[str, ...]] = ("weights",)

    def learned_part(self, state: State) -> dict[str, Tensor]:
        """Return the part of the meta-state that the outer step changes."""
        return only(state, self.learned)

    def adapted(self, meta: State, support: Sequence[Experience], n_tasks: int, differentiable: bool) -> Weights:
        """Return [T, ...] the policies that the outer objective is about, as a function of ``meta``."""
        return self.initial(meta, n_tasks)

    def trust_region_step(self, meta: State, support: Sequence[Experience], query: Experience) -> Step:
        """Raise the mean surrogate of the adapted policies on ``query`` within the bound of their KL divergence.

        Args:
            meta: what is learned.
            support: what adaptation learned from, step by step.
            query: what the adapted policies did.
        """
        n_tasks = len(query)
        parts = _parts(n_tasks, query.observations.shape[1])

        def sums(values: State, rows: slice, differentiable: bool) -> tuple[Tensor, Tensor]:
            seen = query[rows]
            weights = self.adapted(values, [step[rows] for step in support], len(seen), differentiable)
            surrogates, divergences = ratio_surrogates(self.net, weights, seen)
            return surrogates.sum(), divergences.sum()

        def objective(values: State) -> tuple[Tensor, Tensor]:
            totals = [torch.stack(sums(values, rows, differentiable=False)) for rows in parts]
            surrogate, divergence = torch.stack(totals).sum(dim=0) / n_tasks
            return surrogate, divergence

        def with_gradient(rows: slice) -> tuple[Tensor, Tensor]:
            values = leaves(meta)
            both = sums(values, rows, differentiable=True)
            slope = flat(torch.autograd.grad(both[0], list(values.values()), materialize_grads=True))
            return torch.stack(both).detach(), slope

        products = self._fisher_products(meta, support, query)
        totals, slopes = zip(*(with_gradient(rows) for rows in parts), strict=True)
        before, _ = torch.stack(totals).sum(dim=0) / n_tasks
        gradient = torch.stack(slopes).sum(dim=0) / n_tasks

        def fisher(vector: Tensor) -> Tensor:
            return torch.stack([product(vector) for product in products]).sum(dim=0) / n_tasks

        return trpo_step(meta, objective, fisher, float(before), gradient, self.hparams.region)

    def _fisher_products(self, meta: State, support: Sequence[Experience], query: Experience) -> list[Product]:
        """Return the products with the Hessians of the KL divergence, summed over a part of the tasks each."""
        n = self.hparams.fisher_trajectories
        used = [seen if n is None else seen.first(n) for seen in (*support, query)]

        def product_of(rows: slice) -> Product:
            *before, last = [seen[rows] for seen in used]

            def divergence(values: State) -> Tensor:
                weights = self.adapted(values, before, len(last), differentiable=True)
                return self_divergences(self.net, weights, last).sum()

            return hessian_product(divergence, meta)

        return [product_of(rows) for rows in _parts(len(query), used[-1].observations.shape[1])]


def _parts(n_tasks: int, n_steps: int) -> list[slice]:
    """Return slices of tasks of ``n_steps`` steps each; the memory that they take does not change the result."""
    at_once = max(1, STEPS_AT_ONCE // n_steps)
    return [slice(start, start + at_once) for start in range(0, n_tasks, at_once)]
