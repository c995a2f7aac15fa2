"""Registries: the entries that a specification can name. The algorithms' and the networks' use them too."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from datasets.core.declarations import Reference, declarations
from datasets.core.errors import UserError
from datasets.core.named_modules import name_module


class Named(Protocol):
    """An entry of a registry: a frozen record with a name."""

    @property
    def name(self) -> str: ...


class ImportedWhenRead:
    """Base of entries: an attribute that was given as a ``Reference`` is imported when it is read."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return value.imported() if isinstance(value, Reference) else value


Entry = TypeVar("Entry", bound=Named)


def suggest(name: str, known: list[str]) -> str:
    """``", did you mean 'meta-sgd'?"`` for the nearest known name, or an empty string when none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""


MOST_LISTED = 8  # names in an error's line


def among(name: str, known: Sequence[str], label: str = "known", elsewhere: str = "") -> str:
    """Return the end of a line on an unknown name: the nearest name, and all names where they are few.

    Args:
        name: what was given.
        known: what there is.
        label: what the names are called.
        elsewhere: what lists all of them where they are many, such as "`python -m bench list`"; the first ones are
            listed where there is no such thing.

    >>> among("mmal", ["maml", "reptile"])
    ", did you mean 'maml'? known: maml, reptile"
    >>> among("omniglott", ["omniglot", *map(str, range(20))], elsewhere="`python -m bench list`")
    ", did you mean 'omniglot'? `python -m bench list` lists all 21"
    """
    near = suggest(name, list(known)) or ";"
    if elsewhere and len(known) > MOST_LISTED:
        return f"{near} {elsewhere} lists all {len(known)}"
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"{near} {label}: {', '.join(known[:MOST_LISTED]) or 'none'}{more}"


_FAILED: list[str] = []


def failed_plugins() -> list[str]:
    """Return why entry points of other packages failed, a line each, of the registries that were used so far."""
    return list(_FAILED)


def _failure(point: EntryPoint, error: BaseException) -> str:
    """One line on an entry point that failed: which, of which package, and why."""
    package = f" of {point.dist.name}" if point.dist is not None else ""
    reason = " ".join(str(error).split()) or "no message"
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"entry point '{point.name}'{package} (group {point.group}, {point.value}) failed: {kind}{reason}"


def unknown(what: str, name: str, known: list[str], further: str = "") -> UserError:
    """The error that there is no such thing: with the nearest name, what lists all, what may be missing, and advice."""
    return UserError(
        f"unknown {what} '{name}'{among(name, known, elsewhere='`python -m bench list`')}; if a module of yours "
        f"registers it, name that in `plugins=`{''.join(f'; {advice}' for advice in (*_FAILED, further) if advice)}"
    )


class Registry(Generic[Entry]):
    """Entries by name: those that modules of a package declare (by module and line), then those that are added, with
    those of other installed packages behind them. The package's modules are read and not imported.

    Args:
        what: the singular noun for messages, such as ``"algorithm"``.
        group: the entry-point group through which other packages add entries, such as ``"bench.algorithms"``.
            Each entry point names an entry, or a function without arguments that returns one. One that fails leaves
            the others alone; see ``failed_plugins``.
        kind: the class of the entries; anything else that an entry point brings is refused by name.
        package: whose modules declare entries; see ``datasets.core.declarations``. None for none.
        part: the field of an entry that is the class or function below the decorator.
        decorator: the name of the decorator that declares entries.
    """

    def __init__(
        self,
        what: str,
        group: str,
        kind: type[Entry],
        package: str | None = None,
        part: str = "factory",
        decorator: str = "register",
    ) -> None:
        self._what = what
        self._group = group
        self._kind = kind
        self._package = package
        self._part = part
        self._decorator = decorator
        self._declared: dict[str, Reference] | None = None
        self._entries: dict[str, Entry] = {}
        self._plugins_read = False

    def add(self, entry: Entry) -> Entry:
        """Register ``entry`` and return it; raises UserError when the name is taken."""
        self._read_declarations()
        return self._add(entry)

    def remove(self, name: str) -> Entry:
        """Take the entry called ``name`` out and return it; raises UserError when there is none.

        It can be added again; the module of a declared one is not read a second time.
        """
        entry = self[name]
        del self._entries[name]
        return entry

    def register(self, entry: Entry) -> None:
        """Register what ``@register`` is above, when its module is imported; a declared one is known already."""
        self._read_declarations()
        thing = getattr(entry, self._part)
        if (self._declared or {}).get(entry.name) != Reference(thing.__module__, thing.__name__):
            self._add(entry)

    def _add(self, entry: Entry) -> Entry:
        if entry.name in self._entries:
            raise UserError(f"{self._what} '{entry.name}' is registered twice; give one of them another name")
        self._entries[entry.name] = entry
        return entry

    def _read_declarations(self) -> None:
        if self._declared is None:
            self._declared = {}
            for declared in declarations(self._package, self._decorator) if self._package else ():
                self._add(self._kind(**{"name": declared.name, self._part: declared.where, **declared.values}))
                self._declared[declared.name] = declared.where

    def _all(self) -> dict[str, Entry]:
        self._read_declarations()
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=self._group):
                try:
                    self._add(self._entry_of(point))
                except (Exception, SystemExit) as error:  # whatever a stranger's package raises, the others stay
                    _FAILED.append(_failure(point, error))
        return self._entries

    def _entry_of(self, point: EntryPoint) -> Entry:
        loaded = point.load()
        name_module(point.module)
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
