"""Run a grid under conditions that must not matter, and compare the results with each other byte by byte.

``python -m tests.repro.conditions [GRID]`` runs it with one job, with two jobs in another order, killed in the middle
and continued, and in another order without processes of the cells' own, each with another ``PYTHONHASHSEED``. It ends
with exit code 0 where all results are the same, and with 1 and the differences printed where they are not. ``tox -e
repro`` calls it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.reproducibility.diff import differences
from bench.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
GRID = Path(__file__).with_name("grid.yaml")


@dataclass(frozen=True)
class Condition:
    """A way to run a grid.

    Attributes:
        name: what is special about it.
        jobs: cells that run in parallel; 0 for one after the other in one process.
        order: seed of the cells' order; 0 for the grid's own.
        killed_after: finished cells after which the whole run is killed and started again; None for never.
    """

    name: str
    jobs: int = 1
    order: int = 0
    killed_after: int | None = None


CONDITIONS = (
    Condition("one job"),
    Condition("two jobs in another order, killed and continued", jobs=2, order=1, killed_after=5),
    Condition("in one process", jobs=0, order=2),
)


def run(grid: str, out: Path, condition: Condition, hash_seed: int) -> int:
    """Run the grid under a condition; the exit code of the process that got to the end."""
    if condition.killed_after is not None:
        first = start(grid, out, condition, hash_seed + 100)
        assert first.stdout is not None
        for _, _ in zip(range(condition.killed_after), first.stdout, strict=False):
            pass
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    process = start(grid, out, condition, hash_seed)
    process.communicate()
    return process.returncode


def start(grid: str, out: Path, condition: Condition, hash_seed: int) -> subprocess.Popen[str]:
    """A process that runs the grid, the leader of a group of processes."""
    command = [sys.executable, "-m", "tests.repro.child", grid, str(out), str(condition.jobs), str(condition.order)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    changes = {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path}
    return subprocess.Popen(
        command, env={**os.environ, **changes}, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def problems(grid: str, folder: Path) -> Iterator[str]:
    """Return what went wrong or differs, a line each; the first condition is what the others are compared with."""
    reference: Path | None = None
    for number, condition in enumerate(CONDITIONS):
        out = folder / str(number)
        if code := run(grid, out, condition, number + 1):
            yield f"{condition.name}: ended with exit code {code}"
            return
        rows = Store(out).rows()
        failed = rows[~rows["status"].isin(["ok", "skipped"])]
        yield from (f"{condition.name}: {row['cell']}: {row['message']}" for row in failed.to_dict("records"))
        if not (rows["status"] == "ok").any():
            yield f"{condition.name}: no cell was finished"
        if reference is not None:
            yield from (f"{condition.name}: {line}" for line in differences(reference, out))
        reference = reference or out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare and print; 1 where anything differs or did not finish."""
    (grid,) = arguments or [str(GRID)]
    with tempfile.TemporaryDirectory(prefix="bench-repro-") as folder:
        found = list(problems(grid, Path(folder)))
    for line in found:
        print(line)
    print(f"{grid} under {len(CONDITIONS)} conditions: {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
