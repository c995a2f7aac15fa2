"""The conformance checks: tests that any algorithm and any network must pass, on synthetic data."""

from algorithms.testing.checks import assert_conforms, check
from algorithms.testing.findings import Finding
from algorithms.testing.network_checks import assert_network_conforms, check_network

__all__ = ["Finding", "assert_conforms", "assert_network_conforms", "check", "check_network"]
