"""The processors and devices that this process may use."""

from __future__ import annotations

import os

from datasets import UserError


def available_cpus() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_device(name: str) -> str:
    """``name`` where torch can use that device; raises UserError otherwise."""
    import torch  # takes seconds, and counting processors does not need it

    try:
        torch.zeros(1, device=torch.device(name)).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"cannot use '{name}' ({reason}); `python -m bench doctor` says what is there", "device"
        ) from None
    return name
