"""Attention in a form that can be differentiated twice and mapped over tasks.

PyTorch's fused forms of attention have no second derivative, and the fast path of its transformer layers no rule for
``torch.func.vmap``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_SWITCHES: tuple[tuple[Callable[[], bool], Callable[[bool], None]], ...] = (
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
)
_lock = threading.Lock()
_inside = 0  # passes that are under way, on all threads: the switches are the process's
_before: list[bool] = []


@contextmanager
def plain_attention() -> Iterator[None]:
    """Around a pass through a module: attention is computed by its formula, from operations with all derivatives."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = [read() for read, _ in _SWITCHES]
            for _, write in _SWITCHES:
                write(False)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for (_, write), value in zip(_SWITCHES, _before, strict=True):
                    write(value)
