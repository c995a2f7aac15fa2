"""YAML files: plain types only, and every mistake in one line. The only reader of YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bench.spec.problems import shortened
from datasets import UserError
from datasets.core.printable import printable

TAG = "tag:yaml.org,2002:"
PLAIN = tuple(f"{TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))
DIGITS = 1000  # of a whole number at most, well below those that Python can write


class _Loader(yaml.SafeLoader):
    """Numbers, text, lists and mappings only, and no field given twice: PyYAML would silently take the last."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        where = f"in line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
        if node.tag == f"{TAG}timestamp" and isinstance(node, yaml.ScalarNode):
            raise yaml.YAMLError(f"{shortened(node.value)} {where} is a date; write it in quotes if it is text")
        if node.tag not in PLAIN:
            raise yaml.YAMLError(
                f"'{node.tag.replace(TAG, '!!')}' {where} is not allowed; use text, numbers, lists and mappings"
            )
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        kind = node.tag.removeprefix(TAG)
        if kind == "int" and len(node.value) > DIGITS:
            raise yaml.YAMLError(f"the number {where} has {len(node.value):,} digits; {DIGITS:,} are allowed")
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:  # PyYAML's constructors raise whatever comes: ValueError, KeyError, IndexError
            raise yaml.YAMLError(f"{shortened(node.value)} {where} is not of type {kind}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != f"{TAG}merge"]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"'{repeated[0]}' is given more than once {str(node.start_mark).strip()}")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and printable(value) != value:
            raise yaml.YAMLError(f"{value!a} is not valid text {str(node.start_mark).strip()}")
        return value


def read_yaml(path: Path) -> object:
    """Return what the file holds; raises UserError where it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def read_value(text: str) -> object:
    """Return the value that a text stands for in a YAML file, where ``1e-3`` is a number too.

    Raises:
        UserError: it stands for none.

    >>> read_value("5"), read_value("1e-3"), read_value("null"), read_value("[8, 8]")
    (5, 0.001, None, [8, 8])
    """
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{shortened(text)} is not a value: {problem}") from None
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?e[+-]?\d+", value, re.IGNORECASE):
        return float(value)  # YAML 1.1 wants a dot and a sign
    return value
