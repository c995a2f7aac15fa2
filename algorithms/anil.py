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
from algorithms.core.inner_loop import gradients, leaves
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group
from algorithms.maml import MAML, MAML_PRESETS, MAMLHyperParameters
from algorithms.networks.network import Weights, apply_head
from datasets.core.episodes import Episodes, Support

ANIL_PRESETS = MAML_PRESETS
"""The paper compares both with the same steps, rates and meta-batches (appendix B)."""


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

    def is_adapted(self, name: str) -> bool:
        """Whether the inner loop changes the weight called ``name``."""
        return name.startswith("head.")

    def _head_step(
        self, head: Weights, features: Tensor, support: Support, create_graph: bool, factor: float = 1.0
    ) -> dict[str, Tensor]:
        losses = task_losses(apply_head(head, features), support.y, self.problem.kind)
        gradient = gradients(losses * (factor * self._scale(support.n_way, 1)), head, create_graph)
        return {name: value - self.hparams.inner_lr * gradient[name] for name, value in head.items()}

    def _adapted(self, meta: State, episodes: Episodes) -> Weights:
        weights = self.net.stack(group(meta, "weights"), len(episodes))
        features = self.net.features(weights, episodes.support.x)
        head = {name: value for name, value in weights.items() if self.is_adapted(name)}
        for _ in range(self.hparams.train_steps):
            head = self._head_step(head, features, episodes.support, create_graph=True)
        return {**weights, **head}

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        weights = self.net.stack(group(state, "weights"), len(support))
        with torch.no_grad():
            features = self.net.features(weights, support.x)
        head: Weights = {name: value for name, value in weights.items() if self.is_adapted(name)}
        yield 0, weights
        for step in range(1, n_steps + 1):
            stepped = self._head_step(leaves(head), features, support, False, self._test_factor(step))
            head = {name: value.detach() for name, value in stepped.items()}
            yield step, {**weights, **head}
