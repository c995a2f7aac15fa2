"""Whether an algorithm keeps the contract of ``algorithms.core.algorithm``: for anybody's algorithm, in seconds."""
