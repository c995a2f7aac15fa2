"""What the user asks for: grids, cells and the files of searches, validated."""
