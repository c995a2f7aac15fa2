"""What a dataset is: episodes, randomness, image pools, registry."""
