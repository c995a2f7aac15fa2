"""Networks: a registry, the built-in ones, and an adapter for any ``nn.Module``."""
