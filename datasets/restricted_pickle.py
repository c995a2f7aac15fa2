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
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets.location import BadData

_PLAIN_DTYPE = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f[248]|[SU]\d{1,4}|[bBhHiIlLqQ])")
_MAX_RANGE = 10**7


class _StandIn:
    """A callable that cannot be changed: pickles may set attributes on whatever they found."""

    __slots__ = ("_make",)
    _make: Callable[..., object]

    def __init__(self, make: Callable[..., object]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"sets the attribute '{name}'")


def _array_type(*_: object) -> object:
    raise pickle.UnpicklingError("calls numpy.ndarray")


_NDARRAY = _StandIn(_array_type)


def _empty_array(*_: object) -> object:
    """What ``_reconstruct`` gives: an array without elements, whose state follows."""
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def _array_of_buffer(buffer: object, dtype: object, shape: object, order: object) -> object:
    """What protocol 5 rebuilds a contiguous array with."""
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, np.dtype) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("rebuilds an array from something else than bytes")
    return np.frombuffer(buffer, dtype).reshape(shape, order="F" if order == "F" else "C")


def _dtype(text: object, *_: object) -> object:
    if not isinstance(text, str) or not _PLAIN_DTYPE.fullmatch(text):
        raise pickle.UnpicklingError(f"has an array of dtype {text!r}")
    return np.dtype(text, copy=True)


def _scalar(dtype: object, content: object) -> object:
    if not isinstance(dtype, np.dtype) or not isinstance(content, bytes | str):
        raise pickle.UnpicklingError("has a scalar that is not plain")
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype)[0]


def _latin1(text: object, encoding: object = "latin1") -> object:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encodes as {encoding!r}")
    return text.encode("latin1")


def _range(*bounds: object) -> object:
    if not all(isinstance(bound, int) and abs(bound) < _MAX_RANGE for bound in bounds):
        raise pickle.UnpicklingError(f"has a range of {bounds!r}")
    return range(*(bound for bound in bounds if isinstance(bound, int)))


def _dictionary(*items: object) -> object:
    if items not in ((), ([],)):
        raise pickle.UnpicklingError("has an ordered dictionary of another kind")
    return {}


_ALLOWED: dict[tuple[str, str], _StandIn] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _StandIn(_dtype),
    ("_codecs", "encode"): _StandIn(_latin1),
    ("builtins", "range"): _StandIn(_range),
    ("__builtin__", "xrange"): _StandIn(_range),
    ("collections", "OrderedDict"): _StandIn(_dictionary),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[_core + ".multiarray", "_reconstruct"] = _StandIn(_empty_array)
    _ALLOWED[_core + ".multiarray", "scalar"] = _StandIn(_scalar)
    _ALLOWED[_core + ".numeric", "_frombuffer"] = _StandIn(_array_of_buffer)


class _RefusedError(Exception):
    """A pickle that asks for more than plain values."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> object:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]


def read(path: Path) -> object:
    """What the pickle at ``path`` holds, text of Python 2 as Latin-1.

    Raises:
        BadData: the pickle asks for anything but plain values, or is damaged.
    """
    with path.open("rb") as file:
        try:
            for _ in pickletools.genops(file):  # its lengths first, for CPython crashes over one beyond all memory
                pass
            file.seek(0)
            return _Unpickler(file, encoding="latin1").load()
        except _RefusedError as refusal:
            raise BadData(
                f"{path} is not read: as a pickle it asks to run {refusal}, and only NumPy arrays in plain "
                "containers are allowed; it may be an attack, so get the file from its publisher"
            ) from refusal
        except Exception as error:  # damaged or hostile bytes make the unpickler raise many kinds
            raise BadData(f"{path} is not a whole pickle of plain arrays ({error}); get it anew") from error
