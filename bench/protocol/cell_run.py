"""What one cell does: train, select, test; and a trial of a search, which does not test.

No files and no processes; every number is defined in docs/protocol.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from algorithms import ALGORITHMS, Algorithm, Problem
from algorithms.core.algorithm import MODES, Mode
from algorithms.core.losses import metrics
from algorithms.core.meta_state import State, group, grouped
from bench.process.measure import Stopwatch, quartiles
from bench.protocol.checkpoint import Checkpoint, Keeper, KeepNone
from bench.protocol.outputs import checked_outputs
from bench.protocol.training_shape import explained
from bench.spec.cell import Cell
from datasets import Dataset, UserError
from datasets.core.episodes import Episodes, EpisodeStream, Examples, Shape, Support, digest
from datasets.core.randomness import key_of

EVALUATION_SEED = (
    0  # of the meta-validation and meta-test lists: one for all cells, so that seeds x episodes is crossed
)
EPISODES_AT_ONCE = 25  # evaluated together at most
VALUES_AT_ONCE = 2**23  # of their inputs, so that large images and many shots fit memory too
PROGRESS_EVERY = 10  # outer steps between two reports of progress
WATCHES = ("warm_up", "training", "validating")
KEEP_NONE = KeepNone()
LATENCY_EPISODES = 20  # adapted one at a time to measure the time that adapting a task takes


class Diverged(ArithmeticError):
    """The training loss, the trained weights or what was measured with them is not finite."""


@dataclass(frozen=True)
class Progress:
    """How far a cell is: outer steps done and to do, and the latest validation value (None before the first)."""

    done: int
    total: int
    validation: float | None


@dataclass(frozen=True)
class Measurement:
    """What training has come to at a measurement on the meta-validation episodes.

    Attributes:
        number: the how-manieth measurement, from 1.
        outer_steps: taken so far.
        episodes: meta-train episodes consumed so far.
        value: validation accuracy (in the selecting mode) or squared error.
    """

    number: int
    outer_steps: int
    episodes: int
    value: float


@dataclass(frozen=True)
class Validated:
    """What training without testing gives.

    Attributes:
        value: the validation accuracy (in the selecting mode) or squared error of the selected meta-state.
        stopped: whether it was ended before its budget was used.
        summary: numbers by name, as in ``Outcome``.
        digests: SHA-256 of the val episode list, and the dataset's fingerprint.
    """

    value: float
    stopped: bool
    summary: Mapping[str, Any]
    digests: Mapping[str, str]


OnProgress = Callable[[Progress], None]
GoOn = Callable[[Measurement], bool]


@dataclass(frozen=True)
class Outcome:
    """What a cell gives.

    Attributes:
        summary: numbers of the whole cell by name, JSON-ready.
        digests: SHA-256 of the train, val and test episode lists, and the dataset's fingerprint.
        episodes: a row per test episode and inner step.
        curve: a row per measurement during training.
        state: the selected meta-state.
    """

    summary: Mapping[str, Any]
    digests: Mapping[str, str]
    episodes: pd.DataFrame
    curve: pd.DataFrame
    state: State


def train_shape(cell: Cell) -> Shape:
    """The shape of the cell's training episodes: the grid's, or what the algorithm's paper trained on."""
    entry = ALGORITHMS[cell.algorithm]
    return entry.factory.train_shape(entry.hparams.model_validate(cell.hparams), _asked_shape(cell))


def training_stream(cell: Cell, dataset: Dataset, seed: int, device: torch.device | None = None) -> EpisodeStream:
    """The cell's training episodes of that seed; raises UserError where the dataset cannot give their shape."""
    shape = train_shape(cell)
    try:
        return dataset.stream("train", shape, seed, device)
    except UserError as error:
        raise explained(error, cell, dataset, shape, _asked_shape(cell)) from None


def _asked_shape(cell: Cell) -> Shape:
    return Shape(cell.n_way, cell.train.n_shot or cell.n_shot, cell.train.n_query)


def test_shape(cell: Cell) -> Shape:
    """The shape of the cell's meta-validation and meta-test episodes."""
    return Shape(cell.n_way, cell.n_shot, cell.evaluation.n_query)


@dataclass
class _Run:
    """The pieces of one cell that training and validation need, made once; the test episodes are not among them."""

    cell: Cell
    dataset: Dataset
    device: torch.device
    algorithm: Algorithm[Any] = field(init=False)
    train: EpisodeStream = field(init=False)
    val: EpisodeStream = field(init=False)

    def __post_init__(self) -> None:
        cell, dataset = self.cell, self.dataset
        entry = ALGORITHMS[cell.algorithm]
        self.hparams = entry.hparams.model_validate(cell.hparams)
        self.train = training_stream(cell, dataset, cell.seed, self.device)
        shape = self.train.name.shape
        self.val = dataset.stream("val", test_shape(cell), EVALUATION_SEED, self.device)
        self.examples = dataset.examples(cell.seed, self.device)
        self.n_outputs = cell.n_way if dataset.kind == "classification" else 1
        self.network = cell.network.build(cell.entry.family, dataset.input_shape, self.n_outputs)
        budget = cell.train.episodes
        self.n_outer = math.ceil(budget / self.hparams.meta_batch) if budget else None
        if not entry.factory.trains:
            self.n_outer = 1
        n_classes = self.examples.batch(0, 1).n_classes
        problem = Problem(dataset.kind, shape, n_classes, self.n_outer or 0)
        self.algorithm = entry.factory(self.hparams, problem, self.network, cell.engine, self.device)

    def first_state(self) -> State:
        """The seed's initial weights, which all algorithms share, and the algorithm's own first draws."""
        weights = self.network.init(self._generator("weights"))
        weights = {name: value.to(self.device) for name, value in weights.items()}
        return self.algorithm.init(weights, self._generator(self.cell.algorithm))

    def _generator(self, purpose: str) -> Generator:
        return Generator().manual_seed(int(key_of(purpose, self.cell.seed) >> np.uint64(1)))

    def batch(self, step: int) -> Episodes | Examples:
        """The training data of outer step ``step``; the last one is smaller where the budget does not divide."""
        size = self.hparams.meta_batch
        start = step * size
        if self.cell.train.episodes:
            size = min(size, self.cell.train.episodes - start)
        if self.algorithm.consumes == "examples":
            per_episode = _asked_shape(self.cell).examples
            return self.examples.batch(start * per_episode, size * per_episode)
        return self.train.batch(np.arange(start, start + size))

    def outputs(
        self, state: State, support: Support, query_x: Tensor, last_only: bool = False
    ) -> Iterator[tuple[int, Mapping[Mode, Tensor]]]:
        """The algorithm's outputs after its test steps; see ``checked_outputs``."""
        return checked_outputs(self.algorithm, state, support, query_x, self.n_outputs, last_only)

    def episodes_used(self, outer_steps: int) -> int:
        """Meta-train episodes that so many outer steps consume."""
        used = outer_steps * self.hparams.meta_batch
        return min(self.cell.train.episodes or used, used)


@dataclass
class _Trained:
    """What training gave.

    Attributes:
        state: the selected meta-state.
        value: its validation value, larger being better; None where nothing was measured.
        selected: the outer step that it comes from.
        outer_steps: taken in all.
        stopped: whether ``go_on`` ended it.
        curve: a row per measurement.
    """

    state: State
    value: float | None = None
    selected: int = 0
    outer_steps: int = 0
    stopped: bool = False
    curve: list[dict[str, Any]] = field(default_factory=list)
    warm_up: Stopwatch = field(default_factory=Stopwatch)
    training: Stopwatch = field(default_factory=Stopwatch)
    validating: Stopwatch = field(default_factory=Stopwatch)

    def take(self, value: float, state: State) -> None:
        """Select ``state`` where its value is the best of all finite ones so far."""
        if value > (-math.inf if self.value is None else self.value) and _is_finite(state):
            self.state, self.value, self.selected = state, value, self.outer_steps

    def checkpoint(self, state: State) -> Checkpoint:
        """All of this, and the meta-state ``state`` that training has come to."""
        kept = {name: getattr(self, name) for name in ("value", "selected", "curve")}
        watches = {name: getattr(self, name).reading() for name in WATCHES}
        return Checkpoint(self.outer_steps, grouped(now=state, selected=self.state), kept | watches)


def _gone_on_from(checkpoint: Checkpoint, device: torch.device) -> tuple[State, _Trained]:
    """The meta-state that training had come to, and what it had given."""
    tensors = {name: value.to(device) for name, value in checkpoint.tensors.items()}
    watches: dict[str, Any] = {name: Stopwatch(device, **checkpoint.numbers[name]) for name in WATCHES}
    kept = {name: checkpoint.numbers[name] for name in ("value", "selected", "curve")}
    done = _Trained(group(tensors, "selected"), outer_steps=checkpoint.outer_steps, **kept, **watches)
    return group(tensors, "now"), done


def _train(run: _Run, on_progress: OnProgress, go_on: GoOn, keeper: Keeper) -> _Trained:
    """Train on the budget and select by meta-validation; ``go_on`` is asked after each measurement but the last."""
    cell, device = run.cell, run.device
    if kept := keeper.read():
        state, done = _gone_on_from(kept, device)
    else:
        state = run.first_state()
        done = _Trained(state, warm_up=Stopwatch(device), training=Stopwatch(device), validating=Stopwatch(device))
    with done.warm_up():  # its result is thrown away: outer_step does not change the state
        run.algorithm.outer_step(state, run.batch(0))
    shown = abs(_selection_value(done.curve[-1], cell)) if done.curve else None
    for step in _steps(run, done.training, done.outer_steps):
        with done.training():
            state, measured = run.algorithm.outer_step(state, run.batch(step))
        done.outer_steps = trained = step + 1
        if not math.isfinite(measured["loss"]):
            raise Diverged(f"the training loss is {measured['loss']} at outer step {trained}")
        if trained % cell.train.eval_every == 0 or trained == run.n_outer:
            with done.validating():
                values = _validation(run, state)
            done.curve.append({"outer_step": trained, "train_loss": measured["loss"], **values})
            value = _selection_value(values, cell)
            shown = abs(value)
            done.take(value, state)
            so_far = Measurement(len(done.curve), trained, run.episodes_used(trained), shown)
            done.stopped = trained != run.n_outer and not go_on(so_far)
        if trained % PROGRESS_EVERY == 0 or trained == run.n_outer:
            on_progress(Progress(trained, run.n_outer or trained, shown))
        if done.stopped:
            break
        if keeper.due():
            keeper.write(done.checkpoint(state))
    if done.curve and done.value is None and cell.evaluation.select == "best":
        raise Diverged(f"no measurement on the validation episodes is finite ({len(done.curve)} were made)")
    if not done.curve or cell.evaluation.select == "last":  # no curve: seconds ended before the first measurement
        done.state, done.selected = state, done.outer_steps
        done.value = _selection_value(done.curve[-1], cell) if done.curve else None
    return done


def _training_summary(run: _Run, done: _Trained) -> dict[str, Any]:
    used = run.episodes_used(done.outer_steps)
    return {
        "outer_steps": done.outer_steps,
        "selected_outer_step": done.selected,
        "train_episodes": used,
        "train_examples": used * _images_per_episode(run),
        "warm_up_seconds": done.warm_up.wall,
        "train_seconds": done.training.wall,
        "train_cpu_seconds": done.training.cpu,
        "validation_seconds": done.validating.wall,
        **dict(zip(("outer_step_q1_ms", "outer_step_ms", "outer_step_q3_ms"), _ms(done.training.laps), strict=True)),
        "tasks_per_second": used / done.training.wall,
    }


def run_cell(
    cell: Cell,
    dataset: Dataset,
    on_progress: OnProgress = lambda progress: None,
    keeper: Keeper = KEEP_NONE,
) -> Outcome:
    """Train the cell's algorithm on its budget, select by meta-validation, test the selected meta-state once.

    Training goes on from the checkpoint that ``keeper`` has, if any, to the same outcome.

    Raises:
        Diverged: the training loss stopped being finite, or nothing finite could be measured.
        UserError: the dataset cannot give episodes of the shape.
    """
    run = _Run(cell, dataset, torch.device(cell.device))
    test = dataset.stream("test", test_shape(cell), EVALUATION_SEED, run.device)
    done = _train(run, on_progress, lambda measurement: True, keeper)
    testing = Stopwatch(run.device)
    with testing():
        episodes = _test(run, test, done.state)
    _check_finite(episodes)
    latency = _latency(run, test, cell.evaluation.test_episodes, done.state)
    summary = {
        **_accuracies(episodes, cell, dataset.kind),
        **_training_summary(run, done),
        "test_seconds": testing.wall,
        **dict(zip(("adapt_q1_ms", "adapt_ms", "adapt_q3_ms"), _ms(latency), strict=True)),
        "parameters": sum(value.numel() for value in run.network.init(Generator()).values()),
    }
    digests = _digests(run, done.outer_steps) | {"test": digest(test, cell.evaluation.test_episodes)}
    return Outcome(summary, digests, episodes, pd.DataFrame(done.curve), done.state)


def validate_cell(
    cell: Cell,
    dataset: Dataset,
    on_progress: OnProgress = lambda progress: None,
    go_on: GoOn = lambda measurement: True,
) -> Validated:
    """The same training and selection without testing: what a trial of a search does. No test episode is asked for.

    ``go_on`` is asked after each measurement whether to train further.

    Raises:
        Diverged: as in ``run_cell``, or what was selected has no finite value.
        UserError: the dataset cannot give episodes of the shape, or a budget in seconds ended without a measurement.
    """
    run = _Run(cell, dataset, torch.device(cell.device))
    done = _train(run, on_progress, go_on, KEEP_NONE)
    if done.value is None:
        raise UserError("train.seconds ended before the first measurement; raise it, or lower train.eval_every")
    if not math.isfinite(done.value):
        raise Diverged(f"the last measurement on the validation episodes is {done.value}")
    n_episodes = cell.evaluation.val_episodes
    latency = _latency(run, run.val, n_episodes, done.state)
    summary = {**_training_summary(run, done), "adapt_ms": _ms(latency)[1]}
    digests = {"dataset": dataset.fingerprint, "val": digest(run.val, n_episodes)}
    return Validated(abs(done.value), done.stopped, summary, digests)


def _steps(run: _Run, training: Stopwatch, start: int) -> Iterator[int]:
    if run.n_outer is not None:
        yield from range(start, run.n_outer)
        return
    seconds = run.cell.train.seconds
    assert seconds is not None
    yield from itertools.takewhile(lambda step: training.wall < seconds, itertools.count(start))


def _is_finite(state: State) -> bool:
    """Whether all weights are; accuracy alone does not tell, because the largest of NaNs is a class too."""
    return all(bool(torch.isfinite(value).all()) for value in state.values())


def _check_finite(episodes: pd.DataFrame) -> None:
    """Raises Diverged where adapting to a test episode ended in a loss that is not finite."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    losses = last[[name for name in episodes.columns if name == "mse" or name.startswith("nll_")]]
    bad = ~np.isfinite(losses.to_numpy()).all(axis=1)
    if bad.any():
        raise Diverged(f"adaptation diverged on {bad.sum()} of {len(last)} test episodes")


def _images_per_episode(run: _Run) -> int:
    if run.algorithm.consumes == "examples":
        return _asked_shape(run.cell).examples
    return run.train.name.shape.examples


def _ms(seconds: list[float]) -> list[float]:
    return [1000 * value for value in quartiles(seconds)]


def _selection_value(values: Mapping[str, Any], cell: Cell) -> float:
    """Larger is better: accuracy in the chosen mode, or minus the squared error."""
    if "val_mse" in values:
        return -float(values["val_mse"])
    return float(values[f"val_accuracy_{cell.evaluation.select_by}"])


def _digests(run: _Run, outer_steps: int) -> dict[str, str]:
    n_train = run.episodes_used(outer_steps)
    return {
        "dataset": run.dataset.fingerprint,
        "train": digest(run.train, n_train) if run.algorithm.consumes == "episodes" else "plain batches",
        "val": digest(run.val, run.cell.evaluation.val_episodes),
    }


def _batches(run: _Run, stream: EpisodeStream, n_episodes: int) -> Iterator[Episodes]:
    """The stream's first episodes. How many together depends on their size alone: no bit depends on the machine."""
    values = math.prod(run.dataset.input_shape) * stream.name.shape.examples
    at_once = max(1, min(EPISODES_AT_ONCE, VALUES_AT_ONCE // values))
    for start in range(0, n_episodes, at_once):
        yield stream.batch(np.arange(start, min(start + at_once, n_episodes)))


def _measure(outputs: Mapping[Any, Tensor], targets: Tensor, kind: Any) -> dict[str, np.ndarray]:
    """Each episode's metrics by column: ``mse``, or ``n_correct_<mode>`` and ``nll_<mode>``."""
    if kind == "regression":
        return {"mse": metrics(outputs["transductive"], targets, kind)["mse"].cpu().numpy()}
    return {
        f"{name}_{mode}": value.cpu().numpy()
        for mode in MODES
        for name, value in metrics(outputs[mode], targets, kind).items()
    }


def _validation(run: _Run, state: State) -> dict[str, float]:
    """Mean over the meta-validation list of the metrics after the last inner step."""
    found: list[dict[str, np.ndarray]] = []
    for episodes in _batches(run, run.val, run.cell.evaluation.val_episodes):
        for _, outputs in run.outputs(state, episodes.support, episodes.query_x, last_only=True):
            found.append(_measure(outputs, episodes.query_y, run.dataset.kind))
    columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    if run.dataset.kind == "regression":
        return {"val_mse": float(columns["mse"].mean())}
    n_query = run.cell.n_way * run.cell.evaluation.n_query
    return {f"val_accuracy_{mode}": float(columns[f"n_correct_{mode}"].mean()) / n_query for mode in MODES}


def _test(run: _Run, test: EpisodeStream, state: State) -> pd.DataFrame:
    """One row per meta-test episode and inner step."""
    frames: list[pd.DataFrame] = []
    for episodes in _batches(run, test, run.cell.evaluation.test_episodes):
        for step, outputs in run.outputs(state, episodes.support, episodes.query_x):
            columns: dict[str, Any] = {
                "episode": episodes.index,
                "step": step,
                "class_ids": list(episodes.class_ids),
                "n_query": episodes.query_y.shape[1],
                **_measure(outputs, episodes.query_y, run.dataset.kind),
            }
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True).sort_values(["episode", "step"], ignore_index=True)


def _accuracies(episodes: pd.DataFrame, cell: Cell, kind: str) -> dict[str, float]:
    """Means over the meta-test list after the last inner step."""
    last = episodes[episodes["step"] == episodes["step"].max()]
    if kind == "regression":
        return {"test_mse": float(last["mse"].mean())}
    return {f"test_accuracy_{mode}": float((last[f"n_correct_{mode}"] / last["n_query"]).mean()) for mode in MODES}


def adapted_outputs(
    cell: Cell, dataset: Dataset, state: State, episodes: Sequence[int], query_x: Tensor
) -> tuple[Episodes, Iterator[tuple[int, Tensor]]]:
    """The cell's test episodes of these numbers, and its transductive outputs [T, Q, n_outputs] for other queries.

    Args:
        cell: the cell.
        dataset: its dataset.
        state: its selected meta-state.
        episodes: T numbers of test episodes.
        query_x: [T, Q, *input_shape].
    """
    run = _Run(cell, dataset, torch.device("cpu"))
    batch = dataset.stream("test", test_shape(cell), EVALUATION_SEED).batch(list(episodes))
    steps = run.outputs(state, batch.support, query_x)
    return batch, ((step, outputs["transductive"]) for step, outputs in steps)


def _latency(run: _Run, stream: EpisodeStream, n_episodes: int, state: State) -> list[float]:
    """Wall seconds of adapting single tasks with all test steps, one warm-up apart."""
    watch = Stopwatch(run.device)
    for index in range(-1, min(LATENCY_EPISODES, n_episodes)):
        support = stream.batch([max(index, 0)]).support
        with watch():
            for _ in run.algorithm.adapt(state, support, run.algorithm.test_steps):
                pass
    return watch.laps[1:]


def time_whole_cell(cell: Cell, dataset: Dataset, processor: bool = False) -> float:
    """Seconds that the cell would take, from two outer steps and the evaluation of a few episodes.

    With ``processor`` it is processor time, which says the same whatever else the machine does.
    """
    run = _Run(cell, dataset, torch.device(cell.device))
    state, few = run.first_state(), run.val.batch(range(min(5, cell.evaluation.val_episodes)))
    outer, last, every = (Stopwatch(run.device) for _ in range(3))
    run.algorithm.outer_step(state, run.batch(0))
    for step in (0, 1):
        with outer():
            run.algorithm.outer_step(state, run.batch(min(step, (run.n_outer or 1) - 1)))
    for watch, last_only in ((last, True), (every, False)):
        with watch():
            for _ in run.outputs(state, few.support, few.query_x, last_only):
                pass
    n_outer = run.n_outer or 0
    validations = math.ceil(n_outer / cell.train.eval_every) * cell.evaluation.val_episodes
    a_step, validating, testing = (
        (outer.cpu / 2, last.cpu, every.cpu) if processor else (min(outer.laps), last.wall, every.wall)
    )
    training = n_outer * a_step if run.n_outer else cell.train.seconds or 0.0
    return training + (validations * validating + cell.evaluation.test_episodes * testing) / len(few)
