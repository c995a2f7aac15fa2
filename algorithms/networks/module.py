"""Any ``nn.Module`` as a network: a backbone ``x -> features [B, F]`` applied with weights that are given to it.

The module is made anew from its constructor where weights are drawn, and once for each thread as a skeleton whose
parameters are replaced at every call (``torch.func.functional_call``), so that nothing is kept between calls:

- Batch norm normalizes by the batch, or by statistics that are given; running averages are neither kept nor used.
- Buffers are constants. A module that changes one is refused.
- Random numbers of a module in training mode, such as dropout's, are drawn from a seed that is given with the call;
  without a seed the module is in evaluation mode.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from algorithms.networks.attention import plain_attention
from algorithms.networks.network import Role, Statistics, Weights, channel_statistics, init_head
from algorithms.networks.options import HeadInit
from datasets.core.errors import UserError
from datasets.core.printable import first_line_of

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
TRIAL_EXAMPLES = 3
_RANDOM = threading.RLock()  # PyTorch's own generator is one for all threads


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Around a call whose draws from PyTorch's own generator come from ``seed``; None for no draws at all."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with _RANDOM, torch.random.fork_rng(devices=devices, enabled=True):
        torch.manual_seed(seed)
        yield


class TaskBatchNorm(nn.Module):
    """Batch norm by the batch's statistics, or by given ones; its parameters are those of the layer it replaces.

    Attributes:
        statistics: those to normalize by; None for the batch's own.
        recorded: where the batch's statistics are written; None where they are not wanted.
    """

    def __init__(self, layer: _BatchNorm, name: str) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._eps, self._name, self._calls = layer.eps, name, 0
        self.statistics: Statistics | None = None
        self.recorded: dict[str, Tensor] | None = None

    def begin(self, statistics: Statistics | None, recorded: dict[str, Tensor] | None) -> None:
        """Prepare for one pass through the whole module."""
        self.statistics, self.recorded, self._calls = statistics, recorded, 0

    def forward(self, x: Tensor) -> Tensor:
        """Return x [B, channels, ...] normalized for each channel."""
        self._calls += 1
        name = self._name if self._calls == 1 else f"{self._name}#{self._calls}"  # a layer that is used again
        if self.recorded is not None:
            self.recorded[f"{name}.mean"], self.recorded[f"{name}.var"] = channel_statistics(x)
        mean, var = (
            (self.statistics[f"{name}.mean"], self.statistics[f"{name}.var"]) if self.statistics else (None, None)
        )
        return F.batch_norm(x, mean, var, self.weight, self.bias, training=mean is None, eps=self._eps)


class _Backbone(nn.Module):
    """A wrapper that gives all names in a module a common prefix, so that none can be a name of the head."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Any:
        return self.backbone(x)


class ModuleNetwork:
    """A backbone of any kind with a linear head, as a pure function of its weights, for one task.

    Weights are called ``backbone.<name in the module>``, ``head.weight`` and ``head.bias``.

    Args:
        make: makes the backbone, ``x [B, *input_shape] -> features [B, F]``, with fresh weights.
        input_shape: of one example.
        n_outputs: size of the head.
        head_init: how the head's weights are drawn; see ``Conv4``.
        label: what messages call the network.
        n_tokens: the inputs are token ids below it, int64; None for floating-point numbers.

    Raises:
        UserError: the module cannot be used; one line says why.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        input_shape: tuple[int, ...],
        n_outputs: int,
        head_init: HeadInit = "small",
        label: str = "the module",
        n_tokens: int | None = None,
    ) -> None:
        self.label, self.input_shape, self.n_outputs = label, tuple(input_shape), n_outputs
        self.n_tokens = n_tokens
        self._make, self._head_init = make, head_init
        self._skeletons = threading.local()
        first = self._fresh(0)
        self._refuse_unusual(first)
        self._parameters = [name for name, _ in first.named_parameters()]
        skeleton = self._skeleton(training=False)
        self._buffers = {name: value.clone() for name, value in skeleton.named_buffers()}
        self._roles = _roles(skeleton)
        self.norm_layers: tuple[str, ...] = ()
        self.n_features = 0
        self._try(dict(first.named_parameters()))

    def __repr__(self) -> str:
        return f"ModuleNetwork({self.label})"

    def role(self, name: str) -> Role:
        """Return the role of the weight called ``name``."""
        return "head" if name.startswith("head.") else self._roles[name]

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Return fresh weights: the module's as its constructor draws them, the head's by ``head_init``."""
        seed = int(torch.randint(2**62, (), generator=generator))
        drawn = {name: value.detach().clone() for name, value in self._fresh(seed).named_parameters()}
        return drawn | init_head(self.n_outputs, self.n_features, generator, self._head_init)

    def fresh_backbone(self) -> nn.Module:
        """Return the backbone as its constructor makes it, with weights and running averages of its own."""
        backbone = self._fresh(0).backbone
        assert isinstance(backbone, nn.Module)
        return backbone

    def features(
        self, weights: Weights, x: Tensor, statistics: Statistics | None = None, seed: int | None = None
    ) -> Tensor:
        """Return [B, n_features] from x [B, *input_shape].

        Args:
            weights: of the network; those of the head are not looked at.
            x: the examples.
            statistics: what batch norm normalizes by; None for the batch's own.
            seed: of what the module draws in training mode; None for evaluation mode.
        """
        out = self._pass(weights, x, statistics, None, seed)
        assert isinstance(out, Tensor)
        return out

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return each batch-norm layer's mean and biased variance [channels] on x."""
        recorded: dict[str, Tensor] = {}
        self._pass(weights, x, None, recorded, None)
        return recorded

    def _pass(
        self,
        weights: Weights,
        x: Tensor,
        statistics: Statistics | None,
        recorded: dict[str, Tensor] | None,
        seed: int | None,
    ) -> Any:
        skeleton = self._skeleton(training=seed is not None)
        norms = [layer for layer in skeleton.modules() if isinstance(layer, TaskBatchNorm)]
        values = self._values(weights, x)
        for norm in norms:
            norm.begin(statistics, recorded)
        try:
            with _seeded(seed, x.device), plain_attention():
                return functional_call(skeleton, values, (x,))
        finally:
            for norm in norms:
                norm.begin(None, None)

    def _values(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return the module's parameters and buffers by name."""
        values = {name: weights[name] for name in self._parameters}
        dtype = next((value.dtype for value in values.values()), torch.get_default_dtype())
        like = torch.empty((), dtype=x.dtype if x.is_floating_point() else dtype, device=x.device)
        return values | {name: _like(value, like) for name, value in self._buffers.items()}

    def _draws_in_training(self, weights: Weights, x: Tensor) -> bool:
        """Return whether a training pass draws from PyTorch's own generator, whatever comes of it."""
        with _seeded(1, x.device), plain_attention():
            before = torch.get_rng_state()
            functional_call(self._skeleton(training=True), self._values(weights, x), (x,))
            return not torch.equal(before, torch.get_rng_state())

    def _fresh(self, seed: int) -> nn.Module:
        """Return the module as its constructor makes it under this seed."""
        with _seeded(seed, torch.device("cpu")):
            made = self._make()
            if not isinstance(made, nn.Module):
                raise UserError(f"{self.label} gives a {type(made).__name__}, but must give an nn.Module")
            module = _Backbone(made)
            if any(isinstance(value, nn.UninitializedParameter) for value in module.parameters()):
                module(self.made_up(TRIAL_EXAMPLES))  # a lazy layer has its shape from an input
        return module

    def _skeleton(self, training: bool) -> nn.Module:
        """Return this thread's module without weights, in training or in evaluation mode."""
        kept: dict[Any, nn.Module] = self._skeletons.__dict__
        if training not in kept:
            kept[training] = _emptied(self._fresh(0)).train(training)
        return kept[training]

    def made_up(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n made-up examples [n, *input_shape]: normal numbers, or token ids; zeros without a generator."""
        shape = (n, *self.input_shape)
        if generator is None:
            return torch.zeros(shape, dtype=torch.float32 if self.n_tokens is None else torch.int64)
        if self.n_tokens is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(self.n_tokens, shape, generator=generator)

    def _refuse_unusual(self, module: nn.Module) -> None:
        for name, value in module.named_parameters():
            if not value.requires_grad or not value.is_floating_point():
                raise UserError(
                    f"{self.label}: the parameter '{_own(name)}' cannot be trained "
                    f"(requires_grad={value.requires_grad}, {value.dtype}); make it a buffer"
                )
        for name, layer in module.named_modules():
            if isinstance(layer, _BatchNorm) and type(layer) not in BATCH_NORMS:
                raise UserError(
                    f"{self.label}: '{_own(name)}' is a {type(layer).__name__}, a batch norm of its own; "
                    "use one of PyTorch's, whose statistics can be given"
                )

    def _try(self, weights: Weights) -> None:
        """Pass made-up examples through the module; raise UserError where that shows that it cannot be used."""
        x = self.made_up(TRIAL_EXAMPLES, Generator().manual_seed(0))
        recorded: dict[str, Tensor] = {}
        versions = {name: value._version for name, value in self._buffers.items()}
        generator_before = torch.get_rng_state()
        try:
            with torch.no_grad():
                first = self._pass(weights, x, None, recorded, None)
                drew = not torch.equal(generator_before, torch.get_rng_state())
                second = self._pass(weights, x, None, None, None)
                trained = [self._pass(weights, x, None, None, seed) for seed in (1, 1)]
                self.draws = self._draws_in_training(weights, x)
        except Exception as error:  # whatever a stranger's module raises
            raise UserError(
                f"{self.label} fails on {TRIAL_EXAMPLES} examples of shape {self.input_shape}: "
                f"{type(error).__name__}: {first_line_of(error)}"
            ) from None
        if not isinstance(first, Tensor) or first.dim() != 2 or len(first) != TRIAL_EXAMPLES:
            shape = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
            raise UserError(
                f"{self.label} gives {shape} for {TRIAL_EXAMPLES} examples of shape {self.input_shape}, but a backbone "
                f"must give features [{TRIAL_EXAMPLES}, F]; flatten or pool them"
            )
        changed = [name for name, value in self._buffers.items() if value._version != versions[name]]
        if changed:
            raise UserError(
                f"{self.label} changes its buffer '{_own(changed[0])}' while it computes features; a network of many "
                "tasks keeps nothing between calls"
            )
        if drew or not torch.equal(first, second):
            raise UserError(f"{self.label} gives other features for the same examples in evaluation mode")
        if not torch.equal(trained[0], trained[1]):
            raise UserError(
                f"{self.label} draws in training mode from something else than PyTorch's own generator; use that one"
            )
        self.n_features = first.shape[1]
        self.norm_layers = tuple(name.removesuffix(".mean") for name in recorded if name.endswith(".mean"))


def _own(name: str) -> str:
    """Return the name in the user's module."""
    return name.removeprefix("backbone.")


def _like(value: Tensor, x: Tensor) -> Tensor:
    """Return a buffer on the device of x, and in its precision where it holds floating-point numbers."""
    return value.to(x.device, x.dtype) if value.is_floating_point() else value.to(x.device)


def _emptied(module: nn.Module) -> nn.Module:
    """Return the module without the memory of its parameters and without running averages."""
    for path, layer in list(module.named_modules()):
        if isinstance(layer, _BatchNorm):
            parent, _, child = path.rpartition(".")
            setattr(module.get_submodule(parent), child, TaskBatchNorm(layer, _own(path)))
        elif isinstance(layer, _InstanceNorm):
            layer.track_running_stats = False
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    weights = list(module.parameters())  # each once: shared ones stay shared
    empty = {id(value): nn.Parameter(torch.empty_like(value, device="meta")) for value in weights}
    for layer in module.modules():
        for name, value in layer._parameters.items():
            if value is not None:
                layer._parameters[name] = empty[id(value)]
    return module


def _roles(skeleton: nn.Module) -> Mapping[str, Role]:
    """Return the role of each parameter: ``norm`` for those of normalization layers, ``body`` for the others."""
    kinds: tuple[type[nn.Module], ...] = (TaskBatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm)
    if hasattr(nn, "RMSNorm"):
        kinds = (*kinds, nn.RMSNorm)
    roles: dict[str, Role] = {name: "body" for name, _ in skeleton.named_parameters()}
    for path, layer in skeleton.named_modules():
        if isinstance(layer, kinds):
            roles |= {f"{path}.{name}": "norm" for name, _ in layer.named_parameters(recurse=False)}
    return roles
