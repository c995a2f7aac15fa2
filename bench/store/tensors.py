"""Meta-states as bytes in the format of safetensors, whose reading executes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

if TYPE_CHECKING:
    from algorithms.core.meta_state import State


def weights_bytes(state: State) -> bytes:
    """A meta-state as the contents of a safetensors file."""
    return save({name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in state.items()})


def weights_of(content: bytes) -> State:
    """The meta-state; raises ``SafetensorError`` where ``content`` is none."""
    from safetensors.torch import load  # tables are read without PyTorch

    return dict(load(content))
