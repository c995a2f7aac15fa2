"""The registry of networks, ``@register_network``, and networks that are named by their import path."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from algorithms.networks.options import HeadInit, ModuleOptions, NetworkOptions
from datasets.core.errors import UserError
from datasets.core.named_modules import is_named
from datasets.core.registry import ImportedWhenRead, Registry

if TYPE_CHECKING:
    from algorithms.networks.network import Network


Inputs = Literal["numbers", "tokens"]
"""The inputs of a network: floating-point numbers, or ids of the tokens of texts."""


@dataclass(frozen=True)
class NetworkEntry(ImportedWhenRead):
    """One network of the registry.

    Attributes:
        name: what grids call it.
        factory: an ``nn.Module`` class, a backbone; or a function of (input_shape, n_outputs, **options) that returns a
            ``Network``.
        options: the model of its options.
        paper: where it is described.
        summary: one line for ``bench list``.
        inputs: the inputs that it takes; a function of other arguments than above takes numbers.
    """

    name: str
    factory: Callable[..., Any]
    options: type[NetworkOptions]
    paper: str
    summary: str
    inputs: Inputs = "numbers"

    def build(
        self, options: NetworkOptions, input_shape: tuple[int, ...], n_outputs: int, n_tokens: int | None = None
    ) -> Network:
        """Return the network for inputs of that shape, which are token ids below ``n_tokens`` where that is given.

        Raises:
            UserError: it does not take such inputs.
        """
        if (n_tokens is not None) != (self.inputs == "tokens"):
            given = "numbers" if n_tokens is None else "token ids"
            other = [entry.name for entry in NETWORKS if entry.inputs != self.inputs]
            raise UserError(
                f"network '{self.name}' takes {self.inputs}, but the inputs are {given}; use one of: {', '.join(other)}"
            )
        factory, values = self.factory, dict(options)
        if not inspect.isclass(factory):
            made: Network = factory(input_shape, n_outputs, **values)
            return made
        head_init = values.pop("head_init", "small")
        return module_network(factory, values, input_shape, n_outputs, head_init, f"network '{self.name}'", n_tokens)


NETWORKS: Registry[NetworkEntry] = Registry(
    "network", "bench.networks", NetworkEntry, "algorithms.networks", decorator="register_network"
)

C = TypeVar("C", bound=Callable[..., Any])


def register_network(
    name: str, *, paper: str, summary: str, options: type[NetworkOptions] = ModuleOptions, inputs: Inputs = "numbers"
) -> Callable[[C], C]:
    """Declare the class or function below as a network; the arguments are the other fields of a ``NetworkEntry``."""

    def declare(factory: C) -> C:
        NETWORKS.register(NetworkEntry(name, factory, options, paper, summary, inputs))
        return factory

    return declare


def module_network(
    module: Callable[..., Any],
    args: Mapping[str, Any],
    input_shape: tuple[int, ...],
    n_outputs: int,
    head_init: HeadInit,
    label: str,
    n_tokens: int | None = None,
) -> Network:
    """Return a network of an ``nn.Module`` class; ``input_shape`` and ``n_tokens``, the number of token ids, are passed
    to it where it takes arguments so named.

    Raises:
        UserError: the module cannot be used; one line says why.
    """
    from algorithms.networks.module import ModuleNetwork  # PyTorch

    values = dict(args)
    if "input_shape" in inspect.signature(module).parameters:
        values["input_shape"] = tuple(input_shape)
    if n_tokens is not None and "n_tokens" in inspect.signature(module).parameters:
        values["n_tokens"] = n_tokens
    try:
        inspect.signature(module).bind(**values)
    except TypeError as error:
        raise UserError(f"{label}: {error}; it takes {inspect.signature(module)}") from None
    return ModuleNetwork(partial(module, **values), tuple(input_shape), n_outputs, head_init, label, n_tokens)


def module_class(path: str) -> type[Any]:
    """Return the ``nn.Module`` class at ``package.module:Class``; nothing is imported that nobody has named.

    Raises:
        UserError: the module was not named by the user, or has no such class.
    """
    from torch import nn

    module, _, name = path.partition(":")
    if not is_named(module):
        raise UserError(
            f"network.module: '{module}' is imported only where it is named: add it to `plugins=`, or to an entry "
            "point; a specification imports nothing by itself"
        )
    loaded = getattr(sys.modules[module], name, None)
    if not (inspect.isclass(loaded) and issubclass(loaded, nn.Module)):
        raise UserError(f"network.module: '{module}' has no nn.Module class '{name}'")
    return loaded
