"""Cells run: which, where and when, each in a process of its own."""
