"""The registry of networks, ``@register_network``, and networks that are named by their import path."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from algorithms.networks.options import HeadInit, ModuleOptions, NetworkOptions
from datasets.core.named_modules import is_named
from datasets.core.registry import ImportedWhenRead, Registry, UserError

if TYPE_CHECKING:
    from algorithms.networks.network import Network


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
    """

    name: str
    factory: Callable[..., Any]
    options: type[NetworkOptions]
    paper: str
    summary: str

    def build(self, options: NetworkOptions, input_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network for inputs of that shape.

        Raises:
            UserError: it does not take such inputs.
        """
        factory, values = self.factory, dict(options)
        if not inspect.isclass(factory):
            made: Network = factory(input_shape, n_outputs, **values)
            return made
        head_init = values.pop("head_init", "small")
        return module_network(factory, values, input_shape, n_outputs, head_init, f"network '{self.name}'")


NETWORKS: Registry[NetworkEntry] = Registry(
    "network", "bench.networks", NetworkEntry, "algorithms.networks", decorator="register_network"
)

C = TypeVar("C", bound=Callable[..., Any])


def register_network(
    name: str, *, paper: str, summary: str, options: type[NetworkOptions] = ModuleOptions
) -> Callable[[C], C]:
    """Declare the class or function below as a network; the arguments are the other fields of a ``NetworkEntry``."""

    def declare(factory: C) -> C:
        NETWORKS.register(NetworkEntry(name, factory, options, paper, summary))
        return factory

    return declare


def module_network(
    module: Callable[..., Any],
    args: Mapping[str, Any],
    input_shape: tuple[int, ...],
    n_outputs: int,
    head_init: HeadInit,
    label: str,
) -> Network:
    """Return a network of an ``nn.Module`` class; ``input_shape`` is passed to it where it takes an argument so named.

    Raises:
        UserError: the module cannot be used; one line says why.
    """
    from algorithms.networks.module import ModuleNetwork  # PyTorch

    values = dict(args)
    if "input_shape" in inspect.signature(module).parameters:
        values["input_shape"] = tuple(input_shape)
    try:
        inspect.signature(module).bind(**values)
    except TypeError as error:
        raise UserError(f"{label}: {error}; it takes {inspect.signature(module)}") from None
    return ModuleNetwork(partial(module, **values), tuple(input_shape), n_outputs, head_init, label)


def module_class(path: str) -> type[Any]:
    """Return the ``nn.Module`` class at ``package.module:Class``; nothing is imported that nobody has named.

    Raises:
        UserError: the module was not named by the user, or has no such class.
    """
    from torch import nn

    module, _, name = path.partition(":")
    if not is_named(module):
        raise UserError(
            f"network.module: '{module}' is imported only where it is named: `--import {module}`, or an entry point; "
            "a specification imports nothing by itself"
        )
    loaded = getattr(sys.modules[module], name, None)
    if not (inspect.isclass(loaded) and issubclass(loaded, nn.Module)):
        raise UserError(f"network.module: '{module}' has no nn.Module class '{name}'")
    return loaded
