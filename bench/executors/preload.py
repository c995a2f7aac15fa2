"""What the fork server imports and sets once, so that a cell's process has it from the start.

PyTorch loads its compiler when deterministic algorithms are asked for, which takes longer than a small cell.
"""

from __future__ import annotations

import bench.executors.local  # noqa: F401  # imported for those that are forked from here
from bench.worker import set_up_process

set_up_process()
