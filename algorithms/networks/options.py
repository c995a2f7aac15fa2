"""The options of the built-in networks. Importing them does not import PyTorch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer
from pydantic_core.core_schema import SerializerFunctionWrapHandler

MOST_UNITS = 65_536  # of a layer
MOST_BLOCK = 64  # height and width of what is dropped together
HeadInit = Literal["small", "normal", "glorot"]
"""The ways to draw the weights of a head; see ``algorithms.networks.conv4.Conv4``."""

HEAD_INIT = "how the weights of the head are drawn"
Units = Annotated[int, Field(ge=1, le=MOST_UNITS)]


class NetworkOptions(BaseModel):
    """Base of every network's options; unknown names and infinite numbers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MLPOptions(NetworkOptions):
    """Options of ``mlp``; see ``algorithms.networks.mlp.MLP``."""

    hidden: tuple[Units, ...] = Field((40, 40), min_length=1, max_length=100, description="units of the hidden layers")


class Conv4Options(NetworkOptions):
    """Options of ``conv4``; see ``algorithms.networks.conv4.Conv4``."""

    channels: Units = Field(64, description="filters of each block")
    downsample: Literal["stride", "max-pool"] = Field("stride", description="stride-2 convolutions, or 2 x 2 pooling")
    reduce: Literal["mean", "flatten"] = Field("mean", description="average over positions, or all of them")
    norm_scale: bool = Field(False, description="whether batch norm learns a scale beside its shift")
    head_init: HeadInit = Field("small", description=HEAD_INIT)


class ModuleOptions(NetworkOptions):
    """Base of the options of networks that are ``nn.Module`` classes; ``head_init`` is the harness's."""

    head_init: HeadInit = Field("small", description=HEAD_INIT)


class ResNet12Options(ModuleOptions):
    """Options of ``resnet12``; see ``algorithms.networks.resnet12.ResNet12``."""

    channels: tuple[Units, ...] = Field(
        (64, 160, 320, 640), min_length=1, max_length=8, description="filters of each block"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="part of a block's outputs that is dropped in training")
    dropblock: int = Field(
        0, ge=0, le=MOST_BLOCK, description="side of the squares that are dropped in the last two blocks; 0 for none"
    )

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)  # as cells were stored before there was DropBlock
        return {name: value for name, value in values.items() if name != "dropblock" or value}


class WRNOptions(ModuleOptions):
    """Options of ``wrn-28-10``; see ``algorithms.networks.wrn.WideResNet``."""

    depth: int = Field(28, ge=10, le=1000, description="convolutional layers, 6 n + 4 with n blocks a group")
    width: Annotated[int, Field(ge=1, le=MOST_UNITS // 64)] = Field(10, description="factor of the filters 16, 32, 64")
    dropout: float = Field(0.0, ge=0, lt=1, description="part of a block's inner outputs that is dropped in training")

    @field_validator("depth")
    @classmethod
    def _is_of_whole_blocks(cls, depth: int) -> int:
        if depth % 6 != 4:
            raise ValueError(f"must be 6 n + 4, such as 10, 16, 22 or 28, but got {depth}")
        return depth


class TextMLPOptions(ModuleOptions):
    """Options of ``text-mlp``; see ``algorithms.networks.text_mlp.TextMLP``."""

    hidden: tuple[Units, ...] = Field((64,), min_length=1, max_length=100, description="units of the hidden layers")


class TextCNNOptions(ModuleOptions):
    """Options of ``text-cnn``; see ``algorithms.networks.text_cnn.TextCNN``."""

    embedding: Units = Field(64, description="numbers of a token's embedding")
    channels: Units = Field(64, description="filters of each width")
    widths: tuple[Annotated[int, Field(ge=1, le=MOST_BLOCK)], ...] = Field(
        (3, 4, 5), min_length=1, max_length=16, description="tokens that a filter sees"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="part of the features that is dropped in training")
