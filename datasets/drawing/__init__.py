"""Episodes drawn, for a look at a dataset."""
