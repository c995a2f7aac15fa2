"""The protocol of one cell: set-up, training, evaluation, timing. No files and no processes."""
