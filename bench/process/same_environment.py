"""The comparison of two results' environments: in equal ones the same cell must give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.process.environment import NUMERIC_VARIABLES

PACKAGES = ("learn2learn", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy", "torch")
"""Those that compute a result or write its files."""
EVERYWHERE = ("blas", "cpu_capability", "libc", "processor", "threads")
ON_A_GPU = ("cuda", "cudnn", "driver", "gpus")


def environment_differences(left: Mapping[str, Any], right: Mapping[str, Any], device: str = "cpu") -> list[str]:
    """Return what differs of the stored environments of two results and may change the last digits of a number.

    What one of them does not record, because an older version wrote it, is not compared; neither is a package
    that one of them did without, nor GPUs where the cell's ``device`` is the CPU.
    """
    fields = EVERYWHERE if device == "cpu" else EVERYWHERE + ON_A_GPU
    known = [name for name in fields if name in left and name in right]
    lines = [_difference(name, left[name], right[name]) for name in known if left[name] != right[name]]
    packages = [each.get("packages", {}) for each in (left, right)]
    lines += list(_unequal(PACKAGES, packages[0], packages[1], needed=True))
    variables = [each.get("variables", {}) for each in (left, right)]
    return lines + list(_unequal(NUMERIC_VARIABLES, variables[0], variables[1], needed=False))


def code_difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """The two versions of the benchmark, where they are not the same; empty otherwise.

    Code is what repeating a cell checks, so that another version of it does not excuse another result.
    """
    codes = [_code(each) for each in (left, right)]
    return f"code: {codes[0]} and {codes[1]}" if codes[0] != codes[1] else ""


def _unequal(names: tuple[str, ...], left: Mapping[str, Any], right: Mapping[str, Any], needed: bool) -> Iterator[str]:
    for name in names:
        values = [each.get(name) for each in (left, right)]
        if values[0] != values[1] and not (needed and None in values):
            yield _difference(name, *values)


def _difference(name: str, left: Any, right: Any) -> str:
    if isinstance(left, dict) and isinstance(right, dict):
        parts = [part for part in sorted(left.keys() | right.keys()) if left.get(part) != right.get(part)]
        return "; ".join(_difference(f"{name}.{part}", left.get(part), right.get(part)) for part in parts)
    return f"{name}: {left} and {right}"


def _code(environment: Mapping[str, Any]) -> str:
    commit, uncommitted = environment.get("commit"), environment.get("uncommitted")
    return f"{(commit or 'unknown')[:12]}{f' with changes {uncommitted[:12]}' if uncommitted else ''}"
