"""Meta-training on the budget, and selection by meta-validation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from algorithms.control.algorithm import ControlAlgorithm
from algorithms.core.meta_state import State, group, grouped
from bench.process.stopwatch import Stopwatch
from bench.protocol.checkpoint import Checkpoint, Checkpoints, NoCheckpoints
from bench.protocol.evaluation import selection_value, shown_value, validate
from bench.protocol.outcome import Diverged, GoOn, Measurement, OnProgress, Progress
from bench.protocol.setup import CellSetup, asked_shape
from bench.protocol.timing import milliseconds
from bench.spec.cell import Cell
from bench.spec.model import MOST_TRAINING
from datasets.core.control import ControlDataset

PROGRESS_EVERY = 10  # outer steps between two reports of progress
WATCHES = ("warm_up", "training", "validating")
KEPT = ("value", "selected", "curve")  # of what training has given, as it is
STEP_COLUMNS = ("outer_step_q1_ms", "outer_step_ms", "outer_step_q3_ms")
NO_CHECKPOINTS = NoCheckpoints()


@dataclass(frozen=True)
class BudgetPoint:
    """The state of training at the last outer step within a budget.

    Attributes:
        episodes: the budget.
        outer_steps: taken by then.
        selected: the outer step that the selected meta-state comes from.
        train_seconds: wall seconds of these outer steps.
        state: the meta-state selected by then.
    """

    episodes: int
    outer_steps: int
    selected: int
    train_seconds: float
    state: State

    def numbers(self) -> dict[str, Any]:
        """Return all but the state, JSON-ready."""
        return {name: getattr(self, name) for name in ("episodes", "outer_steps", "selected", "train_seconds")}


@dataclass
class TrainingRun:
    """The result of training.

    Attributes:
        state: the selected meta-state.
        value: its validation value, larger being better; None where nothing was measured.
        selected: the outer step that it comes from.
        outer_steps: taken in all.
        stopped: whether ``go_on`` ended it.
        curve: a row per measurement.
        points: where it passed the budgets of ``evaluation.test_at`` but the last.
    """

    state: State
    value: float | None = None
    selected: int = 0
    outer_steps: int = 0
    stopped: bool = False
    curve: list[dict[str, Any]] = field(default_factory=list)
    points: list[BudgetPoint] = field(default_factory=list)
    warm_up: Stopwatch = field(default_factory=Stopwatch)
    training: Stopwatch = field(default_factory=Stopwatch)
    validating: Stopwatch = field(default_factory=Stopwatch)

    def select(self, value: float, state: State) -> None:
        """Select ``state`` where its value is the best of all finite ones so far."""
        if value > (-math.inf if self.value is None else self.value) and _is_finite(state):
            self.state, self.value, self.selected = state, value, self.outer_steps

    def checkpoint(self, state: State) -> Checkpoint:
        """All of this, and the meta-state ``state`` that training has come to."""
        numbers: dict[str, Any] = {name: getattr(self, name) for name in KEPT}
        numbers |= {"points": [point.numbers() for point in self.points]}
        watches = {name: getattr(self, name).reading() for name in WATCHES}
        earlier = {f"selected at {point.selected}": point.state for point in self.points}
        return Checkpoint(self.outer_steps, grouped(now=state, selected=self.state, **earlier), numbers | watches)

    def pass_budgets(self, cell: Cell, state: State, next_episodes: int) -> None:
        """Note the budgets that one more outer step, which would make it ``next_episodes``, goes beyond."""
        for budget in cell.earlier_budgets[len(self.points) :]:
            if next_episodes <= budget:
                break
            last = cell.evaluation.select == "last"
            chosen, step = (state, self.outer_steps) if last else (self.state, self.selected)
            self.points.append(BudgetPoint(budget, self.outer_steps, step, self.training.wall, chosen))


def _resumed(checkpoint: Checkpoint, device: torch.device) -> tuple[State, TrainingRun]:
    """The meta-state that training had come to, and what it had given."""
    tensors = {name: value.to(device) for name, value in checkpoint.tensors.items()}
    watches: dict[str, Any] = {name: Stopwatch(device, **checkpoint.numbers[name]) for name in WATCHES}
    values = {name: checkpoint.numbers[name] for name in KEPT}
    points = [
        BudgetPoint(**numbers, state=group(tensors, f"selected at {numbers['selected']}"))
        for numbers in checkpoint.numbers["points"]
    ]
    done = TrainingRun(
        group(tensors, "selected"), outer_steps=checkpoint.outer_steps, points=points, **values, **watches
    )
    return group(tensors, "now"), done


def train(setup: CellSetup, on_progress: OnProgress, go_on: GoOn, checkpoints: Checkpoints) -> TrainingRun:
    """Train on the budget and select by meta-validation; ``go_on`` is asked after each measurement but the last."""
    cell, device = setup.cell, setup.device
    if checkpoint := checkpoints.read():
        state, done = _resumed(checkpoint, device)
    else:
        state = setup.first_state()
        done = TrainingRun(state, warm_up=Stopwatch(device), training=Stopwatch(device), validating=Stopwatch(device))
    with done.warm_up():  # its result is thrown away: outer_step does not change the state
        setup.algorithm.outer_step(state, setup.batch(0))
    kind = setup.dataset.kind
    shown = shown_value(selection_value(done.curve[-1], cell), kind) if done.curve else None
    for step in _steps(setup, done.training, done.outer_steps):
        with done.training():
            state, measured = setup.algorithm.outer_step(state, setup.batch(step))
        done.outer_steps = trained = step + 1
        if not math.isfinite(measured["loss"]):
            raise Diverged(f"the training loss is {measured['loss']} at outer step {trained}")
        if trained % cell.train.eval_every == 0 or trained == setup.n_outer:
            with done.validating():
                values = validate(setup, state)
            done.curve.append({"outer_step": trained, "train_loss": measured["loss"], **values})
            value = selection_value(values, cell)
            shown = shown_value(value, kind)
            done.select(value, state)
            so_far = Measurement(len(done.curve), trained, setup.episodes_used(trained), shown)
            done.stopped = trained != setup.n_outer and not go_on(so_far)
        ended = trained == setup.n_outer
        done.pass_budgets(cell, state, MOST_TRAINING + 1 if ended else setup.episodes_used(trained + 1))
        if trained % PROGRESS_EVERY == 0 or trained == setup.n_outer:
            on_progress(Progress(trained, setup.n_outer or trained, shown))
        if done.stopped:
            break
        if checkpoints.due():
            checkpoints.write(done.checkpoint(state))
    if done.curve and done.value is None and cell.evaluation.select == "best":
        raise Diverged(f"no measurement on the validation episodes is finite ({len(done.curve)} were made)")
    if not done.curve or cell.evaluation.select == "last":  # no curve: seconds ended before the first measurement
        done.state, done.selected = state, done.outer_steps
        done.value = selection_value(done.curve[-1], cell) if done.curve else None
    return done


def training_summary(setup: CellSetup, done: TrainingRun) -> dict[str, Any]:
    used = setup.episodes_used(done.outer_steps)
    return {
        "outer_steps": done.outer_steps,
        "selected_outer_step": done.selected,
        "train_episodes": used,
        "train_examples": used * _examples_per_episode(setup),
        "warm_up_seconds": done.warm_up.wall,
        "train_seconds": done.training.wall,
        "train_cpu_seconds": done.training.cpu,
        "validation_seconds": done.validating.wall,
        **dict(zip(STEP_COLUMNS, milliseconds(done.training.laps), strict=True)),
        "tasks_per_second": used / done.training.wall,
        **_environment_steps(setup, used),
    }


def _environment_steps(setup: CellSetup, used: int) -> dict[str, int]:
    """Return the steps that training simulated, those after the end of a trajectory included; only for control."""
    algorithm, dataset = setup.algorithm, setup.dataset
    if not isinstance(algorithm, ControlAlgorithm) or not isinstance(dataset, ControlDataset):
        return {}
    return {"train_environment_steps": used * algorithm.train_trajectories * dataset.environment.horizon}


def _steps(setup: CellSetup, training: Stopwatch, start: int) -> Iterator[int]:
    if setup.n_outer is not None:
        yield from range(start, setup.n_outer)
        return
    seconds = setup.cell.train.seconds
    assert seconds is not None
    yield from itertools.takewhile(lambda step: training.wall < seconds, itertools.count(start))


def _is_finite(state: State) -> bool:
    """Return whether all weights are; accuracy alone does not tell, because the largest of NaNs is a class too."""
    return all(bool(torch.isfinite(value).all()) for value in state.values())


def _examples_per_episode(setup: CellSetup) -> int:
    if setup.algorithm.consumes == "examples":
        return asked_shape(setup.cell).examples
    return setup.train.name.shape.examples
