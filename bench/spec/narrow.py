"""Parts of a grid."""

from __future__ import annotations

from collections.abc import Sequence

from bench.spec.grid import Grid, parse_grid
from datasets import UserError


def narrowed(
    grid: Grid,
    algorithms: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
) -> Grid:
    """The part of a grid that has these algorithms, datasets, shots and seeds.

    Algorithms and seeds that the grid lacks are added to it; datasets and shots must be in it.

    Raises:
        UserError: a name is unknown, or nothing is left.
    """
    content = grid.model_dump()
    if algorithms:
        content["algorithms"] = tuple(algorithms)
    if seeds:
        content["seeds"] = tuple(seeds)
    uses = list(grid.datasets)
    if datasets:
        for name in datasets:
            if name not in [use.name for use in uses]:
                known = ", ".join(use.name for use in uses)
                raise UserError(f"--datasets: grid '{grid.name}' has no dataset '{name}'; it has: {known}")
        uses = [use for use in uses if use.name in datasets]
    if shots:
        known_shots = sorted({n for use in uses for n in use.shots})
        if unknown := [n for n in shots if n not in known_shots]:
            known = ", ".join(map(str, known_shots))
            raise UserError(f"--shots: grid '{grid.name}' has no cells with {unknown[0]}; it has: {known}")
        kept = [(use, tuple(n for n in use.shots if n in shots)) for use in uses]
        uses = [use.model_copy(update={"shots": left}) for use, left in kept if left]
    content["datasets"] = tuple(use.model_dump() for use in uses)
    return parse_grid(content, f"grid '{grid.name}'")
