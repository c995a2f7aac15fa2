"""Maintenance of a dataset's files: fetch, verify, prepare."""
