"""How one task's function is applied to T tasks, each with weights of its own. No algorithm knows which way it is.

- ``loop``: one task after another; the reference that every other engine is tested against.
- ``fused``: Conv4 written for stacks of tasks and for CPUs (``algorithms.engines.fused``), as many tasks at once as the
  cache holds.
- ``vmap``: ``torch.func.vmap`` over the tasks; the quickest for convolutions on a GPU.
- ``stacked``: the function itself, for networks that are written for stacks of tasks too (the MLP).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from algorithms.engines.fused.conv4 import FusedConv4
from algorithms.engines.mean_gradient import TaskLosses, mean_gradient
from algorithms.engines.names import ENGINES, EngineName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP
from algorithms.networks.network import Network, Statistics, Weights, forward
from datasets.core.episodes import Episodes

TaskFunction = Callable[..., Any]


def choose_engine(network: Network, device: torch.device) -> EngineName:
    """The quicker engine for this network on this device, by measurement."""
    if isinstance(network, MLP):
        return "stacked"
    if device.type != "cpu":
        return "vmap"
    return "fused" if isinstance(network, Conv4) else "loop"


def _unstack(argument: Tensor | Mapping[str, Tensor]) -> list[Any]:
    if isinstance(argument, Tensor):
        return _apart(argument)
    if not argument:
        raise ValueError("cannot tell how many tasks there are from an empty mapping")
    columns = [_apart(tensor) for tensor in argument.values()]
    return [dict(zip(argument, row, strict=True)) for row in zip(*columns, strict=True)]


def _restack(results: list[Any]) -> Any:
    first = results[0]
    if isinstance(first, Tensor):
        return _together(results)
    return {name: _together([result[name] for result in results]) for name in first}


def _apart(stacked: Tensor) -> list[Tensor]:
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


def check_engine(engine: EngineName, network: type) -> None:
    """Raises ValueError, in words, where nothing of that kind of network is written for the engine."""
    only: dict[str, type] = {"stacked": MLP, "fused": Conv4}
    if not issubclass(network, only.get(engine, object)):
        others = [name for name in ENGINES if issubclass(network, only.get(name, object))]
        raise ValueError(
            f"engine '{engine}' is written for {only[engine].__name__}, not for {network.__name__}; "
            f"use one of: {', '.join(others)}"
        )


class TaskNetwork:
    """A network lifted to T tasks.

    Attributes:
        network: the network for one task.
        engine: how tasks are mapped.
    """

    def __init__(self, network: Network, engine: EngineName) -> None:
        check_engine(engine, type(network))
        self.network = network
        self.engine = engine
        self._fused = FusedConv4(network) if engine == "fused" and isinstance(network, Conv4) else None
        used: Network = self._fused or network
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
        """How many tasks of ``n_images`` images a gradient had best keep in memory together."""
        if self._fused is not None:
            return self._fused.tasks_at_once(n_images)
        return 1 if self.engine == "loop" else 256

    def mean_gradient(
        self, losses: TaskLosses, meta: Mapping[str, Tensor], episodes: Episodes
    ) -> tuple[dict[str, Tensor], float]:
        """Return the gradient by ``meta`` of the mean over tasks of ``losses(meta, episodes)``, and that mean.

        ``losses`` is called with parts of the episodes, on several threads where PyTorch has several, and returns one
        loss [T] for each episode of the part.
        """
        return mean_gradient(losses, meta, episodes, self.tasks_at_once)

    def __call__(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[T, B, n_outputs] from weights [T, ...] and x [T, B, *input_shape]."""
        out = self._forward_with(weights, x, statistics) if statistics else self._forward(weights, x)
        assert isinstance(out, Tensor)
        return out

    def features(self, weights: Weights, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """[T, B, n_features] from weights [T, ...] and x [T, B, *input_shape]."""
        out = self._features_with(weights, x, statistics) if statistics else self._features(weights, x)
        assert isinstance(out, Tensor)
        return out

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Each normalisation layer's mean and variance [T, channels] on x; empty where there is no such layer."""
        if not self.network.norm_layers:
            return {}
        return dict(self._statistics(weights, x))
