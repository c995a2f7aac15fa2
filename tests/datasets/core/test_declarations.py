"""Entries are read from the source above their classes, and are what importing the modules would give."""

from __future__ import annotations

import py_compile
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from datasets.core.declarations import Reference, declarations
from datasets.core.errors import UserError
from datasets.core.registry import ImportedWhenRead, Registry
from tests.bench.helpers import environment

BY_IMPORT = """
import importlib
from datasets.core.declarations import declarations
from datasets.core.registry import Registry
from {package}.core import entry

read = {{one.name: one for one in entry.{registry}}}
entry.{registry} = Registry("entry", "none", entry.{kind}, None, {part!r})
for module in dict.fromkeys(one.where.module for one in declarations({package!r})):
    importlib.import_module(module)
made = {{one.name: one for one in entry.{registry}}}
assert made == read, (made, read)
print(*read)
"""


@pytest.mark.parametrize(
    ("package", "registry", "kind", "part"),
    [("algorithms", "ALGORITHMS", "AlgorithmEntry", "factory"), ("datasets", "DATASETS", "DatasetEntry", "load")],
)
def test_what_is_read_is_what_importing_gives(package: str, registry: str, kind: str, part: str) -> None:
    text = BY_IMPORT.format(package=package, registry=registry, kind=kind, part=part)
    done = subprocess.run([sys.executable, "-c", text], env=environment(), capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [one.name for one in declarations(package)]
    assert len(done.stdout.split()) >= 6


@dataclass(frozen=True)
class Shown(ImportedWhenRead):
    name: str
    factory: type
    paper: str
    size: object = None


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package without modules."""
    folder = tmp_path / "declaring"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "declaring"]:
        del sys.modules[name]


def registry() -> Registry[Shown]:
    return Registry("thing", "none", Shown, "declaring")


def test_modules_are_read_and_not_imported(package: Path) -> None:
    (package / "inner").mkdir()
    (package / "inner/__init__.py").touch()
    broken = "import nothing_of_this_name\nSIZE = 3\n"
    (package / "b.py").write_text(
        f'{broken}@register("second", paper="of " "two parts", size=SIZE)\nclass B:\n    pass\n'
    )
    (package / "inner/a.py").write_text(f'{broken}@register("third", paper="x")\ndef make():\n    pass\n')
    (package / "a.py").write_text(f'{broken}@other\n@register("first", paper="x", size=(1, 2))\nclass A:\n    pass\n')
    found = registry()
    assert found.names() == ["first", "second", "third"]
    assert found["first"].size == (1, 2)
    assert found["second"].paper == "of two parts"
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        _ = found["second"].size
    assert [one.where for one in declarations("declaring")][2] == Reference("declaring.inner.a", "make")


def test_what_stands_for_something_is_imported_when_it_is_read(package: Path) -> None:
    (package / "b.py").write_text("""
register = lambda *arguments, **values: lambda thing: thing
SIZE = [3]

@register("one", paper="x", size=SIZE)
class B:
    pass
""")
    entry = registry()["one"]
    assert "declaring.b" not in sys.modules
    assert entry.size is sys.modules["declaring.b"].SIZE
    assert entry.factory is sys.modules["declaring.b"].B


def test_a_module_that_is_imported_registers_what_was_read_no_second_time(package: Path) -> None:
    @dataclass
    class Other:
        pass

    (package / "b.py").write_text("""
register = lambda *arguments, **values: lambda thing: thing

@register("one", paper="x")
class B:
    pass
""")
    found = registry()
    found.register(Shown("one", found["one"].factory, "x"))
    found.register(Shown("two", Other, "x"))
    assert found.names() == ["one", "two"]
    for again in (Shown("one", Other, "x"), Shown("two", Other, "x")):
        with pytest.raises(UserError, match="registered twice"):
            found.register(again)


def test_two_modules_cannot_declare_one_name(package: Path) -> None:
    for name in ("a", "b"):
        (package / f"{name}.py").write_text('@register("one", paper="x")\nclass A:\n    pass\n')
    with pytest.raises(UserError, match="'one' is registered twice"):
        registry().names()


def test_an_argument_that_must_be_worked_out_is_refused(package: Path) -> None:
    (package / "a.py").write_text('\n@register("one", paper=f"{1}")\nclass A:\n    pass\n')
    with pytest.raises(ValueError, match=r"declaring.a, line 2: @register takes literals and names .* got f'\{1\}'"):
        registry().names()


def test_a_module_without_source_is_named(package: Path) -> None:
    (package / "a.py").write_text("SIZE = 1\n")
    py_compile.compile(str(package / "a.py"), cfile=str(package / "a.pyc"))
    (package / "a.py").unlink()
    with pytest.raises(ImportError, match=r"declaring\.a has no source"):
        registry().names()


def test_an_entry_is_removed_and_can_be_added_again() -> None:
    known: Registry[Shown] = Registry("thing", "none", Shown)
    entry = known.add(Shown("mine", int, "x"))
    assert known.remove("mine") is entry
    assert "mine" not in known
    with pytest.raises(UserError, match="unknown thing 'mine'"):
        known.remove("mine")
    assert known.add(entry) is entry
