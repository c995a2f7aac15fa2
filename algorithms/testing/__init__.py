"""Whether an algorithm keeps the contract of ``algorithms.core.algorithm``, for any algorithm and without data."""

from algorithms.testing.checks import Finding, assert_conforms, check

__all__ = ["Finding", "assert_conforms", "check"]
