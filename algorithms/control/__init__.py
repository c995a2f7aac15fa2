"""Parts of policy-gradient methods: trajectories, advantages, adaptation, and the trust region."""
