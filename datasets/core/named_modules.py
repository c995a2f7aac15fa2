"""The modules that the user has allowed to be imported: by option, by argument or by an installed entry point.

A specification is data: it may refer to the contents of these modules, and of no others.
"""

from __future__ import annotations

import sys

_NAMED: set[str] = set()


def name_module(name: str) -> None:
    """Note that the user has named this module."""
    _NAMED.add(name)


def is_named(name: str) -> bool:
    """Return whether the user has named this module, and it has been imported.

    >>> is_named("os")
    False
    """
    return name in _NAMED and name in sys.modules
