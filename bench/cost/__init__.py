"""Time and memory of an experiment's settings, measured apart from its cells: one process at a time, in rounds."""
