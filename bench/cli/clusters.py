"""The options that choose a cluster, and the cluster that they choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.cli.common import one_of
from datasets import UserError

if TYPE_CHECKING:
    from bench.execution.remote import Cluster

EXECUTORS = ("local", "ray", "slurm")


def chosen_cluster(
    executor: str,
    ray_address: str | None,
    cpus_per_cell: float | None,
    gpus_per_cell: float | None,
    slurm: Sequence[str],
) -> Cluster | None:
    """None for this machine.

    Raises:
        UserError: an option is not for that executor.
    """
    name = one_of("--executor", executor, EXECUTORS)
    for option, is_set, allowed in (
        ("--ray-address", ray_address is not None, ("ray",)),
        ("--slurm", bool(slurm), ("slurm",)),
        ("--cpus-per-cell", cpus_per_cell is not None, ("ray", "slurm")),
        ("--gpus-per-cell", gpus_per_cell is not None, ("ray", "slurm")),
    ):
        if is_set and name not in allowed:
            raise UserError(f"{option} is for --executor {' or '.join(allowed)}, but the executor is {name}")
    cpus, gpus = (1.0 if cpus_per_cell is None else cpus_per_cell), gpus_per_cell or 0.0
    if name == "ray":
        from bench.execution.ray import Ray

        return Ray(ray_address, cpus, gpus)
    if name == "slurm":
        from bench.execution.slurm import Slurm

        return Slurm(cpus, gpus, dict(_pair(text) for text in slurm))
    return None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UserError(f"--slurm: got '{text}'; use NAME=VALUE, such as --slurm partition=gpu")
    return key, value
