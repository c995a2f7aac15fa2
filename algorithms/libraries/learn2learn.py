"""MAML, first-order MAML and Meta-SGD through learn2learn 0.2.0: the same episodes and initial weights, its inner loop.

The library wraps a module and gives ``clone`` and ``adapt``; the outer update is ours, so that a difference in a result
is a difference in what the library does, and a difference in time is its way of doing it.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.core.entry import register
from algorithms.core.inner_loop import leaves
from algorithms.core.losses import task_losses
from algorithms.core.meta_state import State, group
from algorithms.maml import FOMAML, MAML, MAML_PRESETS, G, GradientThroughAdaptation, MAMLHyperParameters
from algorithms.meta_sgd import META_SGD_PRESETS, MetaSGD, MetaSGDHyperParameters
from algorithms.networks.network import Network, Weights, forward
from datasets import UserError
from datasets.core.episodes import Episodes, Support

INSTALL = 'learn2learn is not installed; to run this row: uv pip install -e ".[learn2learn]"'


def reason_to_skip() -> str | None:
    """Return what to install where the library is missing; None where it is there."""
    return None if find_spec("learn2learn") else INSTALL


class NetworkModule(nn.Module):
    """A network of ours as the module that the library wraps.

    Args:
        network: the network.
        adapted: the weights that the inner loop changes, which become the module's parameters.
        shared: the other weights, the same for every clone.
    """

    def __init__(self, network: Network, adapted: Weights, shared: Weights) -> None:
        super().__init__()
        self._network, self._shared = network, shared
        self._names = {f"weight{i}": name for i, name in enumerate(adapted)}  # a parameter's name has no dots
        for key, name in self._names.items():
            self.register_parameter(key, nn.Parameter(adapted[name].detach().clone()))

    def weights(self) -> dict[str, Tensor]:
        """All weights of the network, in this clone."""
        own = dict(self.named_parameters())
        return {**self._shared, **{name: own[key] for key, name in self._names.items()}}

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_outputs] from x [B, *input_shape]."""
        return forward(self._network, self.weights(), x)


def _rate_names(meta: State) -> list[str]:
    """Return the names of the rates in the order of the adapted weights, by which the library pairs them."""
    names = (f"rates/{name}" for name in group(meta, "weights"))
    return [name for name in names if name in meta]


class _ThroughLibrary(GradientThroughAdaptation[G]):
    """Base of the library's three algorithms: the loops of its examples, over one task after another."""

    def _learner(self, meta: State) -> tuple[Any, dict[str, Tensor]]:
        """Return the library's wrapper of the network, and the leaves whose gradients are the outer gradient."""
        if self.net.draws:
            raise UserError(f"learn2learn cannot draw dropout from a task's seed; give {self.net.network!r} none")
        if self.checkpoint_steps:
            raise UserError("learn2learn keeps the graph of its inner steps; leave out train.checkpoint_steps for it")
        if self.net.precision is not None:
            raise UserError("learn2learn gets the network in float32; leave out the precision for it")
        weights = group(meta, "weights")
        shared = leaves({name: value for name, value in weights.items() if not self.is_adapted(name)})
        module = NetworkModule(self.net.network, {n: v for n, v in weights.items() if n not in shared}, shared)
        return self._wrapped(meta, module), {f"weights/{name}": value for name, value in module.weights().items()}

    @abstractmethod
    def _wrapped(self, meta: State, module: NetworkModule) -> Any:
        """The library's wrapper of ``module``."""

    def _loss(self, learner: Any, x: Tensor, y: Tensor) -> Tensor:
        return task_losses(learner(x)[None], y[None], self.problem.kind)[0]

    def _adapt_once(self, learner: Any, support: Support, t: int, first_order: bool, factor: float = 1.0) -> None:
        loss = self._loss(learner, support.x[t], support.y[t]) * (factor * self.loss_scale(support.n_way, 1))
        with warnings.catch_warnings():  # its MetaSGD keeps gradients in .grad of tensors that are no leaves
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
            learner.adapt(loss, first_order=first_order)

    def meta_gradient(self, state: State, episodes: Episodes) -> tuple[dict[str, Tensor], float]:
        """Return the outer gradient, by the names of the state, and the mean query loss."""
        meta = self.learned_part(state)
        wrapper, ends = self._learner(meta)
        if "rates" in self.learned:
            ends |= dict(zip(_rate_names(meta), wrapper.lrs, strict=True))
        total = 0.0
        for t in range(len(episodes)):
            learner = wrapper.clone()
            for _ in range(self.hparams.train_steps):
                self._adapt_once(learner, episodes.support, t, first_order=not self.second_order)
            loss = self._loss(learner, episodes.query_x[t], episodes.query_y[t])
            torch.autograd.backward([loss])
            total += float(loss.detach())
        scale = self.loss_scale(episodes.query_x.shape[1], episodes.support.x.shape[1] // episodes.support.n_way)
        gradients = {name: (torch.zeros_like(end) if end.grad is None else end.grad) for name, end in ends.items()}
        return {name: scale * gradients[name] / len(episodes) for name in meta}, total / len(episodes)

    def adapt(self, state: State, support: Support, n_steps: int) -> Iterator[tuple[int, Weights]]:
        """As the contract says; each task has a clone of its own."""
        wrapper, _ = self._learner(self.learned_part(state))
        learners = [wrapper.clone() for _ in range(len(support))]
        for step in range(n_steps + 1):
            if step:
                for t, learner in enumerate(learners):
                    self._adapt_once(
                        learner, support, t, first_order=True, factor=self.rate_factor(step, training=False)
                    )
                    for key, value in learner.module._parameters.items():
                        learner.module._parameters[key] = value.detach().requires_grad_()
            adapted = [learner.module.weights() for learner in learners]
            yield step, {name: torch.stack([task[name].detach() for task in adapted]) for name in adapted[0]}


@register(
    "maml@learn2learn",
    hparams=MAMLHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400; library: Arnold et al. 2020, arXiv 2008.12284",
    summary="MAML through learn2learn 0.2.0's inner loop",
    presets=MAML_PRESETS,
    missing=reason_to_skip,
)
class Learn2LearnMAML(_ThroughLibrary[MAMLHyperParameters], MAML):
    """``learn2learn.algorithms.MAML``."""

    def _wrapped(self, meta: State, module: NetworkModule) -> Any:
        from learn2learn.algorithms import MAML as Library  # noqa: N811 - the library names it so

        return Library(module, lr=self.hparams.inner_lr, first_order=not self.second_order)


@register(
    "fomaml@learn2learn",
    hparams=MAMLHyperParameters,
    paper="Finn et al. 2017, arXiv 1703.03400, section 5.2; library: Arnold et al. 2020, arXiv 2008.12284",
    summary="first-order MAML through learn2learn 0.2.0's inner loop",
    presets=MAML_PRESETS,
    missing=reason_to_skip,
)
class Learn2LearnFOMAML(Learn2LearnMAML, FOMAML):
    """``learn2learn.algorithms.MAML(first_order=True)``."""


@register(
    "meta-sgd@learn2learn",
    hparams=MetaSGDHyperParameters,
    paper="Li et al. 2017, arXiv 1707.09835; library: Arnold et al. 2020, arXiv 2008.12284",
    summary="Meta-SGD through learn2learn 0.2.0's inner loop",
    presets=META_SGD_PRESETS,
    missing=reason_to_skip,
)
class Learn2LearnMetaSGD(_ThroughLibrary[MetaSGDHyperParameters], MetaSGD):
    """``learn2learn.algorithms.MetaSGD``, with the rates that our ``meta-sgd`` starts from."""

    def _wrapped(self, meta: State, module: NetworkModule) -> Any:
        from learn2learn.algorithms import MetaSGD as Library

        return Library(module, lrs=nn.ParameterList([nn.Parameter(meta[name]) for name in _rate_names(meta)]))
