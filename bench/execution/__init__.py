"""Execution of cells: which, where and when, each in a process of its own."""
