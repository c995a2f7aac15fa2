"""Peak memory is that of the process, whatever the process that started it had."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from bench.measure import peak_resident_mib, resident_mib
from tests.bench.helpers import ROOT


def test_a_process_does_not_inherit_the_peak_of_its_parent() -> None:
    ballast = np.ones(400 * 2**17)  # 400 MiB
    code = "from bench.measure import peak_resident_mib as p; print(p())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert peak_resident_mib() > 400
    assert float(done.stdout) < resident_mib() - 200
    del ballast


def test_the_peak_stays_when_memory_is_freed() -> None:
    before = peak_resident_mib()
    ballast = np.ones(int((before + 200 - resident_mib()) * 2**17))
    peak = peak_resident_mib()
    assert peak > before + 100
    del ballast
    assert peak_resident_mib() > peak - 2  # the kernel counts in batches
    assert resident_mib() < peak - 100
