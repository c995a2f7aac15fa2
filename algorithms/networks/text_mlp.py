"""A multi-layer perceptron on counts of tokens, such as hashed n-grams of characters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.networks.entry import register_network
from algorithms.networks.options import TextMLPOptions

EPSILON = 1e-6  # of the length of a vector of counts, for a text without tokens


@register_network(
    "text-mlp",
    options=TextMLPOptions,
    paper="ours; a bag of character n-grams as in Joulin et al. 2017, arXiv 1607.01759",
    summary="counts of token ids brought to length one, then ReLU layers; no pre-trained weights",
    inputs="tokens",
)
class TextMLP(nn.Module):
    """ReLU layers on how often each token id is in a text: ids [B, length] to features [B, hidden[-1]].

    The order of the tokens has no effect. The first layer's weights are standard normal numbers, so that its outputs
    are too: the counts of a text have length one.

    Args:
        n_tokens: the number of ids; 0 is padding and is not counted.
        hidden: units of the layers.
    """

    def __init__(self, n_tokens: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        sizes = (n_tokens - 1, *hidden)
        self.linears = nn.ModuleList(nn.Linear(sizes[i], sizes[i + 1]) for i in range(len(hidden)))
        nn.init.normal_(self.first.weight)
        nn.init.zeros_(self.first.bias)

    @property
    def first(self) -> nn.Linear:
        """The layer on the counts."""
        layer = self.linears[0]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the features of rows of token ids."""
        weight = self.first.weight
        empty = torch.zeros(len(tokens), self.n_tokens, dtype=weight.dtype, device=weight.device)
        counts = empty.scatter_add(1, tokens, torch.ones_like(tokens, dtype=weight.dtype))[:, 1:]
        x: Tensor = counts / (counts.norm(dim=1, keepdim=True) + EPSILON)
        for layer in self.linears:
            x = torch.relu(layer(x))
        return x
