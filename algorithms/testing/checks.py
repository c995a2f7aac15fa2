"""The checks of an algorithm against the contract of ``algorithms.core.algorithm``, on synthetic data.

Every check works on synthetic episodes in float64, except the last, which trains for a few steps. ``check`` returns the
results; ``assert_conforms`` is the same for a pytest test of your own:

    def test_my_algorithm_conforms() -> None:
        assert_conforms(MY_ENTRY)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

from algorithms import ALGORITHMS, AlgorithmEntry
from algorithms.core.algorithm import MODES
from algorithms.core.losses import metrics
from algorithms.testing.control_checks import CONTROL_CHECKS, ControlSubject
from algorithms.testing.effects import unused
from algorithms.testing.findings import Broken, Finding, NotPromised, finding, raise_where_failed
from algorithms.testing.subject import N_OUTER, Subject
from algorithms.testing.synthetic import N_CLASSES
from datasets import UserError
from datasets.core.episodes import Episodes, Support

LEARNED = 0.6  # accuracy at least, and share of the error at most, after a whole training


def check(algorithm: str | AlgorithmEntry) -> list[Finding]:
    """Run every check on an algorithm of the registry or on an entry of one's own, for each kind of task it learns.

    Raises:
        UserError: there is no such algorithm, or a library that it needs is missing.
    """
    entry = ALGORITHMS[algorithm] if isinstance(algorithm, str) else algorithm
    if reason := entry.missing():
        raise UserError(f"{entry.name} cannot be checked: {reason}")
    findings = []
    for kind in entry.kinds:
        if kind == "control":
            for name, run_control in CONTROL_CHECKS.items():
                findings.append(finding(f"{name} ({kind})", run_control, ControlSubject(entry)))
            continue
        for name, run in CHECKS.items():
            findings.append(finding(f"{name} ({kind})", run, Subject(entry, kind)))
    return findings


def assert_conforms(algorithm: str | AlgorithmEntry) -> None:
    """Raise AssertionError with the checks that fail, if any do."""
    raise_where_failed(check(algorithm))


def _largest_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.numel() else 0.0


def _deterministic(subject: Subject) -> None:
    """The same inputs give the same state and outputs, to the bit."""
    episodes = subject.episodes()
    states = [subject.trained() for _ in range(2)]
    for name, value in states[0].items():
        if not torch.equal(value, states[1][name]):
            gap = _largest_difference(value, states[1][name])
            raise Broken(
                f"two trainings from the same seeds differ in '{name}' by up to {gap:.1e}; draw from generators"
            )
    first, second = (subject.outputs(states[0], episodes.support, episodes.query_x) for _ in range(2))
    for mode in MODES:
        if not torch.equal(first[mode], second[mode]):
            gap = _largest_difference(first[mode], second[mode])
            raise Broken(
                f"two adaptations to the same episodes differ by up to {gap:.1e} ({mode}); "
                "draw from support.seeds, and keep nothing between calls"
            )


def _independent_tasks(subject: Subject) -> None:
    """An episode's outputs do not depend on which others it is adapted with, nor on their order."""
    state, episodes = subject.trained(), subject.episodes()
    together = subject.outputs(state, episodes.support, episodes.query_x)
    backwards = _reversed(episodes)
    turned = subject.outputs(state, backwards.support, backwards.query_x)
    for t in range(len(episodes)):
        alone = subject.outputs(state, episodes.support[t : t + 1], episodes.query_x[t : t + 1])
        for how, outputs in (
            ("alone", {mode: alone[mode][0] for mode in MODES}),
            ("in reverse order", {mode: turned[mode][len(episodes) - 1 - t] for mode in MODES}),
        ):
            for mode in MODES:
                gap = _largest_difference(outputs[mode], together[mode][t])
                if not gap <= 1e-6:
                    raise Broken(
                        f"episode {t} adapted {how} gives outputs that differ by up to {gap:.1e} from those of a batch "
                        f"of {len(episodes)} ({mode}); a task's result may depend on that task alone"
                    )


def _reversed(episodes: Episodes) -> Episodes:
    order = np.arange(len(episodes))[::-1].copy()
    support = episodes.support
    rows = torch.from_numpy(order)
    return Episodes(
        episodes.index[order],
        Support(support.x[rows], support.y[rows], support.seeds[order], support.n_way),
        episodes.query_x[rows],
        episodes.query_y[rows],
        episodes.identity[order],
        episodes.class_ids[order],
    )


def _state_unchanged(subject: Subject) -> None:
    """Neither ``adapt`` nor ``outer_step`` changes the state that it is given."""
    state, episodes = subject.trained(), subject.episodes()
    before = {name: value.clone() for name, value in state.items()}
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("adapt", lambda: subject.outputs(state, episodes.support, episodes.query_x)),
        ("outer_step", lambda: subject.algorithm.outer_step(state, subject.batch(2))),
    )
    for what, call in calls:
        call()
        changed = sorted(name for name in before if not torch.equal(state[name], before[name]))
        if changed or sorted(state) != sorted(before):
            raise Broken(
                f"{what} changes the state it is given: {', '.join(changed) or 'other names'}; return a new one"
            )


def _steps(subject: Subject) -> None:
    """``adapt`` gives step 0 and the last, in order, and weights with a leading task dimension."""
    episodes = subject.episodes()
    adapted = list(subject.algorithm.adapt(subject.trained(), episodes.support, subject.steps))
    numbers = [step for step, _ in adapted]
    if numbers != sorted(set(numbers)) or numbers[:1] != [0] or numbers[-1:] != [subject.steps]:
        raise Broken(f"adapt gives the steps {numbers}; it must give 0 and {subject.steps} in ascending order")
    for step, weights in adapted:
        for name, value in weights.items():
            if value.shape[:1] != (len(episodes),):
                raise Broken(
                    f"at step {step} '{name}' has shape {tuple(value.shape)}; the first dimension must be the "
                    f"{len(episodes)} episodes"
                )


def _shapes(subject: Subject) -> None:
    """Both modes give outputs of the right shape, in the weights' precision."""
    episodes = subject.episodes()
    n_outputs = subject.shape.n_way if subject.kind == "classification" else 1
    expected = (len(episodes), episodes.query_x.shape[1], n_outputs)
    for mode, value in subject.outputs(subject.trained(), episodes.support, episodes.query_x).items():
        if tuple(value.shape) != expected or value.dtype != torch.float64:
            raise Broken(
                f"{mode} outputs are {value.dtype} {tuple(value.shape)}; for float64 weights they must be float64 "
                f"{expected}: episodes, queries, outputs"
            )


def _finite(subject: Subject) -> None:
    """Loss, state and outputs are finite, and training changes something."""
    state, first = subject.first_state(), subject.first_state()
    for step in range(3):
        state, measured = subject.algorithm.outer_step(state, subject.batch(step))
        if not np.isfinite(measured["loss"]):
            raise Broken(f"the training loss of outer step {step + 1} is {measured['loss']}")
    wrong = sorted(name for name, value in state.items() if not torch.isfinite(value).all())
    if wrong:
        raise Broken(f"not finite after three outer steps: {', '.join(wrong)}")
    episodes = subject.episodes()
    for mode, value in subject.outputs(state, episodes.support, episodes.query_x).items():
        if not torch.isfinite(value).all():
            raise Broken(f"{mode} outputs are not finite")
    weights = [name for name in state if name.startswith("weights/")]
    if subject.algorithm.trains and all(torch.equal(state[name], first[name]) for name in weights):
        raise Broken("three outer steps change no weight; if there is nothing to train, say `trains = False`")


def _labels_permuted(subject: Subject) -> None:
    """Naming an episode's classes otherwise renames the predictions and does nothing else."""
    if subject.kind == "regression":
        raise NotPromised("there are no labels")
    if not subject.algorithm.label_equivariant:
        raise NotPromised("this method learns or draws the order of its outputs")
    state, episodes = subject.trained(), subject.episodes()
    names = torch.tensor([2, 0, 1])
    renamed = Support(episodes.support.x, names[episodes.support.y], episodes.support.seeds, episodes.support.n_way)
    plain = subject.outputs(state, episodes.support, episodes.query_x)
    permuted = subject.outputs(state, renamed, episodes.query_x)
    for mode in MODES:
        gap = _largest_difference(permuted[mode][..., names].softmax(dim=-1), plain[mode].softmax(dim=-1))
        if not gap <= 1e-3:
            raise Broken(
                f"after the classes 0, 1, 2 are renamed 2, 0, 1 the probabilities change by up to {gap:.1e} ({mode})"
            )


class _GradientCalls(TorchFunctionMode):
    """A mode that records whether a gradient with ``create_graph`` is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.create_graph = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        position = {"grad": 4, "backward": 3}.get(getattr(func, "__name__", ""))
        if position is not None:
            create_graph = args[position] if len(args) > position else kwargs.get("create_graph", False)
            self.create_graph = self.create_graph or bool(create_graph)
        return func(*args, **kwargs)


@contextmanager
def _watching_gradients() -> Iterator[_GradientCalls]:
    with _GradientCalls() as calls:
        yield calls


def _order(subject: Subject) -> None:
    """A method that says it is of first order asks for no gradient of gradients, and one of second order does.

    Under the engine 'loop', which has no derivative in closed form.
    """
    state, batch, algorithm = subject.first_state(), subject.batch(0), subject.made("loop")
    with _watching_gradients() as calls:
        algorithm.outer_step(state, batch)
    if calls.create_graph and not subject.algorithm.second_order:
        raise Broken("it is declared first-order, but keeps a graph of gradients (create_graph=True): time and memory")
    if subject.algorithm.second_order and not calls.create_graph:
        raise Broken(
            "it is declared `second_order = True`, but no gradient is differentiated (create_graph is never set)"
        )


def _learns(subject: Subject) -> None:
    """A short training makes new episodes of a trivial problem come out right."""
    if not subject.algorithm.trains:
        raise NotPromised("it does not train")
    n_outer, needed = N_OUTER[subject.kind], LEARNED
    state = subject.algorithm.init(subject.network.init(Generator().manual_seed(1)), Generator().manual_seed(3))
    for step in range(n_outer):
        state, _ = subject.algorithm.outer_step(state, subject.batch(step, torch.float32))
    episodes = subject.episodes(20, torch.float32)
    last = subject.algorithm.test_steps
    *_, (_, outputs) = subject.algorithm.outputs(state, episodes.support, episodes.query_x, last, last_only=True)
    measured = metrics(outputs["transductive"], episodes.query_y, subject.kind)
    if subject.kind == "classification":
        accuracy = float(measured["n_correct"].float().mean()) / episodes.query_y.shape[1]
        if not accuracy >= needed:
            raise Broken(
                f"after {n_outer} outer steps on {N_CLASSES} patterns the accuracy on new ones is {accuracy:.2f}, "
                f"not at least {needed} (chance is {1 / subject.shape.n_way:.2f})"
            )
        return
    ratio = float(measured["mse"].mean()) / float(episodes.query_y.square().mean())
    if not ratio <= needed:
        raise Broken(
            f"after {n_outer} outer steps on a sin(x) the squared error is {ratio:.2f} of that of predicting zero, "
            f"not at most {needed}"
        )


def _hyper_parameters(subject: Subject) -> None:
    """Every hyper-parameter that applies here changes the training, the adaptation or the outputs."""
    without_effect = unused(subject)
    if without_effect is None:
        raise NotPromised("it has no hyper-parameter that applies")
    if without_effect:
        raise Broken(
            f"no other value of {'; nor of '.join(without_effect)} changes the trained state, the number of test "
            "steps or the outputs; use it, remove it, or declare where it has an effect (`needs=Needs(...)`, "
            "`when=When(...)`)"
        )


CHECKS: dict[str, Callable[[Subject], None]] = {
    "outputs have the right shape": _shapes,
    "steps of adaptation": _steps,
    "deterministic": _deterministic,
    "tasks are independent": _independent_tasks,
    "state is not changed": _state_unchanged,
    "numbers are finite": _finite,
    "labels can be renamed": _labels_permuted,
    "order of the gradient": _order,
    "hyper-parameters have an effect": _hyper_parameters,
    "learns a trivial problem": _learns,
}
