"""Reproducibility: cells run again, and compared with the stored results."""
