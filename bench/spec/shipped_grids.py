"""The grids that come with the package: what they are called and what they are for."""

from __future__ import annotations

from pathlib import Path

GRIDS = Path(__file__).parent / "grids"


def grid_names() -> list[str]:
    """The names of the grids."""
    return sorted(path.stem for path in GRIDS.glob("*.yaml"))


def is_shipped(grid: object) -> bool:
    """Return whether this is the name of one of them, and not a grid of the user's own or its file."""
    return isinstance(grid, str) and grid in grid_names()


def description(name: str) -> str:
    """Return what the grid of that name is for, as its file says; the file is not checked."""
    from bench.spec.yaml_file import read_yaml

    content = read_yaml(GRIDS / f"{name}.yaml")
    return str(content.get("description", "")) if isinstance(content, dict) else ""
