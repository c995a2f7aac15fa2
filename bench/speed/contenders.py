"""Contenders: each prepares a function that does a workload's work once, and its meta-gradient in float64.

Libraries get the same network as a plain module (``bench.speed.module``), the same episodes and the same initial
weights, and do what their own examples do: one task after the other, a backward pass into the shared gradients.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.core.algorithm import Algorithm
from algorithms.core.meta_state import State
from algorithms.engines.names import EngineName
from algorithms.maml import GradientThroughAdaptation
from algorithms.networks.module import ModuleNetwork
from bench.process.allocator import keep_large_buffers
from bench.speed.module import as_module, named
from bench.speed.workloads import Workload

Gradient = Mapping[str, Tensor]
AT_ONCE = 25  # evaluation adapts to so many episodes together


@dataclass(frozen=True)
class Prepared:
    """A contender on a workload.

    Attributes:
        work: does the workload's work once.
        gradient: the mean meta-gradient over the workload's first two tasks, by the network's weight names; None where
            the method has none.
    """

    work: Callable[[], object]
    gradient: Callable[[], Gradient] | None


@dataclass(frozen=True)
class Contender:
    """A way to do a workload's work.

    Attributes:
        name: ours by engine or by the method that takes MAML's place, others by library.
        algorithms: what it can run.
        prepare: makes it, for float32 or float64.
        missing: what to install, or None.
        works: outer steps, evaluation or both.
        modules: whether it takes any ``nn.Module``, or only the networks that are written out for it.
    """

    name: str
    algorithms: tuple[str, ...]
    prepare: Callable[[Workload, torch.dtype], Prepared]
    missing: Callable[[], str | None] = lambda: None
    works: tuple[str, ...] = ("outer step", "evaluation")
    modules: bool = True

    def takes(self, workload: Workload) -> bool:
        is_its = self.modules or not isinstance(workload.network, ModuleNetwork)
        return workload.algorithm in self.algorithms and workload.work in self.works and is_its


EVERY = ("maml", "fomaml", "anil", "meta-sgd", "reptile")


def _needs(package: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(package) else f"{package} is not installed; run: uv sync --group speed"


def _ours(engine: EngineName | None) -> Callable[[Workload, torch.dtype], Prepared]:
    def prepare(workload: Workload, dtype: torch.dtype) -> Prepared:
        keep_large_buffers()
        algorithm, state = workload.made(workload.algorithm, engine, dtype)
        return _of_algorithm(workload, algorithm, state, dtype)

    return prepare


def _cheaper(name: str) -> Callable[[Workload, torch.dtype], Prepared]:
    """Another method of ours on the workload of MAML: what leaving something out saves. Its gradient is another."""

    def prepare(workload: Workload, dtype: torch.dtype) -> Prepared:
        keep_large_buffers()
        algorithm, state = workload.made(name, None, dtype)
        return Prepared(_of_algorithm(workload, algorithm, state, dtype).work, None)

    return prepare


def _of_algorithm(workload: Workload, algorithm: Algorithm[Any], state: State, dtype: torch.dtype) -> Prepared:
    if workload.work == "method":
        return Prepared(_training(workload, algorithm, state, dtype), None)
    episodes = workload.episodes(dtype)

    def outer_step() -> object:
        return algorithm.outer_step(state, episodes)

    def evaluate() -> object:
        predictions = []
        for start in range(0, workload.tasks, AT_ONCE):
            part = episodes[start : start + AT_ONCE]
            *_, (_, weights) = algorithm.adapt(state, part.support, algorithm.test_steps)
            with torch.no_grad():
                predictions.append(algorithm.predict(weights, part.support, part.query_x, "transductive"))
        return predictions

    def gradient() -> Gradient:
        assert isinstance(algorithm, GradientThroughAdaptation)
        predictions, _ = algorithm.meta_gradient(state, workload.episodes(dtype, 2))
        return {name.removeprefix("weights/"): v for name, v in predictions.items() if name.startswith("weights/")}

    has_one = isinstance(algorithm, GradientThroughAdaptation)
    return Prepared(outer_step if workload.work == "outer step" else evaluate, gradient if has_one else None)


def _training(workload: Workload, algorithm: Algorithm[Any], state: State, dtype: torch.dtype) -> Callable[[], object]:
    """One outer step after the other."""

    def step() -> None:
        nonlocal state
        state, _ = algorithm.outer_step(state, workload.batch(dtype))

    return step


def _loss(workload: Workload, outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, targets) if workload.kind == "regression" else F.cross_entropy(outputs, targets)


def _each_task(
    workload: Workload, dtype: torch.dtype, module: torch.nn.Module, task: Callable[[Any, int, bool], None]
) -> Prepared:
    """A library's outer step: ``task`` adds one task's gradient to the module's, then Adam steps.

    ``task`` takes episodes, the task's number, and whether to adapt for evaluation (with the test steps) instead.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    episodes = workload.episodes(dtype)

    def run(part: Any, evaluate: bool = False) -> None:
        for t in range(len(part)):
            task(part, t, evaluate)

    def outer_step() -> None:
        optimizer.zero_grad()
        run(episodes)
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(workload.tasks)
        optimizer.step()

    def gradient() -> Gradient:
        optimizer.zero_grad()
        run(workload.episodes(dtype, 2))
        return {name: value / 2 for name, value in named(module).items()}

    work = outer_step if workload.work == "outer step" else lambda: run(episodes, evaluate=True)
    return Prepared(work, gradient)


def _learn2learn(workload: Workload, dtype: torch.dtype) -> Prepared:
    with redirect_stderr(io.StringIO()):  # one of its dependencies prints advertising when imported
        from learn2learn.algorithms import MAML, MetaSGD
    first_order = workload.algorithm == "fomaml"
    module = as_module(workload.network, workload.weights(dtype))
    if workload.algorithm == "meta-sgd":
        learned = MetaSGD(module, lr=0.05)
    else:
        learned = MAML(module, lr=workload.hparams["inner_lr"], first_order=first_order)

    def task(episodes: Any, t: int, evaluate: bool) -> None:
        learner = learned.clone()
        steps = workload.hparams["test_steps" if evaluate else "train_steps"]
        for _ in range(steps):
            loss = _loss(workload, learner(episodes.support.x[t]), episodes.support.y[t])
            with warnings.catch_warnings():  # its MetaSGD keeps gradients in .grad of tensors that are no leaves
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
                learner.adapt(loss, first_order=True) if evaluate else learner.adapt(loss)
        if evaluate:
            with torch.no_grad():
                learner(episodes.query_x[t])
            return
        torch.autograd.backward([_loss(workload, learner(episodes.query_x[t]), episodes.query_y[t])])

    prepared = _each_task(workload, dtype, learned, task)
    # its MetaSGD starts from one rate where ours draws many, so that the gradients are not the same thing
    return prepared if workload.algorithm != "meta-sgd" else Prepared(prepared.work, None)


def _higher(workload: Workload, dtype: torch.dtype) -> Prepared:
    with warnings.catch_warnings():  # its code has escapes and comparisons that newer Pythons warn of
        warnings.simplefilter("ignore")
        import higher

    module = as_module(workload.network, workload.weights(dtype))
    inner = torch.optim.SGD(module.parameters(), lr=workload.hparams["inner_lr"])
    second_order = workload.algorithm == "maml"

    def task(episodes: Any, t: int, evaluate: bool) -> None:
        steps = workload.hparams["test_steps" if evaluate else "train_steps"]
        with higher.innerloop_ctx(
            module, inner, copy_initial_weights=False, track_higher_grads=second_order and not evaluate
        ) as (functional, differentiable):
            for _ in range(steps):
                differentiable.step(_loss(workload, functional(episodes.support.x[t]), episodes.support.y[t]))
            if evaluate:
                with torch.no_grad():
                    functional(episodes.query_x[t])
                return
            torch.autograd.backward([_loss(workload, functional(episodes.query_x[t]), episodes.query_y[t])])

    return _each_task(workload, dtype, module, task)


def _torchopt(workload: Workload, dtype: torch.dtype) -> Prepared:
    import torchopt

    module = as_module(workload.network, workload.weights(dtype))
    inner = torchopt.MetaSGD(module, lr=workload.hparams["inner_lr"])

    def task(episodes: Any, t: int, evaluate: bool) -> None:
        weights = torchopt.extract_state_dict(module, by="reference")
        optimizer = torchopt.extract_state_dict(inner, by="reference")
        for _ in range(workload.hparams["test_steps" if evaluate else "train_steps"]):
            inner.step(_loss(workload, module(episodes.support.x[t]), episodes.support.y[t]))
        if evaluate:
            with torch.no_grad():
                module(episodes.query_x[t])
        else:
            torch.autograd.backward([_loss(workload, module(episodes.query_x[t]), episodes.query_y[t])])
        torchopt.recover_state_dict(module, weights)
        torchopt.recover_state_dict(inner, optimizer)

    return _each_task(workload, dtype, module, task)


def _jax(vmapped: bool) -> Callable[[Workload, torch.dtype], Prepared]:
    def prepare(workload: Workload, dtype: torch.dtype) -> Prepared:
        from bench.speed.jax_maml import prepared

        return Prepared(*prepared(workload, dtype, vmapped))

    return prepare


CONTENDERS: tuple[Contender, ...] = (
    Contender("bench", EVERY, _ours(None)),
    *(Contender(f"bench ({engine})", EVERY, _ours(engine)) for engine in get_args(EngineName)),
    *(Contender(f"bench: {name}", ("maml",), _cheaper(name), works=("outer step",)) for name in ("fomaml", "anil")),
    Contender("learn2learn", ("maml", "fomaml", "meta-sgd"), _learn2learn, _needs("learn2learn")),
    Contender("higher", ("maml",), _higher, _needs("higher")),
    Contender("torchopt", ("maml",), _torchopt, _needs("torchopt")),
    Contender("jax (loop)", ("maml", "fomaml"), _jax(False), _needs("jax"), ("outer step",), False),
    Contender("jax (vmap)", ("maml", "fomaml"), _jax(True), _needs("jax"), ("outer step",), False),
)
