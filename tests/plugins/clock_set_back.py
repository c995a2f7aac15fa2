"""A clock that goes back an hour whenever it is looked at, for the tests of faults."""

from __future__ import annotations

import itertools
import time

_looks = itertools.count(1)
_began = time.time()

time.time = lambda: _began - 3600.0 * next(_looks)
time.time_ns = lambda: int(1e9 * time.time())
