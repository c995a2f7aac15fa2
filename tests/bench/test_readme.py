"""The README's claims; its code is run by tests/docs."""

import re
from pathlib import Path

from typer.main import get_command

from bench.cli import app
from bench.spec.grid import load_grid

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    """The README's only block of that language with that text."""
    blocks = re.findall(rf"^```{language}[^\n]*\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


def test_the_grid_of_ones_own_is_a_grid(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(block("yaml", "algorithms: [maml, fomaml]"), encoding="utf-8")
    grid = load_grid(tmp_path / "mine.yaml")
    assert len(grid.cells()) == 20
    assert {cell.hparams["inner_lr"] for cell in grid.cells() if cell.algorithm == "maml"} == {0.2}


def test_the_grid_of_tables_has_one_of_classes_and_one_of_tasks(tmp_path: Path) -> None:
    (tmp_path / "tables.yaml").write_text(block("yaml", "kind: table"), encoding="utf-8")
    grid = load_grid(tmp_path / "tables.yaml")
    assert {use.name: use.entry.kind for use in grid.datasets} == {"plants": "classification", "doses": "regression"}
    assert grid.left_out == []
    assert len(grid.cells()) == 12


def test_the_verbs_in_the_table_exist() -> None:
    verbs = set(re.findall(r"^\| `python -m bench (\w+)", README, flags=re.MULTILINE))
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert verbs <= commands
    assert [name for name in sorted(commands - verbs) if f"`{name}`" not in README] == []
