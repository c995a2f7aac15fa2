"""The forms in which people have a dataset's files."""
