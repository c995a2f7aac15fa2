"""Measure the share of the main job's processor time that is adapting and differentiating.

``python -m tests.benchmarks.main_job [arguments of bench run]`` runs ``python -m bench run`` into a folder that is
thrown away, and divides the processor's seconds inside the algorithms (see ``tests.benchmarks.inside``) by those of all
processes of the job: imports, process starts, data, writing, progress and the report are the rest. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and print both numbers and their ratio."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["grid"]
    # the fork server outlives the command for a moment: it becomes ours, so that its cells' time is counted
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="bench-main-job-") as folder:
        counts = Path(folder) / "inside"
        counts.mkdir()
        out = str(Path(folder) / "out")
        command = [sys.executable, "-m", "bench", "run", *given, "--out", out, "--import", "tests.benchmarks.inside"]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        code = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path, "BENCH_INSIDE": str(counts)}, check=False
        ).returncode
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        inside = sum(float(place.read_text(encoding="utf-8")) for place in counts.iterdir())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    print(f"{inside:.1f} of {total:.1f} processor seconds in the algorithms: {100 * inside / total:.1f}%")
    return code


if __name__ == "__main__":
    sys.exit(main())
