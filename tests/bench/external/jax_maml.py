"""MAML on sinusoids in JAX, as someone else would write it: from a file of episodes to a table of predictions.

It uses nothing of this repository. ``python jax_maml.py EPISODES.npz TRAINED.csv UNTRAINED.csv`` writes the predictions
of the trained network and those of its initialization, and prints how many episodes and seconds the training took.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

STEPS, TASKS, SHOTS, INNER_LR, OUTER_LR = 300, 8, 10, 0.01, 5e-3


def network(weights, x):
    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = weights[-1]
    return x @ w + b


def loss(weights, x, y):
    return ((network(weights, x) - y) ** 2).mean()


def adapt(weights, x, y):
    gradient = jax.grad(loss)(weights, x, y)
    return jax.tree.map(lambda w, g: w - INNER_LR * g, weights, gradient)


def tasks(key):
    """Support and query points of sinusoids."""
    amplitude_key, phase_key, x_key = jax.random.split(key, 3)
    amplitude = jax.random.uniform(amplitude_key, (TASKS, 1, 1), minval=0.1, maxval=5.0)
    phase = jax.random.uniform(phase_key, (TASKS, 1, 1), maxval=jnp.pi)
    x = jax.random.uniform(x_key, (TASKS, 2 * SHOTS, 1), minval=-5.0, maxval=5.0)
    y = amplitude * jnp.sin(x - phase)
    return x[:, :SHOTS], y[:, :SHOTS], x[:, SHOTS:], y[:, SHOTS:]


def meta_loss(weights, batch):
    return jax.vmap(lambda sx, sy, qx, qy: loss(adapt(weights, sx, sy), qx, qy))(*batch).mean()


def adam(carry, key):
    weights, first, second, step = carry
    gradient = jax.grad(meta_loss)(weights, tasks(key))
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    size = OUTER_LR * jnp.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
    weights = jax.tree.map(lambda w, m, v: w - size * m / (jnp.sqrt(v) + 1e-8), weights, first, second)
    return (weights, first, second, step + 1), None


def main(episodes, trained, untrained):
    began = time.perf_counter()
    sizes = [(1, 40), (40, 40), (40, 1)]
    keys = jax.random.split(jax.random.key(0), len(sizes))
    start = [(jax.random.normal(k, s) * np.sqrt(2 / s[0]), jnp.zeros(s[1])) for k, s in zip(keys, sizes, strict=True)]
    zeros = jax.tree.map(jnp.zeros_like, start)
    steps = jax.random.split(jax.random.key(1), STEPS)
    (weights, *_), _ = jax.jit(lambda carry: jax.lax.scan(adam, carry, steps))((start, zeros, zeros, 0))
    jax.block_until_ready(weights)
    print(STEPS * TASKS, f"{time.perf_counter() - began:.2f}")
    write(trained, weights, episodes)
    write(untrained, start, episodes)


def write(path, weights, episodes):
    """Adapt to the support set of each episode, and predict its queries."""
    with np.load(episodes) as arrays:
        tasks = [arrays[name] for name in ("support_x", "support_y", "query_x")]
    predicted = jax.vmap(lambda sx, sy, qx: network(adapt(weights, sx, sy), qx)[:, 0])(*tasks)
    with Path(path).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["episode", "query", "prediction"])
        for episode, values in enumerate(np.asarray(predicted)):
            table.writerows([episode, query, float(value)] for query, value in enumerate(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
