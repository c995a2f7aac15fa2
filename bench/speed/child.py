"""A contender's process: reads what to do from standard input, a JSON object a line, and answers on standard output.

``python -m bench.speed.child CONTENDER WORKLOAD THREADS``; commands: ``{"do": "gradient", "to": PATH}`` writes the
float64 meta-gradient as safetensors, ``{"do": "work", "times": N}`` answers with the seconds that N times took, and
``{"do": "memory"}`` with the process's peak. Everything else that is printed goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.measure import peak_resident_mib, resident_mib
from bench.speed.contenders import CONTENDERS, Prepared
from bench.speed.workloads import WORKLOADS, Workload


def main(contender_name: str, workload_name: str, threads: int) -> None:
    """Serve commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    contender = next(one for one in CONTENDERS if one.name == contender_name)
    workload = next(one for one in WORKLOADS if one.name == workload_name)
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
        found = {name: value.contiguous().double() for name, value in prepared.gradient().items()}
        save_file(found, Path(command["to"]))
        return {"gradient": True}
    if command["do"] == "memory":
        return {"peak_mib": peak_resident_mib(), "rise_mib": peak_resident_mib() - state["baseline"]}
    if "prepared" not in state:
        state["prepared"] = prepare(workload, torch.float32)
    start = time.perf_counter()
    for _ in range(command["times"]):
        state["prepared"].work()
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
