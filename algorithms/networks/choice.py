"""The usual network for a shape of inputs, and the names of its options."""

from __future__ import annotations

from dataclasses import fields

from algorithms.networks.conv4 import Conv4
from algorithms.networks.mlp import MLP


def network_class(input_shape: tuple[int, ...]) -> type[MLP] | type[Conv4]:
    """The network for inputs of that shape: ``MLP`` for vectors, ``Conv4`` for images [channels, height, width].

    Raises:
        ValueError: it is the shape of neither.
    """
    if len(input_shape) == 1:
        return MLP
    if len(input_shape) == 3:
        return Conv4
    raise ValueError(f"there is no network for inputs of shape {input_shape}: give vectors [n] or images [c, h, w]")


def network_options(network: type[MLP] | type[Conv4]) -> list[str]:
    """Return what of the network can be chosen, in alphabetical order."""
    determined = ("input_shape", "n_inputs", "n_outputs")  # by the dataset and the episodes
    return sorted(field.name for field in fields(network) if field.name not in determined)
