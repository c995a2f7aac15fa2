"""Imports and settings that the fork server makes once, so that each cell's process starts with them."""

from __future__ import annotations

import warnings

import torch.fx.experimental.symbolic_shapes  # noqa: F401  # autograd imports it with the first gradient

import bench.execution.local  # noqa: F401  # imported for those that are forked from here
from bench.execution.in_process import set_up_process

# The threads are those of the libraries of linear algebra, which make theirs anew after a fork.
warnings.filterwarnings("ignore", message=r"This process .* is multi-threaded", category=DeprecationWarning)

set_up_process()
