"""Validation errors of pydantic as one line that says what to do."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from datasets import UserError
from datasets.core.printable import printable
from datasets.core.registry import suggest

_MAPPING = re.compile(r"a valid dictionary or instance of \w+")  # which pydantic calls by the name of our class


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """One of pydantic's complaints in one line: field, value, what is allowed; and how many more there are.

    An unknown field comes first: where it is a misspelt one, that one is reported as missing too.
    """
    problems = _without_consequences(error)
    problem = next((candidate for candidate in problems if candidate["type"] == "extra_forbidden"), problems[0])
    cause = problem.get("ctx", {}).get("error")
    of_cause = [cause.field] if isinstance(cause, UserError) and cause.field is not None else []
    field = printable(".".join(str(part)[:80] for part in [*problem["loc"], *of_cause])) or "the grid"
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        message = f"unknown field{suggest(str(problem['loc'][-1]), known)}; allowed: {', '.join(known)}"
        text = f"{field}: {message}"
    elif kind == "missing":
        text = f"{field}: required, but not given"
    elif kind == "value_error":
        text = f"{field}: {cause.message if isinstance(cause, UserError) else cause!s}"
    else:
        message = message.replace("a valid tuple", "a list, such as [1, 5]")
        message = _MAPPING.sub("a mapping of fields", message)
        text = f"{field}: got {shortened(problem['input'])}; {message[0].lower()}{message[1:]}"
    n_more = len(problems) - 1
    return text + (f" (and {n_more} more mistake{'s' if n_more > 1 else ''})" if n_more else "")


def _without_consequences(error: ValidationError) -> list[Any]:
    """Return pydantic's complaints, less that a list is too short because an item of it is wrong and was dropped."""
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem, place in zip(problems, places, strict=True)
        if problem["type"] != "too_short" or not any(other[: len(place)] == place != other for other in places)
    ]


def shortened(value: object) -> str:
    """``repr``, cut where it is long or deep: a few nested aliases in YAML can stand for billions of elements."""
    short = _Short()
    short.maxlevel, short.maxstring, short.maxlong, short.maxother = 2, 80, 80, 80
    return short.repr(value)


class _Short(reprlib.Repr):
    """Python refuses to write whole numbers of more than 4,300 digits."""

    def repr_int(self, x: int, level: int) -> str:
        bits = x.bit_length()
        return f"a whole number of {bits:,} bits" if bits > 10_000 else super().repr_int(x, level)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that ``path`` leads to from ``model``."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return [*model.model_fields, *getattr(model, "DERIVING", ())]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type such as ``tuple[Model, ...] | None`` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
