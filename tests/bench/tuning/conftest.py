"""Fixtures that the tests of the search share: the harness's fixtures."""

from tests.bench.conftest import _no_data, _torch_settings, failing, out

__all__ = ["_no_data", "_torch_settings", "failing", "out"]
