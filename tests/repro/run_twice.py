"""Run a grid twice, in processes of their own, with one and with two cells at work, and compare the results.

``python -m tests.repro.run_twice [GRID]`` ends with exit code 0 where they are the same byte by byte, and with 1 and
the differences printed where they are not. ``tox -e repro`` calls it with the smoke grid.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.repro_compare import differences
from bench.store import Store

ROOT = Path(__file__).resolve().parents[2]
RUNS = (("1", "1"), ("2", "2"))  # cells at work at once, PYTHONHASHSEED


def run(grid: str, out: Path, jobs: str, hash_seed: str) -> int:
    """``python -m bench run`` in a process of its own; its exit code."""
    command = [sys.executable, "-m", "bench", "run", grid, "--quiet", "--jobs", jobs, "--out", str(out)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    changes = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    return subprocess.run(command, env={**os.environ, **changes}, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare and print; 1 where anything differs or did not finish."""
    (grid,) = arguments or ["smoke"]
    with tempfile.TemporaryDirectory(prefix="bench-repro-") as folder:
        outs = [Path(folder) / f"jobs-{jobs}" for jobs, _ in RUNS]
        for out, (jobs, hash_seed) in zip(outs, RUNS, strict=True):
            if code := run(grid, out, jobs, hash_seed):
                print(f"the run with {jobs} jobs ended with exit code {code}")
                return 1
        rows = Store(outs[0]).rows()
        found = differences(*outs)
        finished = int((rows["status"] == "ok").sum())
        unfinished = rows[~rows["status"].isin(["ok", "skipped"])]
    for line in found:
        print(line)
    for row in unfinished.to_dict("records"):
        print(f"{row['cell']}: {row['status']}: {row['message']}")
    print(f"{finished} cells of {grid} ran twice: {len(found)} differences")
    return 1 if found or len(unfinished) or not finished else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
