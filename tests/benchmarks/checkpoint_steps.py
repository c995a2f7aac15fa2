"""Time and memory of ResNet-12's second-order outer steps, with and without gradient checkpointing of inner steps.

``python -m tests.benchmarks.checkpoint_steps`` takes outer steps of MAML with five inner steps (5-way 1-shot, random
images, one task): inner steps kept or computed again, each in a process of its own. The rise is the peak of resident
memory above the process that has the network and the episode. ``--size``, ``--channels``, ``--queries``, ``--steps``,
``--repeats`` and ``--rows`` choose other problems and engines. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from algorithms import ALGORITHMS, Problem
from algorithms.networks.entry import NETWORKS
from bench.process.memory import peak_resident_mib, resident_mib
from datasets.core.episodes import Episodes, Shape, Support

ROWS = (("loop", False), ("loop", True), ("vmap", False), ("vmap", True))


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=84, help="height and width of images")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 160, 320, 640])
    parser.add_argument("--queries", type=int, default=5, help="queries per class")
    parser.add_argument("--steps", type=int, default=5, help="inner steps")
    parser.add_argument("--tasks", type=int, default=1, help="of an outer step")
    parser.add_argument("--repeats", type=int, default=2, help="outer steps, of which the quickest counts")
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 1], help=f"of {ROWS}")
    parser.add_argument("--row", type=int, default=None, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def episodes(options: argparse.Namespace) -> Episodes:
    """Return random images in random classes."""
    rng, n_support = np.random.default_rng(0), 5
    images = rng.normal(size=(options.tasks, n_support * (1 + options.queries), 3, options.size, options.size))
    x = torch.from_numpy(images.astype(np.float32))
    labels = torch.arange(n_support).repeat(1 + options.queries).expand(options.tasks, -1)
    index = np.arange(options.tasks)
    support = Support(x[:, :n_support], labels[:, :n_support], index, n_support)
    class_ids = np.tile(np.arange(n_support), (options.tasks, 1))
    return Episodes(index, support, x[:, n_support:], labels[:, n_support:], class_ids, class_ids)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return processor seconds of an outer step (the least) and the rise of memory of one row."""
    torch.set_num_threads(1)
    engine, again = ROWS[options.row]
    entry, kind = ALGORITHMS["maml"], NETWORKS["resnet12"]
    network = kind.build(
        kind.options.model_validate({"channels": options.channels}), (3, options.size, options.size), 5
    )
    hparams = entry.hparams.model_validate({"train_steps": options.steps, "inner_lr": 0.01})
    problem = Problem("classification", Shape(5, 1, options.queries), 64, 1)
    algorithm: Any = entry.factory(hparams, problem, network, engine, checkpoint_steps=again)
    state = algorithm.init(network.init(torch.Generator().manual_seed(0)), torch.Generator())
    batch, seconds, norm = episodes(options), [], 0.0
    baseline = resident_mib()
    for _ in range(options.repeats):
        start = time.process_time()
        gradient, _ = algorithm.meta_gradient(state, batch)
        seconds.append(time.process_time() - start)
        norm = float(sum(value.double().square().sum() for value in gradient.values())) ** 0.5
    return {"seconds": min(seconds), "rise": peak_resident_mib() - baseline, "norm": norm}


def main() -> None:
    """Print a row per engine and way."""
    options = parsed()
    if options.row is not None:
        print(json.dumps(measure(options)))
        return
    print("| engine | inner steps | CPU seconds per outer step | memory rise, MiB | length of the gradient |")
    print("| --- | --- | --- | --- | --- |")
    for row in options.rows:
        command = [sys.executable, "-m", "tests.benchmarks.checkpoint_steps", *sys.argv[1:], "--row", str(row)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        engine, again = ROWS[row]
        way = "checkpointed" if again else "kept"
        print(f"| {engine} | {way} | {found['seconds']:.1f} | {found['rise']:,.0f} | {found['norm']:.6g} |", flush=True)


if __name__ == "__main__":
    main()
