"""The networks of texts: the contract, and their outputs beside sums written out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator

from algorithms.networks.entry import NETWORKS
from algorithms.networks.module import ModuleNetwork
from algorithms.testing.network_checks import assert_network_conforms


def made(name: str, **options: object) -> ModuleNetwork:
    entry = NETWORKS[name]
    network = entry.build(entry.options.model_validate(options), (6,), 3, 20)
    assert isinstance(network, ModuleNetwork)
    return network


def test_both_keep_the_contract() -> None:
    assert_network_conforms(made("text-mlp", hidden=(5, 4)), (6,))
    assert_network_conforms(made("text-cnn", embedding=3, channels=2, widths=(2, 7), dropout=0.5), (6,))


def test_text_mlp_sees_counts_of_length_one() -> None:
    network = made("text-mlp", hidden=(5,))
    weights = network.init(Generator().manual_seed(0))
    tokens = torch.tensor([[3, 7, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0], [7, 3, 0, 3, 0, 0]])
    counts = np.zeros((3, 19))
    counts[0, 2], counts[0, 6] = 2 / 5**0.5, 1 / 5**0.5
    counts[2] = counts[0]
    weight = weights["backbone.linears.0.weight"].numpy()
    expected = np.maximum(counts @ weight.T, 0)
    np.testing.assert_allclose(network.features(weights, tokens).numpy(), expected, atol=1e-5)


def test_text_cnn_takes_maxima_over_the_text() -> None:
    network = made("text-cnn", embedding=3, channels=2, widths=(2,))
    weights = {name: value.double() for name, value in network.init(Generator().manual_seed(0)).items()}
    tokens = torch.tensor([[3, 7, 1, 0, 0, 0]])
    table = weights["backbone.embedding.weight"].numpy().copy()
    table[0] = 0
    kernel, bias = (weights[f"backbone.convolutions.0.{name}"].numpy() for name in ("weight", "bias"))
    embedded = table[tokens[0]]
    sums = [
        [sum(kernel[c, :, k] @ embedded[start + k] for k in range(2)) + bias[c] for c in range(2)] for start in range(5)
    ]
    expected = np.maximum(np.array(sums), 0).max(axis=0)
    np.testing.assert_allclose(network.features(weights, tokens).numpy()[0], expected, atol=1e-12)
