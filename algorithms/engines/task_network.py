"""Apply one task's function to T tasks, each with weights of its own. Algorithms do not depend on how it is done:

- ``loop``: one task after another; the reference that every other engine is tested against.
- ``fused``: Conv4 written for stacks of tasks and for CPUs (``algorithms.engines.fused``), as many tasks at once as the
  cache holds.
- ``vmap``: ``torch.func.vmap`` over the tasks; the quickest for convolutions on a GPU.
- ``stacked``: the function itself, for networks that are written for stacks of tasks too (the MLP); the gradient
  through gradient descent in closed form (``algorithms.engines.stacked``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.engines.descent import Descent
from algorithms.engines.fused.conv4 import FusedConv4
from algorithms.engines.fused_adam import AdamSettings
from algorithms.engines.mean_gradient import TaskLosses, mean_gradient
from algorithms.engines.names import ENGINES, EngineName, PrecisionName
from algorithms.engines.precision import BF16Network, check_precision, check_processor, in_precision
from algorithms.engines.stacked.adam_steps import AdamInTurn
from algorithms.engines.stacked.meta_gradient import ClosedForm
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network, Role, Statistics, Weights, apply_head, forward
from datasets.core.episodes import Episodes, Kind
from datasets.core.printable import first_line_of
from datasets.core.randomness import Int64Array, key_of

TaskFunction = Callable[..., Any]


@dataclass(frozen=True)
class EngineChoice:
    """An engine, and why it is used."""

    name: EngineName
    reason: str


def choose_engine(network: Network, device: torch.device) -> EngineName:
    """Return the quicker engine for this network on this device, by measurement; ``loop`` where no other can."""
    return engine_choice(network, device).name


def engine_choice(network: Network, device: torch.device) -> EngineChoice:
    """Return the engine that ``choose_engine`` returns, with the reason.

    What is quicker was measured (docs/speed.md). It is not measured anew, so that the same cell gives the same bytes.
    """
    if isinstance(network, MLP):
        return EngineChoice("stacked", "the quicker one for an MLP")
    if device.type == "cpu":
        if isinstance(network, Conv4):
            return EngineChoice("fused", "the quicker one for a Conv4 on a CPU")
        return EngineChoice("loop", "the quicker one for a module on a CPU")
    if reason := reason_against_vmap(network):
        return EngineChoice("loop", f"vmap cannot map the network: {reason}")
    return EngineChoice("vmap", "the quicker one on a GPU; a trial shows that it can map the network")


def reason_against_vmap(network: Network) -> str | None:
    """Return why ``torch.func.vmap`` cannot map the network over tasks, by a trial; None where it can."""
    if not isinstance(network, ModuleNetwork):
        return None
    weights = {name: torch.stack([value, value]) for name, value in network.init(torch.Generator()).items()}
    x = network.made_up(2 * 3, torch.Generator().manual_seed(0)).reshape(2, 3, *network.input_shape)
    try:
        with torch.no_grad():
            together = torch.func.vmap(lambda w, part: network.features(w, part))(weights, x)
        alone = network.features({name: value[1] for name, value in weights.items()}, x[1])
    except Exception as error:  # whatever a stranger's module raises
        return f"{type(error).__name__}: {first_line_of(error)}"
    same = torch.allclose(together[1], alone, rtol=1e-3, atol=1e-4)
    return None if same else "its features are others than those of one task alone"


def _unstack(argument: Tensor | Mapping[str, Tensor]) -> list[Any]:
    if isinstance(argument, Tensor):
        return _unstacked(argument)
    if not argument:
        raise ValueError("cannot tell how many tasks there are from an empty mapping")
    columns = [_unstacked(tensor) for tensor in argument.values()]
    return [dict(zip(argument, row, strict=True)) for row in zip(*columns, strict=True)]


def _restack(results: list[Any]) -> Any:
    first = results[0]
    if isinstance(first, Tensor):
        return _together(results)
    return {name: _together([result[name] for result in results]) for name in first}


def _unstacked(stacked: Tensor) -> list[Tensor]:
    """The tasks' parts; for one task a view, whose gradient is a view too and copies nothing."""
    return [stacked.squeeze(0)] if len(stacked) == 1 else list(stacked.unbind(0))


def _together(parts: list[Tensor]) -> Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)


def over_tasks(function: TaskFunction, engine: EngineName) -> TaskFunction:
    """``function`` of tensors and flat mappings of one task, applied to stacks [T, ...] of them."""

    def loop(*stacked: Tensor | Mapping[str, Tensor]) -> Any:
        return _restack([function(*task) for task in zip(*map(_unstack, stacked), strict=True)])

    if engine == "loop":
        return loop
    if engine in ("stacked", "fused"):
        return function
    mapped = torch.func.vmap(function)

    def vmap(*stacked: Tensor | Mapping[str, Tensor]) -> Any:
        first = stacked[-1] if isinstance(stacked[-1], Tensor) else next(iter(stacked[-1].values()))
        return loop(*stacked) if len(first) == 1 else mapped(*stacked)  # for one task, vmap is only overhead

    return vmap


def check_engine(engine: EngineName, network: Network) -> None:
    """Raise ValueError, in words, where the engine is not for that network."""
    only: dict[str, type] = {"stacked": MLP, "fused": Conv4}
    if not isinstance(network, only.get(engine, object)):
        usable = [name for name in ENGINES if isinstance(network, only.get(name, object))]
        raise ValueError(
            f"engine '{engine}' is written for {only[engine].__name__}, not for {type(network).__name__}; "
            f"use one of: {', '.join(usable)}"
        )
    if engine == "vmap" and (reason := reason_against_vmap(network)) is not None:
        raise ValueError(f"engine 'vmap' cannot map {network!r} over tasks ({reason}); use engine 'loop'")


class TaskNetwork:
    """A network lifted to T tasks.

    Attributes:
        network: the network for one task.
        engine: how tasks are mapped.
        precision: of the network's body; None for float32.

    Raises:
        ValueError: the engine is not for that network.
        UserError: the precision is not for that engine, network, device or processor.
    """

    def __init__(
        self,
        network: Network,
        engine: EngineName,
        precision: PrecisionName | None = None,
        device: torch.device | None = None,
    ) -> None:
        check_engine(engine, network)
        check_precision(precision, engine, network, device or torch.device("cpu"))
        check_processor(precision)
        self.network = network
        self.engine = engine
        self.precision = precision
        self._fused = FusedConv4(network) if engine == "fused" and isinstance(network, Conv4) else None
        self._closed_form = ClosedForm(network) if engine == "stacked" and type(network) is MLP else None
        self._adam_steps = AdamInTurn(network) if engine == "stacked" and type(network) is MLP else None
        used: Network = self._fused or in_precision(network, precision)
        self._used = used
        self._forward = over_tasks(lambda w, x: forward(used, w, x), engine)
        self._forward_with = over_tasks(lambda w, x, s: forward(used, w, x, s), engine)
        self._features = over_tasks(lambda w, x: used.features(w, x), engine)
        self._features_with = over_tasks(lambda w, x, s: used.features(w, x, s), engine)
        self._statistics = over_tasks(used.statistics, engine)

    def stack(self, weights: Weights, n_tasks: int) -> dict[str, Tensor]:
        """The same weights for each of ``n_tasks`` tasks: [n_tasks, ...] views whose gradients sum over tasks."""
        if self._fused is not None:
            return self._fused.stack(weights, n_tasks)
        return {name: value.expand(n_tasks, *value.shape) for name, value in weights.items()}

    def tasks_at_once(self, n_images: int) -> int:
        """Return how many tasks of ``n_images`` images a gradient had best keep in memory together."""
        if self._fused is not None:
            return self._fused.tasks_at_once(n_images)
        return 1 if self.engine == "loop" else 256

    def mean_gradient(
        self, losses: TaskLosses, meta: Mapping[str, Tensor], episodes: Episodes
    ) -> tuple[dict[str, Tensor], float]:
        """Return the gradient of the mean task loss with respect to ``meta``, and that mean.

        ``losses`` is called with parts of the episodes, on several threads where PyTorch has several, and returns one
        loss [T] for each episode of the part.
        """
        return mean_gradient(losses, meta, episodes, self.tasks_at_once)

    def descent_gradient(self, descent: Descent, episodes: Episodes) -> tuple[dict[str, Tensor], float] | None:
        """Return the gradient of the mean query loss after ``descent``, and that loss; None without a closed form.

        The gradient is by ``weights/<name>``, and by ``rates/<name>`` where the rates are learned.
        """
        if self._closed_form is None or episodes.query_x.device.type != "cpu":
            return None
        return self._closed_form.mean_gradient(descent, episodes)

    def has_adam_steps(self, device: torch.device) -> bool:
        """Return whether ``adam_steps`` is there for tensors on that device."""
        return self._adam_steps is not None and device.type == "cpu"

    def adam_steps(
        self, adam: AdamSettings, start: Weights, moments: Weights, x: Tensor, y: Tensor, kind: Kind
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
        """Adapt from ``start`` to one task after another by Adam; see ``stacked.adam_steps.AdamSteps.run``."""
        assert self._adam_steps is not None
        return self._adam_steps.run(adam, start, moments, x, y, kind)

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``: ``body``, ``norm`` or ``head``."""
        return self.network.role(name)

    @property
    def draws(self) -> bool:
        """Return whether the network draws in training, as dropout does."""
        return isinstance(self.network, ModuleNetwork) and self.network.draws

    def dropout_seeds(self, seeds: Int64Array | Sequence[int], step: int) -> list[int] | None:
        """Return the seeds of what each of T tasks draws in a training pass; None where the network draws nothing.

        Args:
            seeds: [T] of the tasks, such as ``support.seeds``.
            step: which pass of the task it is.
        """
        if not self.draws:
            return None
        return [int(key_of("dropout", int(seed), step)) >> 1 for seed in seeds]

    def __call__(
        self,
        weights: Weights,
        x: Tensor,
        statistics: Statistics | None = None,
        dropout: Sequence[int] | None = None,
    ) -> Tensor:
        """Return [T, B, n_outputs] from weights [T, ...] and x [T, B, *input_shape].

        Args:
            weights: of the T tasks.
            x: the examples of each.
            statistics: what batch norm normalizes by; None for each batch's own.
            dropout: the seeds of a pass in training mode, from ``dropout``; None for evaluation mode.
        """
        if dropout is not None:
            return apply_head(weights, self._drawing(weights, x, dropout))
        out = self._forward_with(weights, x, statistics) if statistics else self._forward(weights, x)
        assert isinstance(out, Tensor)
        return out

    def features(
        self,
        weights: Weights,
        x: Tensor,
        statistics: Statistics | None = None,
        dropout: Sequence[int] | None = None,
    ) -> Tensor:
        """Return [T, B, n_features] from weights [T, ...] and x [T, B, *input_shape]; see ``__call__``."""
        if dropout is not None:
            return self._drawing(weights, x, dropout)
        out = self._features_with(weights, x, statistics) if statistics else self._features(weights, x)
        assert isinstance(out, Tensor)
        return out

    def _drawing(self, weights: Weights, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the features of a pass in training mode, one task after another: each draws from its own seed."""
        network = self._used
        assert isinstance(network, ModuleNetwork | BF16Network)
        tasks = zip(_unstack(weights), _unstack(x), seeds, strict=True)
        return _together([network.features(own, part, None, seed) for own, part, seed in tasks])

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return each batch-norm layer's mean and variance [T, channels] on x; empty where there is no such layer."""
        if not self.network.norm_layers:
            return {}
        return dict(self._statistics(weights, x))
