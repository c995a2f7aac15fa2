"""Engines, which map one task's function over tasks: one by one, by vmap, stacked, or fused."""
