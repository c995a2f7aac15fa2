"""One policy for all tasks, and its bounds: the comparisons of Finn et al. 2017 (arXiv 1703.03400, section 5.3).

``pretrained`` is trained on all tasks at once and then fine-tuned by policy gradients; ``oracle-policy`` is told the
task's parameters, such as the goal, and is not adapted; ``scratch-policy`` is a random initialization, fine-tuned.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, TypeVar

from algorithms.control.algorithm import (
    ControlAlgorithm,
    ControlHyperParameters,
    TrustRegionAlgorithm,
    TrustRegionHyperParameters,
)
from algorithms.control.rollouts import Experience, joined
from algorithms.core.algorithm import Metrics
from algorithms.core.entry import register
from algorithms.core.hyperparameters import Needs, hyper
from algorithms.core.meta_state import State
from algorithms.networks.network import Weights
from datasets.core.control import ControlEpisodes, Tasks

NOT_ADAPTED = Needs(never="the policy is not adapted")


class PretrainedHyperParameters(TrustRegionHyperParameters):
    """Settings of one policy for all tasks."""

    def fewest_trajectories(self, n_shot: int, n_query: int) -> int:
        """Return the number of all of a task's trajectories, which make one sample."""
        return n_shot + n_query


class OracleHyperParameters(PretrainedHyperParameters):
    """Settings of the policy that is told the task."""

    inner_lr: float = hyper(0.1, "without effect", "section 5.3: not adapted", needs=NOT_ADAPTED, gt=0)
    test_steps: int = hyper(
        0, "inner steps at test time: none", "section 5.3: not adapted", needs=NOT_ADAPTED, ge=0, le=0
    )
    later_steps: float = hyper(0.5, "without effect", "section 5.3: not adapted", needs=NOT_ADAPTED, gt=0)


P = TypeVar("P", bound=PretrainedHyperParameters)


class OnePolicy(TrustRegionAlgorithm[P]):
    """Raise the return of one policy over all tasks by trust-region policy optimization."""

    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        """Take one step on the trajectories of all tasks, those of the support and of the query noise."""
        meta = self.learned_part(state)
        weights = self.initial(meta, len(batch))
        seen: Experience = joined(self.act(weights, batch.support, 0), self.act(weights, batch.query, 0))
        taken = self.trust_region_step(meta, [], seen)
        return taken.parameters, {"loss": -float(seen.returns.mean()), "kl": taken.divergence}


@register(
    "pretrained",
    hparams=PretrainedHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.3",
    summary="control: one policy for all tasks by TRPO, then fine-tuned",
    kinds=("control",),
)
class PretrainedPolicy(OnePolicy[PretrainedHyperParameters]):
    """One policy, trained on all tasks and fine-tuned on a new one."""


@register(
    "oracle-policy",
    hparams=OracleHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.3",
    summary="control: one policy that is told the task",
    kinds=("control",),
    bound="ceiling",
)
class OraclePolicy(OnePolicy[OracleHyperParameters]):
    """One policy that sees the parameters of its task. The ceiling."""

    told: ClassVar[bool] = True

    def adapt(self, state: State, support: Tasks, n_steps: int) -> Iterator[tuple[int, Weights]]:  # type: ignore[override]
        """Yield the trained policy."""
        yield 0, self.initial(state, len(support))


@register(
    "scratch-policy",
    hparams=ControlHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.3",
    summary="control: fine-tune a random policy",
    kinds=("control",),
    bound="floor",
)
class ScratchPolicy(ControlAlgorithm[ControlHyperParameters]):
    """A random policy, fine-tuned on a new task. The floor."""

    trains: ClassVar[bool] = False

    @property
    def train_trajectories(self) -> int:
        return self.problem.shape.n_query

    def outer_step(self, state: State, batch: ControlEpisodes) -> tuple[State, Metrics]:
        """Nothing is learned; the loss is minus the return of the random policy."""
        seen = self.act(self.initial(state, len(batch)), batch.query, 0)
        return state, {"loss": -float(seen.returns.mean())}
