"""What several verbs share: reading lists from options."""

from __future__ import annotations

from typing import TypeVar

from datasets import UserError
from datasets.registry import suggest

Choice = TypeVar("Choice", bound=str)


def comma_separated(text: str | None) -> tuple[str, ...] | None:
    """``"a, b"`` as ``("a", "b")``; None where the option is not given."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def whole_numbers(text: str | None, option: str, least: int) -> tuple[int, ...] | None:
    """``"1,5"`` as ``(1, 5)``; raises UserError with the part that is not a whole number from ``least``."""
    parts = comma_separated(text)
    if parts is None:
        return None
    for part in parts:
        if not part.isdecimal() or int(part) < least:
            raise UserError(f"{option}: got '{part}'; use whole numbers from {least}, such as {option} 1,5")
    return tuple(int(part) for part in parts)


def one_of(option: str, value: str, allowed: tuple[Choice, ...]) -> Choice:
    """``value`` where it is allowed; raises UserError with what is."""
    for choice in allowed:
        if choice == value:
            return choice
    raise UserError(f"{option}: got '{value}'{suggest(value, list(allowed))}; use one of {', '.join(allowed)}")
