"""Reptile for control: algorithm 2 of Nichol, Achiam and Schulman 2018 (arXiv 1803.02999) with policy-gradient steps.

The paper reports that Reptile did not work on reinforcement learning (section 7).
"""

from __future__ import annotations

import torch
from torch import Generator

from algorithms.control.algorithm import ControlAlgorithm, ControlHyperParameters
from algorithms.core.algorithm import Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import Range, hyper
from algorithms.core.meta_state import State, group, grouped
from algorithms.networks.network import Weights
from datasets.core.control import ControlEpisodes

CHOICE = "no published setting: this project's choice"


class ReptilePGHyperParameters(ControlHyperParameters):
    """Reptile's settings for control."""

    train_steps: int = hyper(
        2, "inner steps in meta-training", f"{CHOICE}; 2 act as often as MAML's one step and queries", Range(2, 5), ge=1
    )
    outer_step_size: float = hyper(
        1.0, "first outer step size", "Nichol et al. 2018, appendix A", Range(0.1, 1.0), gt=0
    )
    final_outer_step_size: float = hyper(
        0.0, "outer step size after the last outer step", "Nichol et al. 2018, appendix A", ge=0
    )


@register(
    "reptile-pg",
    hparams=ReptilePGHyperParameters,
    paper="Nichol et al. 2018, arXiv 1803.02999",
    summary="control: move the initial policy towards each task's adapted policy",
    kinds=("control",),
)
class ReptilePG(ControlAlgorithm[ReptilePGHyperParameters]):
    """Move the initial policy towards the policies that a few steps on a task lead to."""

    @property
    def train_trajectories(self) -> int:
        return self.hparams.train_steps * self.problem.shape.n_shot

    def init(self, weights: Weights, generator: Generator) -> State:
        return grouped(weights=weights, progress={"outer": torch.zeros(())})

    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        """Take one step towards the mean of the adapted policies: theta += step size * mean of (adapted - theta)."""
        hparams, start = self.hparams, group(state, "weights")
        weights: Weights = self.initial(state, len(batch))
        for step in range(hparams.train_steps):
            seen = self.act(weights, batch.support, step)
            weights = self.inner_step(state, weights, seen)
        outer_steps = state["progress/outer"]
        fraction = float(outer_steps) / self.problem.n_outer if self.problem.n_outer else 0.0
        step_size = hparams.outer_step_size + fraction * (hparams.final_outer_step_size - hparams.outer_step_size)
        moved = {name: start[name] + step_size * (weights[name].mean(dim=0) - start[name]) for name in start}
        return grouped(weights=moved, progress={"outer": outer_steps + 1}), {"loss": -float(seen.returns.mean())}
