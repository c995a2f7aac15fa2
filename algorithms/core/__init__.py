"""What all algorithms share: the contract, hyper-parameters, meta-states, inner loop, losses, optimisers."""
