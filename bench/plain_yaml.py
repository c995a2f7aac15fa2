"""YAML files: plain types only, and every mistake in one line. The only reader of YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.printable import printable
from datasets import UserError


class _Loader(yaml.SafeLoader):
    """YAML's plain types only, and no field given twice, of which PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"'{repeated[0]}' is given more than once {str(node.start_mark).strip()}")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and printable(value) != value:
            raise yaml.YAMLError(f"{value!a} is no text that a file could take {str(node.start_mark).strip()}")
        return value


def read_yaml(path: Path) -> object:
    """What the file holds; raises UserError where it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
