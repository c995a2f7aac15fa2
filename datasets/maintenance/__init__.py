"""What is done with a dataset's files: fetched, verified, prepared."""
