"""How fast we are, beside the libraries that do the same: each contender in a process of its own, rounds in turns."""
