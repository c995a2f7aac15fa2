"""``bench doctor``: report versions, devices and data, and how to get what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import datasets
from bench.cli.common import CacheDir
from datasets import DATASETS, UserError

INSTALL = {"learn2learn": "optional: uv sync --extra learn2learn"}


def doctor(
    data_root: Annotated[Path | None, typer.Option(help="Folder of the datasets; default: $BENCH_DATA.")] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Print versions, devices, threads and data, and how to get what is missing."""
    from datasets.storage.reading import usable_data_root

    console = Console()
    for name, value in _findings(usable_data_root(data_root)):  # lines, not a table: commands stay whole to be copied
        console.print(f"{name:<24} {escape(value)}", soft_wrap=True, highlight=False)


def _findings(root: Path) -> Iterator[tuple[str, str]]:
    from bench.process.allocator import keeps_large_buffers
    from bench.process.environment import environment
    from bench.process.memory_limit import limits_itself
    from bench.process.resources import available_cpus

    facts = environment()
    yield "commit", f"{facts['commit'] or 'unknown'}{' with uncommitted changes' if facts['uncommitted'] else ''}"
    yield "python", facts["python"]
    for name, version in facts["packages"].items():
        yield name, version or f"not installed ({INSTALL.get(name, 'uv sync')})"
    yield "system", facts["system"]
    yield "processor", f"{facts['processor']}, {facts['cpu_capability']}, {available_cpus()} usable"
    yield "memory", f"{facts['memory_mib']} MiB"
    yield "gpus", ", ".join(facts["gpus"]) or "none that torch can use; cells run on the CPU"
    yield "driver", facts["driver"] or "no driver of NVIDIA's"
    for library, version in facts["blas"].items():
        yield f"blas: {library}", version or "none that is known"
    yield "threads", "one per cell; `bench run --jobs` sets how many cells run in parallel"
    itself = (
        "by the cell's own process and by the run that watches it" if limits_itself() else "by the run that watches it"
    )
    yield "memory limit", f"none unless --memory is given; then enforced {itself}"
    kept = "freed buffers of up to a GiB stay with the process, for all its threads (bench.process.allocator)"
    yield "allocator", kept if keeps_large_buffers() else "as it comes: only glibc's can be told to keep large buffers"
    yield "data root", f"{root}{'' if root.is_dir() else ' (does not exist)'}"
    for entry in DATASETS:
        try:
            dataset = datasets.load(entry.name, root)
            yield f"data: {entry.name}", f"found, fingerprint {dataset.fingerprint[:12]}"
        except UserError as error:  # not there, or damaged
            yield f"data: {entry.name}", str(error)
