"""Random numbers as a pure function of (key, counters): no state, so that they do not depend on the order of calls.

The generator is SplitMix64's output function (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators", figure 10) applied once per counter: ``key -> mix(key + counter * golden)``. Everything is vectorized
over NumPy arrays of counters and gives the same bits on every platform.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

UInt64Array = npt.NDArray[np.uint64]
Int64Array = npt.NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key_of(*parts: object) -> np.uint64:
    """A 64-bit key from the text of ``parts``: the first eight bytes of their SHA-256."""
    text = "\x1f".join(str(part) for part in parts)
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


def bits(key: UInt64Array | np.uint64, counter: npt.ArrayLike) -> UInt64Array:
    """64 random bits for each pair of ``key`` and ``counter``, which are broadcast against each other."""
    with np.errstate(over="ignore"):
        z = np.asarray(key, dtype=np.uint64) + (np.asarray(counter, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def uniform(key: UInt64Array | np.uint64, counter: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 random bits, one for each pair of ``key`` and ``counter``."""
    return (bits(key, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(key: UInt64Array | np.uint64, counter: npt.ArrayLike, below: npt.ArrayLike) -> Int64Array:
    """Uniform integers in [0, below); ``below`` under 2**32, so that the bias of the rounding is under 2**-21."""
    return np.floor(uniform(key, counter) * np.asarray(below, dtype=np.float64)).astype(np.int64)


def choose(key: UInt64Array, population: npt.ArrayLike, size: int) -> Int64Array:
    """Samples without replacement, in random order: the ``size`` smallest of one random number per member.

    Args:
        key: [...] one key per sample.
        population: [...] (broadcast against ``key``) how many members each sample is drawn from.
        size: how many to draw; at most the smallest population.

    Returns:
        [..., size] members as indices in [0, population).
    """
    key = np.asarray(key, dtype=np.uint64)
    counts = np.broadcast_to(np.asarray(population, dtype=np.int64), key.shape)
    largest = int(counts.max(initial=0))
    if size > int(counts.min(initial=largest)):
        raise ValueError(f"`size <= population` must hold, but got size={size}, population={int(counts.min())}")
    members = np.arange(largest, dtype=np.uint64)
    low = np.uint64((1 << (largest - 1).bit_length()) - 1)
    tickets = bits(key[..., None], members) & ~low | members  # sorted tickets name their members in the last bits
    tickets = np.where(members < counts[..., None].astype(np.uint64), tickets, np.uint64(0xFFFFFFFFFFFFFFFF))
    if size * 4 < largest:  # a partial sort is enough, and much quicker where few are drawn from many
        tickets = np.partition(tickets, size, axis=-1)[..., :size]
    return (np.sort(tickets, axis=-1)[..., :size] & low).astype(np.int64)


def choose_from_many(key: UInt64Array, population: npt.ArrayLike, size: int) -> Int64Array:
    """Return samples without replacement, in random order, at a cost that does not depend on the populations.

    Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance", CACM 30(9)), then a shuffle. The samples differ
    from those of ``choose`` under the same keys.

    Args:
        key: [...] one key per sample.
        population: [...] (broadcast against ``key``) how many members each sample is drawn from, under 2**32.
        size: how many to draw; at most the smallest population.

    Returns:
        [..., size] members as indices in [0, population).
    """
    key = np.asarray(key, dtype=np.uint64)
    counts = np.broadcast_to(np.asarray(population, dtype=np.int64), key.shape)
    if size > int(counts.min(initial=size)):
        raise ValueError(f"`size <= population` must hold, but got size={size}, population={int(counts.min())}")
    drawn = np.full((*key.shape, size), -1, dtype=np.int64)
    for place in range(size):
        last = counts - size + place
        member = integers(key, place, last + 1)
        known = (drawn[..., :place] == member[..., None]).any(axis=-1)
        drawn[..., place] = np.where(known, last, member)
    return np.take_along_axis(drawn, choose(bits(key, size), size, size), axis=-1)
