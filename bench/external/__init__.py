"""Results of any framework: test episodes as a file, and predictions on them as cells of an experiment."""
