"""A network of the registry or of the user's, by its name alone: built for inputs that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from algorithms.networks.entry import NETWORKS
from bench.spec.network import NetworkSpec
from bench.spec.problems import first_problem
from datasets import UserError

if TYPE_CHECKING:
    from algorithms.networks.network import Network

TRIED: tuple[tuple[int, ...], ...] = ((1, 28, 28), (3, 32, 32), (3, 84, 84), (1,))
"""Shapes of inputs, of which the first that a network takes is used: Omniglot, CIFAR-FS, mini-ImageNet, sinusoids."""

TOKENS = (32, 100)
"""Tokens of a text, and the number of ids, that a network of texts is built for."""


def is_network(name: str) -> bool:
    """Return whether ``name`` is a network's: one of the registry, or an import path ``package.module:Class``."""
    return ":" in name or name in NETWORKS


def network_by_name(
    name: str, values: Mapping[str, object], input_shape: tuple[int, ...] | None, n_outputs: int
) -> tuple[Network, tuple[int, ...]]:
    """Return the network and the shape of the inputs that it was built for.

    Args:
        name: of the registry, or an import path.
        values: the options of the named network, or the arguments of the class.
        input_shape: of one example; None for the first of ``TRIED`` that the network takes.
        n_outputs: size of the head.

    Raises:
        UserError: there is no such network or option, or it does not take such inputs.
    """
    parts = {"module": name, "args": dict(values)} if ":" in name else {"name": name, **values}
    try:
        network = NetworkSpec.model_validate(parts).complete()
    except ValidationError as error:
        raise UserError(f"{name}: {first_problem(error, NetworkSpec)}") from None
    if network.name is not None and NETWORKS[network.name].inputs == "tokens":
        shape = input_shape or TOKENS[:1]
        return network.build("", shape, n_outputs, TOKENS[1]), shape
    refusals = []
    for shape in (input_shape,) if input_shape is not None else TRIED:
        try:
            return network.build("", shape, n_outputs), shape
        except UserError as refusal:
            refusals.append(refusal)
    if input_shape is not None:
        raise refusals[0]
    raise UserError(f"{refusals[0]}; give the shape of the inputs that it takes", "input_shape") from None
