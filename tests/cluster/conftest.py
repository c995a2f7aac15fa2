"""The tests of clusters know the same plugins and settings as the harness's."""

from __future__ import annotations

from tests.bench.conftest import _no_data, _torch_settings, failing, main, out

__all__ = ["_no_data", "_torch_settings", "failing", "main", "out"]
