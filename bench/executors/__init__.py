"""Ways to run cells; each gives every cell a process of its own."""
