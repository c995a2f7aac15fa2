"""Contenders of one workload in processes of their own, timed in turns: other load on the machine affects all alike.

Each contender first shows its meta-gradient in float64, in a process that ends before any timing; then it warms up;
then rounds follow, in each of which every contender works once in a fresh order, while the others wait.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from bench.speed.contenders import Contender
from bench.speed.workloads import Workload
from datasets import UserError

EXACT = 1e-8  # relative error of a float64 meta-gradient that is right
LEAST_SECONDS = 0.2  # a round repeats the work until it takes about this long
WARM_UPS = 2
NO_MEMORY = dict.fromkeys(("peak_mib", "rise_mib", "kept_kib"), float("nan"))


class Process:
    """A contender at a workload, in a process of its own; use as a context."""

    def __init__(self, contender: str, workload: str, threads: int) -> None:
        limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        flags = (
            {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"} if threads == 1 else {}
        )
        self.name = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.speed.child", contender, workload, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, **flags, "JAX_PLATFORMS": "cpu"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Have a command done; raises UserError with the process's last words where it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            lines = self._process.communicate()[1].strip().splitlines()
            raise UserError(f"{self.name} ended at '{command['do']}': {lines[-1] if lines else 'no message'}")
        return dict(json.loads(line))


@dataclass(frozen=True)
class Timings:
    """The measurements of one contender on one workload.

    Attributes:
        contender: its name.
        milliseconds: [rounds] of the work done once.
        error: relative error of the float64 meta-gradient against the plain loop's; NaN where there is none.
        peak_mib: of the process.
        rise_mib: the peak above the process before it made anything.
        kept_kib: KiB that each repetition of the work after the warm-up left in use; NaN where nothing tells.
        problem: why there is nothing else, or empty.
    """

    contender: str
    milliseconds: tuple[float, ...]
    error: float
    peak_mib: float
    rise_mib: float
    problem: str = ""
    kept_kib: float = float("nan")

    @property
    def wrong(self) -> bool:
        return bool(self.error > EXACT)


def race(
    workload: Workload,
    contenders: Sequence[Contender],
    threads: int,
    rounds: int,
    rng: np.random.Generator,
    say: Callable[[str], None] = lambda text: None,
) -> list[Timings]:
    """Time ``contenders`` on ``workload``, in the order given."""
    expected, _ = _gradient("bench (loop)", workload, threads)
    errors, problems = {}, {}
    for contender in contenders:
        say(f"{workload.name}, {contender.name}: meta-gradient in float64")
        gradient, problem = _gradient(contender.name, workload, threads)
        errors[contender.name] = _relative_error(gradient, expected)
        if problem:
            problems[contender.name] = problem
    racing = [contender.name for contender in contenders if contender.name not in problems]
    pairs = {name: (name, workload.name) for name in racing}
    times, memory = _timed(pairs, threads, rounds, rng, say)
    return [
        Timings(
            racer.name,
            tuple(times.get(racer.name, ())),
            errors[racer.name],
            **memory.get(racer.name, NO_MEMORY),
            problem=problems.get(racer.name, ""),
        )
        for racer in contenders
    ]


def race_methods(
    workloads: Sequence[Workload],
    threads: int,
    rounds: int,
    rng: np.random.Generator,
    say: Callable[[str], None] = lambda text: None,
) -> list[Timings]:
    """Time our methods, each at a workload of its own, in turns; named by their workloads."""
    names = [workload.name for workload in workloads]
    times, memory = _timed({name: ("bench", name) for name in names}, threads, rounds, rng, say)
    return [Timings(name, tuple(times[name]), float("nan"), **memory[name], problem="") for name in names]


def _timed(
    pairs: Mapping[str, tuple[str, str]], threads: int, rounds: int, rng: np.random.Generator, say: Any
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]]]:
    """Milliseconds and memory by name, of pairs of a contender and a workload."""
    processes = {name: Process(*pair, threads) for name, pair in pairs.items()}
    names = list(processes)
    times: dict[str, list[float]] = {name: [] for name in names}
    memory = {}
    try:
        repeats = {}
        for name, process in processes.items():
            say(f"{': '.join(reversed(pairs[name]))}, warming up")
            for _ in range(WARM_UPS):
                seconds = process.ask(do="work", times=1)["seconds"]
            repeats[name] = max(1, round(LEAST_SECONDS / seconds))
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}")
            for place in rng.permutation(len(names)):
                name = names[place]
                seconds = processes[name].ask(do="work", times=repeats[name])["seconds"]
                times[name].append(1000 * seconds / repeats[name])
        for name, process in processes.items():
            used = process.ask(do="memory")
            memory[name] = {key: float("nan") if value is None else value for key, value in used.items()}
    finally:
        for process in processes.values():
            process.__exit__(None, None, None)
    return times, memory


def _gradient(name: str, workload: Workload, threads: int) -> tuple[dict[str, Tensor] | None, str]:
    """The float64 meta-gradient of a contender, or why there is none."""
    with tempfile.TemporaryDirectory() as folder, Process(name, workload.name, threads) as process:
        place = Path(folder) / "gradient.safetensors"
        try:
            made = process.ask(do="gradient", to=str(place))["gradient"]
        except UserError as error:
            return None, str(error)
        return (load_file(place) if made else None), ""


def _relative_error(gradient: dict[str, Tensor] | None, expected: dict[str, Tensor] | None) -> float:
    """Largest, over the weights, of the largest difference relative to the largest element of the right gradient."""
    if gradient is None or expected is None:
        return float("nan")
    largest = 0.0
    for name, right in expected.items():
        difference = (gradient[name] - right).abs().max() if name in gradient else right.abs().max()
        largest = max(largest, float(difference / right.abs().max().clamp_min(1e-12)))
    return largest
