"""A network's body in bfloat16, on processors that compute with it: half of the bytes, and more products at once.

It is PyTorch's autocast: convolutions and matrix products take bfloat16 and add up in float32, what stands between them
keeps their precision, and batch norm's statistics are taken in float32. The weights, the gradients with respect to
them, the head, the loss and the optimizers stay in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from algorithms.engines.names import EngineName, PrecisionName
from algorithms.networks.conv4 import Conv4
from algorithms.networks.module import ModuleNetwork
from algorithms.networks.network import Network, SameWeights, Statistics, Weights
from datasets.core.errors import UserError
from datasets.core.printable import first_line_of

FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls products of bfloat16 in /proc/cpuinfo, on x86 and on Arm."""

TRIAL_EXAMPLES = 2
TRIALS = 5  # of a convolution: memory that is left as it was may hold the right numbers by chance
ROUNDING = 0.03  # of the largest number: more than bfloat16's, which has eight bits


@dataclass(frozen=True)
class BF16Network(SameWeights):
    """A network with features and statistics under autocast to bfloat16; what it returns has the weights' precision.

    Attributes:
        plain: the network.
    """

    plain: Network

    def features(
        self, weights: Weights, x: Tensor, statistics: Statistics | None = None, seed: int | None = None
    ) -> Tensor:
        """Return [B, n_features] from x [B, *input_shape]; with a seed as ``ModuleNetwork``'s."""
        with _autocast(x.device):
            if seed is None:
                out = self.plain.features(weights, x, statistics)
            else:
                assert isinstance(self.plain, ModuleNetwork)
                out = self.plain.features(weights, x, statistics, seed)
        return out.to(_dtype(weights))

    def statistics(self, weights: Weights, x: Tensor) -> dict[str, Tensor]:
        """Return ``<layer>.mean`` and ``<layer>.var`` of each batch-norm layer on x."""
        with _autocast(x.device):
            found: Mapping[str, Tensor] = self.plain.statistics(weights, x)
        return {name: value.to(_dtype(weights)) for name, value in found.items()}


def _autocast(device: torch.device) -> torch.autocast:
    """Without its cache: a call uses most weights once, and a cached copy would keep the graph of an inner step."""
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def _dtype(weights: Weights) -> torch.dtype:
    return next(iter(weights.values())).dtype


def in_precision(network: Network, precision: PrecisionName | None) -> Network:
    """Return the network in that precision; None for its own."""
    return network if precision is None else BF16Network(network)


def check_precision(
    precision: PrecisionName | None, engine: EngineName, network: Network, device: torch.device
) -> None:
    """Raise UserError, in words, where the engine, the network or the device does not have that precision."""
    if precision is None:
        return
    if device.type != "cpu":
        raise UserError(f"'{precision}' is for the device cpu, not for {device.type}; leave it out", "precision")
    if not isinstance(network, Conv4 | ModuleNetwork):
        raise UserError(
            f"'{precision}' is for Conv4 and modules, not for {type(network).__name__}; leave it out", "precision"
        )
    if engine != "loop":
        raise UserError(
            f"'{precision}' is for the engine loop; the engine {engine} computes in float32, on Conv4 more "
            "quickly than loop in either; leave the precision out, or choose the engine loop",
            "precision",
        )
    if (reason := _reason_against(network)) is not None:
        raise UserError(f"{network!r} cannot be computed in '{precision}' ({reason}); leave it out", "precision")


@lru_cache(maxsize=16)
def _reason_against(network: Conv4 | ModuleNetwork) -> str | None:
    """Return why the network cannot be computed so, by a trial on made-up examples; None where it can.

    A network is tried once, however many cells have it.
    """
    weights = {name: value.requires_grad_() for name, value in network.init(Generator().manual_seed(0)).items()}
    generator = Generator().manual_seed(0)
    if isinstance(network, ModuleNetwork):
        x = network.made_up(TRIAL_EXAMPLES, generator)
    else:
        x = torch.randn(TRIAL_EXAMPLES, *network.input_shape, generator=generator)
    convolutions = _Convolutions()
    try:
        with convolutions:
            out = BF16Network(network).features(weights, x)
        torch.autograd.grad(out.sum(), list(weights.values()), allow_unused=True)
    except Exception as error:  # whatever a stranger's module raises
        return f"{type(error).__name__}: {first_line_of(error)}"
    if not bool(out.isfinite().all()):
        return "its features are not finite"
    wrong = next((of_image for of_image, *how in convolutions.seen if not _is_right(of_image, *how)), None)
    return (
        None if wrong is None else f"PyTorch's gradient of its convolution of {list(wrong)} is wrong on this processor"
    )


class _Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the convolutions of bfloat16 in a block, in ``seen``: what ``_is_right`` takes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: dict[tuple[Any, ...], None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default and args[0].dtype == torch.bfloat16:
            x, weight, _, *how = args
            lists = (tuple(value) if isinstance(value, list) else value for value in how)
            self.seen[tuple(x.shape[1:]), tuple(weight.shape), *lists] = None
        return func(*args, **(kwargs or {}))


@cache
def _is_right(of_image: tuple[int, ...], kernel: tuple[int, ...], *how: Any) -> bool:
    """Return whether a convolution and its gradients are those of float32, but for rounding.

    oneDNN 3.13 leaves the gradient with respect to the kernel as the memory was, where a convolution of stride two sees
    a single position.
    """
    generator = Generator().manual_seed(0)
    x = torch.randn(TRIAL_EXAMPLES, *of_image, generator=generator).bfloat16()
    weight = torch.randn(kernel, generator=generator).bfloat16()
    aten, how = torch.ops.aten, tuple(list(value) if isinstance(value, tuple) else value for value in how)

    def all_three(x: Tensor, weight: Tensor, by_y: Tensor) -> list[Tensor]:
        y = aten.convolution(x, weight, None, *how)
        return [y, *aten.convolution_backward(by_y, x, weight, None, *how, [True, True, False])[:2]]

    by_y = torch.randn(aten.convolution(x, weight, None, *how).shape, generator=generator).bfloat16()
    expected = all_three(x.float(), weight.float(), by_y.float())
    for _ in range(TRIALS):
        for found, right in zip(all_three(x, weight, by_y), expected, strict=True):
            if not float((found.float() - right).abs().max()) < ROUNDING * float(right.abs().max()):
                return False
    return True


def check_processor(precision: PrecisionName | None) -> None:
    """Raise UserError where this machine's processor is not known to compute in that precision."""
    if precision is not None and not FLAGS & _flags():
        raise UserError(
            f"this processor has no products of '{precision}' (none of {', '.join(sorted(FLAGS))} in /proc/cpuinfo); "
            "leave it out",
            "precision",
        )


@cache
def _flags() -> frozenset[str]:
    """What Linux says that the processor can do; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":") for line in lines)
    return frozenset(
        flag for name, _, flags in listed if name.strip() in ("flags", "Features") for flag in flags.split()
    )
