"""Pickles of arrays are read; pickles that would run anything are refused before they do."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.core.errors import BadData
from datasets.storage import restricted_pickle


def read(content: bytes, folder: Path) -> object:
    path = folder / "data.pkl"
    path.write_bytes(content)
    return restricted_pickle.read(path)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(5, dtype=">i8"),
        np.array(["n01", "n02"]),
        np.int64(7),
    ],
    ids=str,
)
def test_arrays_come_back(value: np.ndarray, protocol: int, tmp_path: Path) -> None:
    back = read(pickle.dumps({"x": [value], "y": OrderedDict(a=range(3))}, protocol), tmp_path)
    assert isinstance(back, dict)
    np.testing.assert_array_equal(back["x"][0], value)
    found = np.asarray(back["x"][0]).dtype.newbyteorder("=")  # NumPy may swap the bytes of what it unpickles
    assert found == value.dtype.newbyteorder("=")
    assert list(back["y"]["a"]) == [0, 1, 2]


def test_python_2_pickles_are_read(tmp_path: Path) -> None:
    """As Python 2 wrote {'data': array([1, 2], dtype=uint8)} with protocol 2: the bytes are a Latin-1 string."""
    content = (
        b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x02\x01\xfetbs."
    )
    back = read(content, tmp_path)
    assert isinstance(back, dict)
    np.testing.assert_array_equal(back["data"], np.array([1, 254], np.uint8))


class Attack:
    """Runs ``function(*arguments)`` when unpickled plainly."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (Attack(os.system, "touch pwned"), "posix.system"),
        (Attack(eval, "open('pwned', 'w')"), "builtins.eval"),
        (Attack(getattr, "text", "upper"), "builtins.getattr"),
        (Attack(np.load, "pwned"), "numpy.load"),
        (Attack(deque, [1]), "collections.deque"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_anything_else_is_refused_by_name(
    attack: Attack, name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadData, match="asks to run") as caught:
        read(pickle.dumps({"image_data": np.zeros(3), "x": attack}, protocol), tmp_path)
    assert name.split(".")[1] in str(caught.value)
    assert "data.pkl" in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (pickle.dumps(np.array([{"a": 1}], dtype=object)), "dtype"),
        (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "calls numpy.ndarray"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.", "dtype.__new__"),
        (b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_makeK\x01s\x86b.", "_make"),
        (b"\x80\x02cbuiltins\nrange\nJ\x00\xca\x9a;\x85R.", "range of"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00bz2_c\x86R.", "encodes as"),
        (b"not a pickle", "not a whole pickle"),
        (b"", "not a whole pickle"),
    ],
)
def test_tricks_with_what_is_allowed_come_to_nothing(content: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=why):
        read(content, tmp_path)
    good = np.arange(3, dtype=np.uint8)
    np.testing.assert_array_equal(read(pickle.dumps(good, 2), tmp_path), good)  # nothing lingers


WHOLE = pickle.dumps({"image_data": np.zeros((2, 3, 3, 3), np.uint8), "class_dict": {"a": [0, 1], "b": range(2)}}, 2)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_pickles_are_read_or_refused(edits: list[tuple[int, int]], tmp_path: Path) -> None:
    content = bytearray(WHOLE)
    for where, value in edits:
        content[where] = value
    told = "data.pkl was read"
    try:
        read(bytes(content), tmp_path)
    except BadData as error:
        told = str(error)
    assert "data.pkl" in told


def test_a_length_beyond_all_memory_is_refused_without_harm(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """CPython's own unpickler frees a bytearray that it could not make, with a count that was never set."""
    for length in (2**50, 2**62):
        leftovers = [b"\1" * 20 + index.to_bytes(3, "little") for index in range(4000)]
        del leftovers  # memory of a bytearray's size where that count is not zero
        with pytest.raises(BadData, match="not a whole pickle"):
            read(b"\x80\x05\x96" + length.to_bytes(8, "little") + b"abc.", tmp_path)
    assert capfd.readouterr().err == ""


def test_flags_that_make_numpy_free_what_it_does_not_own_are_not_believed(tmp_path: Path) -> None:
    flags, forged = b"J\xff\xff\xff\xffK\x00t", b"J\xff\xff\xff\xffK\x3ft"
    assert WHOLE.count(flags) == 1
    found = read(WHOLE.replace(flags, forged), tmp_path)
    assert isinstance(found, dict)
    assert found["image_data"].dtype.flags == np.dtype(np.uint8).flags == 0


@pytest.mark.parametrize("shape", [(-1, 54), (2**40, 2**40), (7,), ("a",), (55,)])
def test_shapes_that_do_not_fit_the_bytes_are_refused(shape: tuple[object, ...], tmp_path: Path) -> None:
    state = pickle.dumps((1, shape, np.dtype(np.uint8), False, bytes(54)), 2)[2:-1]
    content = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(tR" + state + b"b."
    with pytest.raises(BadData, match="not a whole pickle"):
        read(content, tmp_path)


def nested(kind: type[list[object]] | type[tuple[object, ...]], depth: int = 40) -> object:
    """Each holds the one before it twice: a few dozen objects that unfold to 2 to the power of ``depth``."""
    value: object = kind([1])
    for _ in range(depth):
        value = kind([value, value])
    return value


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_lists_that_hold_each_other_are_visited_once(protocol: int, tmp_path: Path) -> None:
    array = np.arange(3, dtype=np.uint8)
    found = read(pickle.dumps({"x": nested(list), "y": [array, array]}, protocol), tmp_path)
    assert isinstance(found, dict)
    value, depth = found["x"], 0
    while value != [1]:
        assert value[0] is value[1]
        value, depth = value[0], depth + 1
    assert depth == 40
    assert found["y"][0] is found["y"][1]


def test_a_list_that_holds_itself_is_read(tmp_path: Path) -> None:
    value: list[object] = [1]
    value.append(value)
    found = read(pickle.dumps(value), tmp_path)
    assert isinstance(found, list)
    assert found[1] is found


@pytest.mark.parametrize("protocol", [2, 4])
def test_tuples_that_would_be_hashed_for_ever_are_refused(protocol: int, tmp_path: Path) -> None:
    """No dictionary of such keys can be made here either, so its pickle is put together by hand."""
    key = pickle.dumps(nested(tuple), protocol)[2:-1]
    with pytest.raises(BadData, match=r"hold each other, [\d,]+ when unfolded"):
        read(pickle.dumps({}, protocol)[:2] + b"}" + key + b"K\x01s.", tmp_path)


@pytest.mark.parametrize("message", ["dtype of state", "shape"])
def test_messages_do_not_unfold_what_is_wrong(message: str, tmp_path: Path) -> None:
    odd = pickle.dumps(nested(list), 2)[2:-1]
    content = {
        "dtype of state": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R" + odd + b"b.",
        "shape": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(X\x01\x00\x00\x00acnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
        + odd
        + b"\x85X\x01\x00\x00\x00CtR.",
    }[message]
    with pytest.raises(BadData, match=f"has an? .*{message}"):
        read(content, tmp_path)


def test_a_pipe_in_a_pickles_place_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.pkl")
    with pytest.raises(BadData, match=r"data\.pkl is a named pipe"):
        restricted_pickle.read(tmp_path / "data.pkl")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(
        st.integers() | st.text(max_size=3) | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.integers(), inner, max_size=3)
            | inner.map(lambda one: [one, one])
            | inner.map(lambda one: (one, one))
        ),
        max_leaves=20,
    ),
    protocol=st.sampled_from([0, 1, 2, 3, 4, 5]),
)
def test_whatever_is_plain_comes_back(value: object, protocol: int, tmp_path: Path) -> None:
    """The stack that is followed beforehand never refuses what may be read."""
    assert read(pickle.dumps(value, protocol), tmp_path) == value
