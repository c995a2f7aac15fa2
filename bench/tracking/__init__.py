"""Cells and trials as runs of a tracker, TensorBoard or MLflow, over the events of a run."""
