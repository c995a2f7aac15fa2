"""Cells run again, and what differs."""
