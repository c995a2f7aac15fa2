"""Specifications: grids, cells and the files of searches, validated."""
