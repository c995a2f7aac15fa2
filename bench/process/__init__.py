"""One process: threads, seeds, determinism, environment, memory, time, identity."""
