"""Which classes are in which split."""
