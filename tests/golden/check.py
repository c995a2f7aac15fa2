"""Compare what the harness computes now with what is committed: ``python -m tests.golden.check``.

Data, protocol and statistics must be equal; trained numbers may differ as far as other kernels move them. In the
environment where they were taken down their bytes must be equal too, unless a version of ``bench.protocol.numerics``
was raised. Ends with exit code 1 and the differences printed where they are not. ``tox -e golden`` calls it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.golden.values import PARTS

FOLDER = Path(__file__).parent
TOLERANCE = {"test_accuracy": 0.03, "test_mse": 0.1, "test_return": 0.1, "weights": 0.01, "policy_weights": 0.25}
"""Accuracies may be so far apart, in [0, 1]; errors, returns and weights by so much of what is committed.

The Fisher matrix of a few trajectories is nearly singular, so that last digits turn the steps of trust-region methods.
"""


def committed(part: str) -> dict[str, Any]:
    """Return what ``tests.golden.write`` took down."""
    return dict(json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8")))


def differences(part: str, golden: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what differs, a line each, with the way to it."""
    place = where or part
    if part == "numerics" and not where:
        yield from of_numerics(golden, now)
    elif isinstance(golden, dict) and isinstance(now, dict):
        for name in sorted(golden.keys() | now.keys()):
            if name not in golden or name not in now:
                yield f"{place}: {name}: {'not committed' if name not in golden else 'gone'}"
            else:
                yield from differences(part, golden[name], now[name], f"{place}: {name}")
    elif part == "trained":
        if not close(place.rsplit(": ", 1)[1], golden, now):
            yield f"{place}: {golden} and {now}"
    elif golden != now:
        yield f"{place}: {golden} and {now}"


def of_numerics(golden: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Say which versions of the numerics are others, and, in the same environment, which bytes are under the same."""
    same_place = golden["environment"] == now["environment"]
    yield from differences(
        "versions", *({name: of["versions"] for name, of in each["cells"].items()} for each in (golden, now))
    )
    for name in golden["cells"].keys() & now["cells"].keys() if same_place else ():
        before, after = golden["cells"][name], now["cells"][name]
        if before["versions"] == after["versions"] and before != after:
            parts = ", ".join(before["versions"])
            yield f"numerics: {name}: its bytes are others under the same versions; raise the one that changed: {parts}"


def close(name: str, golden: float, now: float) -> bool:
    """Return whether a trained number is as near as other kernels leave it; errors near 0 may all be 1e-6."""
    kind = next(kind for kind in TOLERANCE if name.startswith(kind))
    return abs(golden - now) <= TOLERANCE[kind] * (1.0 if kind == "test_accuracy" else abs(golden)) + 1e-6


def main() -> int:
    """Compute, compare and print."""
    found = [line for part, compute in PARTS.items() for line in differences(part, committed(part), compute())]
    for line in found:
        print(line)
    print(f"golden values: {len(found)} differences")
    if found:
        print("where they are meant: python -m tests.golden.write, and say why in the commit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
