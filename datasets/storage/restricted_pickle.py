"""Pickles of arrays in plain containers, read without giving the pickle a way to run anything.

A pickle is a program whose only reach outside is ``find_class``. Here it finds six things: what NumPy's own arrays,
dtypes and scalars are rebuilt with, a range, an ordered dictionary and the Latin-1 detour that Python 2 made for bytes.
None of them is the real thing: each is a stand-in that makes one kind of plain value and refuses all else, so that even
calling them with odd arguments, or setting attributes on them, comes to nothing. Everything else is refused by name.
"""

from __future__ import annotations

import pickle
import pickletools
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets.core.errors import BadData
from datasets.storage.reading import reading, require_file

_PLAIN_DTYPE = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f[248]|[SU]\d{1,4}|[bBhHiIlLqQ])")
_BYTE_ORDERS = ("<", ">", "=", "|")
_MAX_RANGE = 10**7
_MAX_HASHED = 10**7
_HASHED_THROUGH = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")


def _short(value: object) -> str:
    """``repr``, cut where it is deep: of a few containers that hold each other the whole would never end."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value)


class _StandIn:
    """A callable whose attributes cannot be set, because pickles may try to."""

    __slots__ = ("_make",)
    _make: Callable[..., object]

    def __init__(self, make: Callable[..., object]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"sets the attribute '{name}'")


class _DType:
    """A dtype as the pickle states it; NumPy's own trusts flags that make it free memory that it does not own."""

    def __init__(self, text: object, *_: object) -> None:
        if not isinstance(text, str) or not _PLAIN_DTYPE.fullmatch(text):
            raise pickle.UnpicklingError(f"has an array of dtype {_short(text)}")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: object) -> None:
        """Take the byte order in; a plain dtype has nothing else to say."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in _BYTE_ORDERS:
            raise pickle.UnpicklingError(f"has a dtype of state {_short(state)}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array as the pickle states it, until all is read: NumPy's own trusts what the pickle says."""

    def __init__(self, *_: object) -> None:
        self.array: np.ndarray = np.empty(0, np.uint8)

    def __setstate__(self, state: object) -> None:
        """(version, shape, dtype, whether in Fortran's order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("has an array of another kind")
        self.array = _from_bytes(state[4], state[2], state[1], "F" if state[3] else "C")


def _from_bytes(content: object, dtype: object, shape: object, order: object) -> np.ndarray:
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin1")
    if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _DType) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("rebuilds an array from something else than bytes")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise pickle.UnpicklingError(f"has an array of shape {_short(shape)}")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _array_type(*_: object) -> object:
    raise pickle.UnpicklingError("calls numpy.ndarray")


def _scalar(dtype: object, content: object) -> object:
    if not isinstance(dtype, _DType) or not isinstance(content, bytes | str):
        raise pickle.UnpicklingError("has a scalar that is not plain")
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype.dtype)[0]


def _finished(value: object, done: dict[int, object]) -> object:
    """The same plain containers with arrays in place of what stood for them.

    Args:
        value: what the unpickler made.
        done: what came of containers that were met before, by their ``id``: a few that hold each other can stand for
            billions, and each is visited once.
    """
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _DType):
        return value.dtype
    if not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            mapping: dict[object, object] = {}
            done[id(value)] = mapping  # before what it holds, which may be itself
            mapping.update((_finished(key, done), _finished(inner, done)) for key, inner in value.items())
        elif isinstance(value, list):
            items: list[object] = []
            done[id(value)] = items
            items.extend(_finished(inner, done) for inner in value)
        else:
            done[id(value)] = tuple(_finished(inner, done) for inner in value)
    return done[id(value)]


def _latin1(text: object, encoding: object = "latin1") -> object:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encodes as {_short(encoding)}")
    return text.encode("latin1")


def _range(*bounds: object) -> object:
    if not all(isinstance(bound, int) and abs(bound) < _MAX_RANGE for bound in bounds):
        raise pickle.UnpicklingError(f"has a range of {_short(bounds)}")
    return range(*(bound for bound in bounds if isinstance(bound, int)))


def _dictionary(*items: object) -> object:
    if items not in ((), ([],)):
        raise pickle.UnpicklingError("has an ordered dictionary of another kind")
    return {}


_ALLOWED: dict[tuple[str, str], _StandIn] = {
    ("numpy", "ndarray"): _StandIn(_array_type),
    ("numpy", "dtype"): _StandIn(_DType),
    ("_codecs", "encode"): _StandIn(_latin1),
    ("builtins", "range"): _StandIn(_range),
    ("__builtin__", "xrange"): _StandIn(_range),
    ("collections", "OrderedDict"): _StandIn(_dictionary),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[_core + ".multiarray", "_reconstruct"] = _StandIn(_Array)
    _ALLOWED[_core + ".multiarray", "scalar"] = _StandIn(_scalar)
    _ALLOWED[_core + ".numeric", "_frombuffer"] = _StandIn(_from_bytes)


class _RefusedError(Exception):
    """Raised for a pickle that asks for more than plain values."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> object:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]


def _look_through(file: BinaryIO) -> None:
    """Raise where the pickle could not be unpickled without harm: a program in which nothing is run yet.

    A length beyond all memory, which crashes CPython, makes ``genops`` raise. A tuple or frozen set is hashed through
    all that it holds, as often as it holds it, so that forty of them that hold each other twice would never end: the
    stack is followed with the number of values below each of them in place of the values.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name == "MARK":
            marks.append(len(stack))
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(str(argument))] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(str(argument))])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        else:
            before = opcode.stack_before
            start = len(stack) - len(before)
            if pickletools.markobject in before:
                start = marks.pop() - before.index(pickletools.markobject)
            if start < 0:
                raise pickle.UnpicklingError("takes more than it has")
            below = 1 + sum(stack[start:])
            del stack[start:]
            if name in _HASHED_THROUGH and below > _MAX_HASHED:
                raise pickle.UnpicklingError(f"holds values that hold each other, {below:,} when unfolded")
            stack += [below if name in _HASHED_THROUGH else 1] * len(opcode.stack_after)


def read(path: Path) -> object:
    """Return what the pickle at ``path`` holds, with text of Python 2 read as Latin-1.

    Raises:
        BadData: the pickle asks for anything but plain values, or is damaged.
    """
    require_file(path)
    with reading(path), path.open("rb") as file:
        return read_from(file, str(path))


def read_from(file: BinaryIO, where: str) -> object:
    """Return what the pickle in ``file`` holds; messages call it ``where``. Raises what ``read`` raises."""
    try:
        _look_through(file)
        file.seek(0)
        return _finished(_Unpickler(file, encoding="latin1").load(), {})
    except _RefusedError as refusal:
        raise BadData(
            f"{where} is not read: as a pickle it asks to run {refusal}, and only NumPy arrays in plain "
            "containers are allowed; it may be an attack, so get the file from its publisher"
        ) from refusal
    except Exception as error:  # damaged or hostile bytes make the unpickler raise many kinds
        raise BadData(f"{where} is not a whole pickle of plain arrays ({error}); get a new copy") from error
