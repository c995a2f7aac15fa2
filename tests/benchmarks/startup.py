"""Start-up time of commands in processor seconds, beside that of ``import torch``.

``python -m tests.benchmarks.startup [--rounds 5]`` starts each in turns, and prints the median of its processor time
(user and system) and how many times that of ``python -c "import torch"`` it is. Processor time counts on a busy machine
too, but is longer there; the ratio compares between machines.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.helpers import command, environment
from tests.bench.stats.stores import write

TORCH = "python -c 'import torch'"


def commands(results: Path) -> Mapping[str, Sequence[str]]:
    """Return the commands by their names in the table; ``results`` is an experiment of MAML and FOMAML."""
    return {
        TORCH: [sys.executable, "-c", "import torch"],
        "bench --help": command("--help"),
        "bench run --help": command("run", "--help"),
        "bench list": command("list"),
        "bench leaderboard": command("leaderboard", results),
        "bench compare": command("compare", "maml", "fomaml", "--results", results),
    }


def processor_seconds(arguments: Sequence[str], cwd: Path) -> float:
    """User and system time of a command, which must end well."""
    with subprocess.Popen(arguments, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return used.ru_utime + used.ru_stime


def measure(rounds: int, folder: Path) -> dict[str, float]:
    """The median processor seconds of each command over ``rounds``, in each of which every command is started once."""
    started = commands(write(folder / "results", {"maml": 0.8, "fomaml": 0.7}))
    seconds: dict[str, list[float]] = {name: [] for name in started}
    for _ in range(rounds):
        for name, arguments in started.items():
            seconds[name].append(processor_seconds(arguments, folder))
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as folder:
        found = measure(parser.parse_args().rounds, Path(folder))
    print("| command | processor s | times import torch |\n| --- | --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.2f} | {seconds / found[TORCH]:.2f} |")


if __name__ == "__main__":
    main()
