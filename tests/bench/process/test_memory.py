"""Peak memory is that of the process, whatever the process that started it had."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from bench.process.memory import peak_resident_mib, resident_mib
from tests.bench.helpers import ROOT


def test_a_process_does_not_inherit_the_peak_of_its_parent() -> None:
    ballast = np.ones(400 * 2**17)  # 400 MiB
    code = "from bench.process.memory import peak_resident_mib as p; print(p())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert peak_resident_mib() > ballast.nbytes / 2**20
    assert float(done.stdout) < resident_mib() - 200
    del ballast


FREED = """
import numpy as np
from bench.process.memory import MIB, MemoryRise

before = np.ones(64 * MIB // 8)
del before
memory = MemoryRise()
during = np.ones(32 * MIB // 8)
del during
print(*memory.reading())
"""


def test_memory_that_was_freed_before_is_no_rise_and_what_was_freed_since_is() -> None:
    """In a process of its own: buffers that tests before have freed would be used again."""
    done = subprocess.run([sys.executable, "-c", FREED], cwd=ROOT, capture_output=True, text=True, check=True)
    baseline, rise = map(float, done.stdout.split())
    assert baseline > 20
    assert 30 < rise < 60


REUSED = """
import numpy as np
from bench.process.allocator import keep_large_buffers
from bench.process.memory import MIB, MemoryRise

keep_large_buffers()
before = np.ones(64 * MIB // 8)
del before
memory = MemoryRise()
during = np.ones(32 * MIB // 8)
del during
print(memory.reading()[1])
"""


def test_work_that_uses_what_loading_has_freed_is_a_rise() -> None:
    done = subprocess.run([sys.executable, "-c", REUSED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 30 < float(done.stdout) < 40
