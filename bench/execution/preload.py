"""What the fork server imports and sets once, so that a cell's process has it from the start.

PyTorch loads its compiler when deterministic algorithms are asked for, which takes longer than a small cell.
"""

from __future__ import annotations

import bench.execution.local  # noqa: F401  # imported for those that are forked from here
from bench.execution.worker import set_up_process

set_up_process()
