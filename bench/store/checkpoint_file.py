"""Checkpoints on disk: one file per cell.

``cells/.checkpoints/<cell id>`` is a line with the SHA-256 of the rest, a line of JSON, and safetensors. It is used
only with the code, packages and hardware that wrote it, so that a continued cell ends with the same bytes as one that
was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from bench.process.environment import environment
from bench.process.same_environment import EVERYWHERE, ON_A_GPU
from bench.protocol.checkpoint import Checkpoint
from bench.store.atomic import disk_errors_explained, replace_file
from bench.store.integrity import Damaged, read_regular
from bench.store.tensors import weights_bytes, weights_of

CHECKPOINT_SCHEMA = 2
DECISIVE = ("commit", "uncommitted", "python", "packages", "variables", *sorted({*EVERYWHERE, *ON_A_GPU} - {"threads"}))
"""The parts of the environment that may change a result's bytes; a cell's process has one thread."""


class _DoesNotCountError(Exception):
    """A checkpoint from which training cannot go on; the message says why."""


@dataclass
class CheckpointFile:
    """The checkpoint of one cell. It prints when it is written and read, which ends in the cell's log.

    Attributes:
        place: its file.
        every: seconds between two checkpoints.
    """

    place: Path
    every: float
    _last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Return whether it is time for another one."""
        return time.monotonic() - self._last >= self.every

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep this one instead of the one before; raises CannotWrite where the disk does not take it."""
        head = {
            "schema_version": CHECKPOINT_SCHEMA,
            "environment": _decisive(),
            "outer_steps": checkpoint.outer_steps,
            "shapes": {name: list(value.shape) for name, value in checkpoint.tensors.items()},  # and their order
            "numbers": checkpoint.numbers,
        }
        content = json.dumps(head).encode() + b"\n" + weights_bytes(checkpoint.tensors)
        with disk_errors_explained(self.place.parent.parent.parent):
            self.place.parent.mkdir(exist_ok=True)
            replace_file(self.place, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        self._last = time.monotonic()

    def read(self) -> Checkpoint | None:
        """The one that is kept; None where there is none, or none that counts, and then it is said why."""
        try:
            checkpoint = _parsed(read_regular(self.place))
        except FileNotFoundError:
            return None
        except (_DoesNotCountError, Damaged) as error:
            print(f"the checkpoint is not used: {error}; training starts from the beginning", flush=True)
            return None
        print(f"training continues from the checkpoint at outer step {checkpoint.outer_steps}", flush=True)
        return checkpoint


def _parsed(whole: bytes) -> Checkpoint:
    digest, _, content = whole.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise _DoesNotCountError("it is damaged")
    line, _, weights = content.partition(b"\n")
    head = json.loads(line)
    if head["schema_version"] != CHECKPOINT_SCHEMA:
        raise _DoesNotCountError(f"it has schema {head['schema_version']}, and this version reads {CHECKPOINT_SCHEMA}")
    if changed := [name for name, value in _decisive().items() if head["environment"].get(name) != value]:
        raise _DoesNotCountError(f"it was written with other values of {', '.join(changed)}")
    try:
        loaded = weights_of(weights)
    except SafetensorError as error:
        raise _DoesNotCountError(str(error)) from None
    tensors = {name: loaded[name].reshape(shape) for name, shape in head["shapes"].items()}
    return Checkpoint(head["outer_steps"], tensors, head["numbers"])


def _decisive() -> dict[str, Any]:
    current = environment()
    return {name: current[name] for name in DECISIVE}
