"""Model-agnostic meta-learning of policies (Finn et al. 2017, arXiv 1703.03400, algorithm 3), second and first order.

Adaptation is a step of the plain policy gradient, the outer step one of trust-region policy optimization, as in the
paper's section 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

from algorithms.control.algorithm import TrustRegionAlgorithm, TrustRegionHyperParameters
from algorithms.control.rollouts import Experience
from algorithms.control.surrogates import dice_surrogates
from algorithms.core.algorithm import Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import Range, hyper
from algorithms.core.meta_state import State
from algorithms.networks.network import Weights
from datasets.core.control import ControlEpisodes


class MAMLTRPOHyperParameters(TrustRegionHyperParameters):
    """MAML's settings for control."""

    train_steps: int = hyper(1, "inner steps in meta-training", "section 5.3", Range(1, 3), ge=1)
    estimator: Literal["likelihood", "dice"] = hyper(
        "likelihood",
        "surrogate of the inner gradient: log-likelihood times advantage, whose second derivative is biased, or DiCE",
        "likelihood in the authors' code (cbfinn/maml_rl); dice: Foerster et al. 2018, arXiv 1802.05098",
    )


M = TypeVar("M", bound=MAMLTRPOHyperParameters)


class PolicyThroughAdaptation(TrustRegionAlgorithm[M]):
    """Learn what adaptation starts from, by the objective of the adapted policies.

    ``outer_step`` is the body of algorithm 3's loop; the harness samples the tasks (line 3).
    """

    second_order: ClassVar[bool] = True

    @property
    def train_trajectories(self) -> int:
        return self.hparams.train_steps * self.problem.shape.n_shot + self.problem.shape.n_query

    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        """Take one outer step on a batch of tasks (lines 3-10)."""
        meta = self.learned_part(state)
        weights: Weights = self.initial(meta, len(batch))
        support: list[Experience] = []
        for step in range(self.hparams.train_steps):
            support.append(self.act(weights, batch.support, step))  # line 5: trajectories of theta
            weights = self.inner_step(meta, weights, support[-1])  # lines 6 and 7: theta'
        query = self.act(weights, batch.query, 0)  # line 8: trajectories of theta'
        taken = self.trust_region_step(meta, support, query)  # line 10
        return taken.parameters, {"loss": -float(query.returns.mean()), "kl": taken.divergence}

    def adapted(self, meta: State, support: Sequence[Experience], n_tasks: int, differentiable: bool) -> Weights:
        """Return theta' of each task after the steps on ``support``."""
        weights: Weights = self.initial(meta, n_tasks)
        for seen in support:
            weights = self.inner_step(meta, weights, seen, differentiable=differentiable and self.second_order)
        return weights

    def surrogates(self, weights: Weights, seen: Experience) -> Tensor:
        """Return [T] the objectives of the inner gradients; see ``estimator``."""
        if self.hparams.estimator == "dice":
            return dice_surrogates(self.net, weights, seen)
        return super().surrogates(weights, seen)


@register(
    "maml-trpo",
    hparams=MAMLTRPOHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.3",
    summary="control: learn an initial policy by the objective after a policy-gradient step, second order",
    kinds=("control",),
)
class MAMLTRPO(PolicyThroughAdaptation[MAMLTRPOHyperParameters]):
    """Learn an initial policy from which one or a few policy-gradient steps solve a new task."""


@register(
    "fomaml-trpo",
    hparams=MAMLTRPOHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.2",
    summary="control: maml-trpo without second derivatives",
    kinds=("control",),
)
class FOMAMLTRPO(MAMLTRPO):
    """First-order MAML: the inner gradient is taken for a constant."""

    second_order = False
