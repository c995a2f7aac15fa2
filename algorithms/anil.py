"""ANIL, almost no inner loop (Raghu, Raghu, Bengio and Vinyals 2020, arXiv 1909.09157): adapt the head alone.

The inner loop of MAML without the body: the features of the support set are computed once, a few gradient steps change
the linear head, and the outer gradient goes through both.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from algorithms.core.entry import register
from algorithms.core.hyperparameters import Needs, hyper
from algorithms.core.inner_loop import gradients, leaves, query_losses_at
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group
from algorithms.core.presets import TUNED_ON_TEXTS, Preset
from algorithms.maml import MAML, MAML_PRESETS, MAMLHyperParameters
from algorithms.networks.network import Weights, apply_head
from datasets.core.episodes import Episodes, Support

ANIL_PRESETS = (
    *MAML_PRESETS,  # the paper compares both with the same steps, rates and meta-batches (appendix B)
    Preset({"inner_lr": 1.9, "outer_lr": 0.0036, "later_steps": 0.22}, TUNED_ON_TEXTS, family="text"),
)


class ANILHyperParameters(MAMLHyperParameters):
    """MAML's settings; ``adapt_norm`` stays among them, so that stored cells keep their ids."""

    adapt_norm: bool = hyper(
        False,
        "no effect: the inner loop changes the head alone",
        "section 4, equation 1",
        needs=Needs(never="the inner loop changes the head alone"),
    )


@register(
    "anil",
    hparams=ANILHyperParameters,
    paper="Raghu et al. 2020, arXiv 1909.09157",
    summary="MAML whose inner loop changes the head alone",
    presets=ANIL_PRESETS,
)
class ANIL(MAML):
    """Learn features and a head of which the head alone takes the inner steps (section 4, equation 1)."""

    def query_losses(self, meta: State, tasks: Episodes) -> Tensor:
        """Return each task's query loss [T] after adaptation of the head on features that are computed once."""
        weights = self.net.stack(group(meta, "weights"), len(tasks))
        dropout = self.net.dropout_seeds(tasks.support.seeds, 1)
        features = self.net.features(weights, tasks.support.x, dropout=dropout)
        head: Weights = {name: value for name, value in weights.items() if self.is_adapted(name)}
        for step in range(1, self.hparams.train_steps + 1):
            head = self.head_step(head, features, tasks.support, step, training=True)
        return query_losses_at(self.net, {**weights, **head}, tasks, self.problem.kind)

    def head_step(
        self, head: Weights, features: Tensor, support: Support, step: int, training: bool
    ) -> dict[str, Tensor]:
        """Return the head [T, ...] after inner step ``step`` on support features [T, n, n_features]."""
        losses = task_losses(apply_head(head, features), support.y, self.problem.kind)
        losses = losses * (self.rate_factor(step, training) * self.loss_scale(support.n_way, 1))
        gradient = gradients(losses, head, create_graph=training)
        return {name: value - self.hparams.inner_lr * gradient[name] for name, value in head.items()}

    def is_adapted(self, name: str) -> bool:
        """Return whether the inner loop changes the weight called ``name``: those of the head."""
        return self.net.role(name) == "head"

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights = self.net.stack(group(state, "weights"), len(support))
        with torch.no_grad():
            features = self.net.features(weights, support.x)
        head: Weights = {name: value for name, value in weights.items() if self.is_adapted(name)}
        yield 0, weights
        for step in range(1, n_steps + 1):
            stepped = self.head_step(leaves(head), features, support, step, training=False)
            head = {name: value.detach() for name, value in stepped.items()}
            yield step, {**weights, **head}
