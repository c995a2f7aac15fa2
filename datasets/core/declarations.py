"""Entries that modules declare with ``@register(...)``, read from their source so that nothing is imported.

Otherwise a registry would have to import all entries, and with them PyTorch and every library that one of them needs,
to list their names. Here a declaration's literals are read as they stand, and a name, such as
``hparams=MAMLHyperParameters``, becomes a ``Reference`` that is imported when it is used.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reference:
    """A name in a module, which is imported when the reference is used."""

    module: str
    name: str

    def imported(self) -> Any:
        """Return what it refers to; imports the module."""
        return getattr(importlib.import_module(self.module), self.name)


@dataclass(frozen=True)
class Declaration:
    """A class or function with ``@register(name, ...)`` above it.

    Attributes:
        name: the first argument.
        where: the class or function.
        values: the other arguments by name, each a literal's value or a ``Reference``.
    """

    name: str
    where: Reference
    values: Mapping[str, Any]


def declarations(package: str, decorator: str = "register") -> Iterator[Declaration]:
    """The declarations in the modules of ``package``, by module and line.

    Raises:
        ValueError: an argument is neither a literal nor a name of the module.
        ImportError: the modules lie there without their source.
    """
    for module, source in _sources(importlib.import_module(package).__path__, f"{package}."):
        if f"@{decorator}(" in source:  # parsing all of them would take longer than everything else
            yield from _declared(module, source, decorator)


def _sources(path: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """The names and sources of all modules below ``path``, by name."""
    for module in pkgutil.iter_modules(path, prefix):
        spec = module.module_finder.find_spec(module.name, None)
        source = getattr(spec and spec.loader, "get_source", lambda name: None)(module.name)
        if spec is None or source is None:
            raise ImportError(f"{module.name} has no source; install the package with its .py files")
        yield module.name, source
        if spec.submodule_search_locations:
            yield from _sources(spec.submodule_search_locations, f"{module.name}.")


def _declared(module: str, source: str, decorator: str) -> Iterator[Declaration]:
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                values = {str(keyword.arg): _value(module, keyword.value, decorator) for keyword in call.keywords}
                yield Declaration(_value(module, call.args[0], decorator), Reference(module, node.name), values)


def _value(module: str, node: ast.expr, decorator: str) -> Any:
    if isinstance(node, ast.Name):
        return Reference(module, node.id)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"{module}, line {node.lineno}: @{decorator} takes literals and names of the module, "
            f"but got {ast.unparse(node)}"
        ) from None


def field_names(declared: Reference) -> list[str]:
    """Return the names of a class's annotated fields, those of its bases first, as its source has them.

    Bases of other packages, such as ``pydantic.BaseModel``, are taken to have none.
    """
    classes, imported = _names_in(declared.module)
    if declared.name not in classes:
        return field_names(imported[declared.name]) if declared.name in imported else []
    own = classes[declared.name]
    names: list[str] = []
    for base in own.bases:
        if isinstance(base, ast.Name) and (base.id in classes or base.id in imported):
            names += field_names(Reference(declared.module, base.id))
    names += [
        node.target.id
        for node in own.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not ast.unparse(node.annotation).startswith("ClassVar")
    ]
    return list(dict.fromkeys(names))


@functools.cache
def _names_in(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, Reference]]:
    """Return the classes of a module by name, and what it imports from modules of its package."""
    spec = importlib.util.find_spec(module)
    tree = ast.parse(getattr(spec and spec.loader, "get_source", lambda name: None)(module) or "")
    package = module.partition(".")[0]
    imported = {
        alias.asname or alias.name: Reference(node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == package
        for alias in node.names
    }
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, imported
