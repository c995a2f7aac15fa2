"""The memory that a cell may have: whatever uses it up, and however, the cell is a row and the rest goes on."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bench
from bench.process.memory_limit import is_out_of_memory, parse_size
from bench.process.plugins import import_plugins
from bench.reproducibility.diff import differences
from bench.store.store import Store
from datasets import UserError
from tests.bench.helpers import Faults, environment, tiny

LIMIT = 850  # MiB: some 350 more than a cell's process starts with, and less than what the hungry ones take
WATCHED = (
    f"MiB of memory, over the limit of {LIMIT} MiB"  # what the parent says, which may look before the limit is met
)
KINDS = {
    "hungry-tensors": "RuntimeError: [enforce fail at",
    "hungry-arrays": "Unable to allocate 8.00 MiB",
    "hungry-lists": "MemoryError: ",
    "hungry-shared": WATCHED,
}


def test_whatever_uses_up_the_memory_is_a_row_and_the_rest_goes_on(
    tmp_path: Path, out: Path, hungry: str, faults: Faults
) -> None:
    import_plugins([hungry])
    grid = tiny(algorithms=[*KINDS, "maml"])
    rows = bench.run(grid, out, jobs=2, memory=LIMIT * 2**20, plugins=[hungry]).cells.set_index("algorithm")
    assert rows["status"].to_dict() == {"maml": "ok", **dict.fromkeys(KINDS, "oom")}
    for name, words in KINDS.items():
        with faults("memory used up"):
            message = rows.loc[name, "message"]
            assert words in message or WATCHED in message
            assert f"limit of {LIMIT} MiB" in message
    for cell in grid.cells()[:-1]:
        failure = Store(out).failure(cell)
        assert failure is not None
        assert failure.peak_mib is not None
        watched = WATCHED in rows.loc[cell.algorithm, "message"]
        assert 500 < failure.peak_mib < LIMIT + (1024 if watched else 64)
        assert ("take_piece" in failure.traceback) != watched
    bench.run(tiny(), tmp_path / "unlimited", jobs=1)
    bench.run(tiny(), tmp_path / "limited", jobs=1, memory=LIMIT * 2**20)
    assert differences(tmp_path / "unlimited", tmp_path / "limited") == []


def test_a_limit_below_what_a_cell_starts_with_is_said(out: Path) -> None:
    (row,) = bench.run(tiny(), out, memory=100 * 2**20).cells.to_dict("records")
    assert row["status"] == "oom"
    assert "give cells more memory (under a limit of 100 MiB)" in row["message"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("500MB", 500 * 10**6),
        ("2g", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("900", 900),
        ("8kib", 8192),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "GiB", "-1GiB", "4 gigs", "0", "0.1", "4GiB5", "inf", "1e9"])
def test_other_sizes_are_a_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match=r"^memory: got '.*'; use a number and a unit, such as 4GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=repr,
)
def test_every_way_to_say_that_memory_is_out_is_understood(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError(errno.ENOSPC, "full"), ValueError("std::bad_alloc"), KeyError("m")]
)
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_the_messages_are_those_of_this_pytorch() -> None:
    """A real allocation that is larger than any machine, and one under a limit."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    script = (
        "import torch\nfrom bench.process.memory_limit import *\nfrom bench.process.memory import own_bytes\n"
        "limit_own_memory(own_bytes('VmRSS') + 2**26)\n"
        "try:\n    torch.ones(2**27)\nexcept RuntimeError as error:\n    print(is_out_of_memory(error))\n"
        "lift_own_limit()\nprint(len(torch.ones(2**27)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == f"True\n{2**27}\n"
