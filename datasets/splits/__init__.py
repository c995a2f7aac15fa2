"""The classes of each split of the published datasets."""
