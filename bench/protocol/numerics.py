"""The version of the numerics that makes a result.

Two results of one cell have the same bytes only where the same numerics made them. A change that moves a bit of any
result raises a version by hand: that of the algorithm (``AlgorithmEntry.numerics``), of the engine or the precision
(``algorithms.engines.names``), or of the protocol, here. ``tests.golden.check`` fails where bits moved under the same
version. The id of a cell does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from algorithms import ALGORITHMS
from algorithms.engines.names import NUMERICS, PRECISION_NUMERICS, EngineName, PrecisionName

PROTOCOL = 1
"""The version of what is the same for all algorithms: episodes, networks, losses, selection, evaluation."""

Versions = Mapping[str, int]
"""By part of the code, such as ``{"algorithm maml": 1, "engine fused": 1, "protocol": 1}``."""


def versions(algorithm: str, engine: EngineName, precision: PrecisionName | None = None) -> dict[str, int]:
    """Return the versions that a result of the algorithm under the engine has here; None is float32."""
    here = _here(algorithm)
    of_precision = [] if precision is None else [f"precision {precision}"]
    return {part: here[part] for part in (f"algorithm {algorithm}", f"engine {engine}", *of_precision, "protocol")}


def version_differences(stored: Versions | None, other: Versions | None) -> list[str]:
    """Return what differs between the versions of two results in the parts that both have, a line each.

    None stands for a result that states no version, because it was written before there were any.
    """
    if stored == other:
        return []
    if stored is None or other is None:
        known = stored if stored is not None else other or {}
        text = ", ".join(f"{part} {number}" for part, number in known.items())
        return [f"numerics: unknown and {text}" if stored is None else f"numerics: {text} and unknown"]
    shared = [part for part in stored if part in other and stored[part] != other[part]]
    return [f"numerics: {part} {stored[part]} and {other[part]}" for part in shared]


def differs_here(stored: Versions | None, algorithm: str) -> bool:
    """Return whether the algorithm would have other numerics here than those that made a stored result."""
    if stored is None:
        return True
    here = _here(algorithm)
    return any(here.get(part) != number for part, number in stored.items())


def _here(algorithm: str) -> dict[str, int]:
    """Return the versions of all parts that a result of the algorithm may have here."""
    engines = {f"engine {engine}": number for engine, number in NUMERICS.items()}
    precisions = {f"precision {precision}": number for precision, number in PRECISION_NUMERICS.items()}
    return engines | precisions | {f"algorithm {algorithm}": ALGORITHMS[algorithm].numerics, "protocol": PROTOCOL}
