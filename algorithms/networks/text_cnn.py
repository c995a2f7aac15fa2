"""The convolutional network of Kim 2014 ("Convolutional neural networks for sentence classification")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algorithms.networks.entry import register_network
from algorithms.networks.options import TextCNNOptions


@register_network(
    "text-cnn",
    options=TextCNNOptions,
    paper="Kim 2014, arXiv 1408.5882",
    summary="embeddings, convolutions of widths 3, 4 and 5, and their maxima over the text; no pre-trained weights",
    inputs="tokens",
)
class TextCNN(nn.Module):
    """Embeddings, convolutions of several widths with ReLU, and maxima over time: ids [B, length] to [B, F].

    Kim's variant "CNN-rand", whose embeddings are drawn and learned; F is ``channels`` times the number of widths.

    Args:
        n_tokens: the number of ids; 0 is padding, which counts as zeros.
        embedding: numbers of an id's embedding.
        channels: filters of each width.
        widths: tokens that a filter sees.
        dropout: part of the features that is dropped in training.
    """

    def __init__(self, n_tokens: int, embedding: int, channels: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, embedding)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, channels, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.widest = max(widths)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the features of rows of token ids."""
        padded = F.pad(tokens, (0, max(0, self.widest - tokens.shape[1])))
        kept = (padded != 0).unsqueeze(-1)  # vmap gives the embedding's own `padding_idx` another row
        x = (self.embedding(padded) * kept).transpose(1, 2)
        maxima = [torch.relu(convolution(x)).amax(dim=2) for convolution in self.convolutions]
        features: Tensor = self.dropout(torch.cat(maxima, dim=1))
        return features
