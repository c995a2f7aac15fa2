"""The network of a cell, as a grid writes it and a cell stores it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator
from pydantic_core.core_schema import SerializerFunctionWrapHandler

from algorithms.networks.entry import NETWORKS, NetworkEntry, module_class, module_network
from algorithms.networks.options import MOST_UNITS, HeadInit
from bench.spec.problems import first_problem
from datasets import UserError

if TYPE_CHECKING:
    from algorithms.networks.network import Network

USUAL = ("mlp", "conv4")  # the networks that inputs take where none is named


def usual_conv4(family: str) -> dict[str, Any]:
    """Return the options of the Conv4 that images of a dataset family take where a grid does not say otherwise.

    >>> usual_conv4("mini-imagenet")["channels"], usual_conv4("omniglot")["channels"]
    (32, 64)
    """
    if family == "mini-imagenet":
        return {"channels": 32, "downsample": "max-pool", "reduce": "flatten"}
    return {"channels": 64, "downsample": "stride", "reduce": "mean"}


class NetworkSpec(BaseModel):
    """A network by its name, by the import path of a module, or changes to the usual one of the dataset's family.

    The usual ones are Conv4-64 with strides, Conv4-32 with max-pooling, or an MLP 40-40. A grid writes the options of a
    named network beside its name: ``{name: resnet12, channels: [32, 64, 128, 256]}``.

    Attributes:
        name: of a network of the registry.
        module: the import path of an ``nn.Module`` class, ``package.module:Class``.
        args: the options of the named network, or the arguments of the class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str | None = None
    module: str | None = Field(None, pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    args: dict[str, Any] | None = None
    channels: int | None = Field(None, ge=1, le=MOST_UNITS)
    downsample: Literal["stride", "max-pool"] | None = None
    reduce: Literal["mean", "flatten"] | None = None
    norm_scale: bool | None = None
    head_init: HeadInit | None = None
    hidden: tuple[Annotated[int, Field(ge=1, le=MOST_UNITS)], ...] | None = Field(None, min_length=1, max_length=100)

    @model_validator(mode="before")
    @classmethod
    def _options_beside_the_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("name") in (None, *USUAL) or "args" in value:
            return value
        return {"name": value["name"], "args": {key: part for key, part in value.items() if key != "name"}}

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.name is not None and self.module is not None:
            raise ValueError("`name` and `module` cannot be given together")
        if self.args is not None and self._is_usual:
            raise ValueError("`args` is for `module`, whose constructor takes it")
        return self

    @model_serializer(mode="wrap")
    def _without_what_says_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self._is_usual:  # as cells were stored before networks had names
            return {key: value for key, value in values.items() if key not in ("name", "module", "args")}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def is_other(self) -> bool:
        """Return whether it is another network than the usual one for a shape of inputs."""
        return not self._is_usual

    @property
    def _is_usual(self) -> bool:
        return self.module is None and self.name in (None, *USUAL)

    def complete(self) -> NetworkSpec:
        """Return the same network with every option of a named one.

        Raises:
            UserError: there is no such network or option, or the module was not named to be imported.
        """
        if self.module is not None:
            module_class(self.module)
            return self
        if self._is_usual:
            return self
        entry = NETWORKS[str(self.name)]
        try:
            options = entry.options.model_validate(self.args or {})
        except ValidationError as error:
            raise UserError(f"{self.name}: {first_problem(error, entry.options)}") from None
        return NetworkSpec(name=self.name, args=options.model_dump(mode="json"))

    def check(self, dataset: str, input_shape: tuple[int, ...], n_tokens: int | None = None) -> None:
        """Raise UserError where the network does not fit inputs of that shape; see ``build``."""
        if not self._is_usual:
            self.build("", input_shape, 2, n_tokens)
            return
        if n_tokens is not None:
            raise UserError(
                f"network: {self.name or 'the network of these options'} is for numbers, but the inputs of {dataset} "
                "are ids of tokens; use text-mlp, text-cnn, or a module"
            )
        from algorithms.networks.choice import network_class, network_options

        try:
            network = network_class(input_shape)
        except ValueError as error:
            raise UserError(f"{dataset}: {error}") from None
        if self.name not in (None, network.__name__.lower()):
            raise UserError(
                f"network.name: {self.name} does not take the inputs of {dataset}, whose shape is {input_shape}; use "
                f"{network.__name__.lower()}"
            )
        allowed = network_options(network)
        if wrong := sorted(set(self.model_dump(exclude_none=True)) - set(allowed)):
            raise UserError(
                f"network.{wrong[0]} does not apply to {dataset}, whose inputs of shape {input_shape} take the network "
                f"{network.__name__}; allowed there: {', '.join(allowed)}"
            )

    def build(self, family: str, input_shape: tuple[int, ...], n_outputs: int, n_tokens: int | None = None) -> Network:
        """Return the network for a dataset family; its inputs are token ids below ``n_tokens`` where that is given.

        Raises:
            UserError: it does not fit the inputs, or cannot be used.
        """
        if self.module is not None:
            module: Any = module_class(self.module)
            return _built(module, self.model_dump_json(), input_shape, n_outputs, n_tokens)
        if not self._is_usual:
            return _built(NETWORKS[str(self.name)], self.model_dump_json(), input_shape, n_outputs, n_tokens)
        from algorithms.networks.conv4 import Conv4  # PyTorch: a specification is read without it
        from algorithms.networks.mlp import MLP

        self.check("the dataset", input_shape, n_tokens)
        changes = self.model_dump(exclude_none=True)
        if len(input_shape) == 1:
            return MLP(input_shape[0], n_outputs, **changes)
        channels, height, width = input_shape
        return Conv4((channels, height, width), n_outputs, **(usual_conv4(family) | changes))


@lru_cache(maxsize=16)
def _built(source: Hashable, spec: str, input_shape: tuple[int, ...], n_outputs: int, n_tokens: int | None) -> Network:
    """Return the network of a specification in JSON; it is made and tried once, however many cells ask for it.

    Args:
        source: the entry or the class that it is made from.
        spec: the specification.
        input_shape: shape of one example.
        n_outputs: size of the head.
        n_tokens: see ``NetworkSpec.build``.
    """
    network = NetworkSpec.model_validate_json(spec)
    args = network.args or {}
    if isinstance(source, NetworkEntry):
        return source.build(source.options.model_validate(args), input_shape, n_outputs, n_tokens)
    assert isinstance(source, type)
    return module_network(
        source, args, input_shape, n_outputs, network.head_init or "small", str(network.module), n_tokens
    )
