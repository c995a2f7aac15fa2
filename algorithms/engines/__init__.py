"""How tasks are mapped: one by one, by vmap, stacked, or fused."""
