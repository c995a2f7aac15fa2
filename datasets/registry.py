"""Named, closed sets of things that a specification can ask for, and the error that a user's mistake becomes.

Shared by the datasets' and the algorithms' registries: the one module besides ``episodes`` that both packages use.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar


class UserError(ValueError):
    """A mistake that the user can mend. Its message is one line: what was wrong, with the values, and what to do."""


class Named(Protocol):
    """Whatever a registry holds: a frozen record with a name."""

    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


def suggest(name: str, known: list[str]) -> str:
    """``", did you mean 'meta-sgd'?"`` for the nearest known name, or an empty string when none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


_FAILED: list[str] = []


def failed_plugins() -> list[str]:
    """Why entry points of other packages gave no entry, a line each, as far as registries have looked at them."""
    return list(_FAILED)


def _failure(point: EntryPoint, error: BaseException) -> str:
    """One line on an entry point that failed: which, of which package, and why."""
    package = f" of {point.dist.name}" if point.dist is not None else ""
    reason = " ".join(str(error).split()) or "no message"
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"entry point '{point.name}'{package} (group {point.group}, {point.value}) failed: {kind}{reason}"


def unknown(what: str, name: str, known: list[str]) -> UserError:
    """The error that there is no such thing: with the nearest name, all names, and what may be missing."""
    return UserError(
        f"unknown {what} '{name}'{suggest(name, known) or ';'} known: {', '.join(known)}; if a module of yours "
        f"registers it, name that with --import{''.join(f'; {one}' for one in _FAILED)}"
    )


class Registry(Generic[Entry]):
    """Entries by name, in the order of registration, with those of other installed packages behind them.

    Args:
        what: the singular noun for messages, such as ``"algorithm"``.
        group: the entry-point group through which other packages add entries, such as ``"bench.algorithms"``.
            Each entry point names an entry, or a function without arguments that returns one. One that fails leaves
            the others alone; see ``failed_plugins``.
        kind: the class of the entries; anything else that an entry point brings is refused by name.
    """

    def __init__(self, what: str, group: str, kind: type[Entry]) -> None:
        self._what = what
        self._group = group
        self._kind = kind
        self._entries: dict[str, Entry] = {}
        self._plugins_read = False

    def add(self, entry: Entry) -> Entry:
        """Register ``entry``; raises UserError when the name is taken."""
        if entry.name in self._entries:
            raise UserError(f"{self._what} '{entry.name}' is registered twice; give one of them another name")
        self._entries[entry.name] = entry
        return entry

    def _all(self) -> dict[str, Entry]:
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=self._group):
                try:
                    self.add(self._entry_of(point))
                except (Exception, SystemExit) as error:  # whatever a stranger's package raises, the others stay
                    _FAILED.append(_failure(point, error))
        return self._entries

    def _entry_of(self, point: EntryPoint) -> Entry:
        loaded = point.load()
        entry = loaded if isinstance(loaded, self._kind) else loaded()
        if not isinstance(entry, self._kind):
            raise UserError(f"it gives a {type(entry).__name__}, but must give a {self._kind.__name__}")
        return entry

    def __getitem__(self, name: str) -> Entry:
        """The entry called ``name``; raises UserError with the nearest name, and what may be missing, when there is
        none."""
        entries = self._all()
        if name not in entries:
            raise unknown(self._what, name, list(entries))
        return entries[name]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._all().values())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._all())
