"""What one cell does: set-up, training, evaluation, timing. No files and no processes."""
