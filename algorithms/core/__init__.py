"""The parts that all algorithms share: contract, hyper-parameters, meta-states, inner loop, losses, optimizers."""
