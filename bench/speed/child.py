"""A contender's process: reads what to do from standard input, a JSON object a line, and answers on standard output.

``python -m bench.speed.child CONTENDER WORKLOAD THREADS``; commands: ``{"do": "gradient", "to": PATH}`` writes the
float64 meta-gradient as safetensors, ``{"do": "work", "times": N}`` answers with the seconds that N times took, and
``{"do": "memory"}`` with the process's peak and what the work left behind. Everything else that is printed goes to
standard error.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.process.allocator import bytes_in_use
from bench.process.memory import peak_resident_mib, resident_mib
from bench.speed.contenders import CONTENDERS, Prepared
from bench.speed.rounds import WARM_UPS
from bench.speed.workloads import WORKLOADS, Workload, of_methods


def main(contender_name: str, workload_name: str, threads: int) -> None:
    """Serve commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    contender = next(entry for entry in CONTENDERS if entry.name == contender_name)
    workload = next(entry for entry in (*WORKLOADS, *of_methods()) if entry.name == workload_name)
    state: dict[str, Any] = {"baseline": resident_mib()}
    for line in sys.stdin:
        command = json.loads(line)
        answer = _answer(command, contender.prepare, workload, state)
        print(json.dumps(answer), file=answers, flush=True)


def _answer(command: dict[str, Any], prepare: Any, workload: Workload, state: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "gradient":
        prepared: Prepared = prepare(workload, torch.float64)
        if prepared.gradient is None:
            return {"gradient": False}
        gradient = {name: value.contiguous().double() for name, value in prepared.gradient().items()}
        save_file(gradient, Path(command["to"]))
        return {"gradient": True}
    if command["do"] == "memory":
        peak = peak_resident_mib()
        return {"peak_mib": peak, "rise_mib": peak - state["baseline"], "kept_kib": _kept_kib(state)}
    if "prepared" not in state:
        state["prepared"], state["done"], state["warm"] = prepare(workload, torch.float32), 0, None
    elif state["warm"] is None and state["done"] >= WARM_UPS:
        state["warm"] = (state["done"], _in_use())
    state["done"] += command["times"]
    start = time.perf_counter()
    for _ in range(command["times"]):
        state["prepared"].work()
    return {"seconds": time.perf_counter() - start}


def _in_use() -> int | None:
    gc.collect()
    return bytes_in_use()


def _kept_kib(state: dict[str, Any]) -> float | None:
    """KiB in use that each repetition since the warm-up has left; None where nothing tells."""
    warm, now = state.get("warm"), _in_use()
    if warm is None or warm[1] is None or now is None:
        return None
    return float(now - warm[1]) / 1024 / float(state["done"] - warm[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
