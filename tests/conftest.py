"""For all tests: those on generated examples see the same ones each time.

``pytest --hypothesis-profile=default`` looks for new ones.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
