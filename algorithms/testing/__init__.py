"""The conformance check: tests that any algorithm must pass, on synthetic data."""

from algorithms.testing.checks import Finding, assert_conforms, check

__all__ = ["Finding", "assert_conforms", "check"]
