"""The parts that all datasets share: episodes, counter-based randomness, image pools, registry."""
