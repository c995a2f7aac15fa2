"""The functions for scripts and notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench.execution.events import Event, Planned
from datasets import UserError
from tests.bench.helpers import GLYPHS, SINUSOID, content


def test_a_run_takes_a_dictionary_and_what_replaces_parts_of_it(out: Path) -> None:
    events: list[Event] = []
    results = bench.run(
        content(name="mine", datasets=[dict(SINUSOID), dict(GLYPHS)]),
        out,
        algorithms=["finetune", "maml"],
        datasets=["sinusoid"],
        seeds=[3],
        hparams={"maml.test_steps": 1, "evaluation.test_episodes": 2},
        jobs=1,
        on_event=events.append,
    )
    planned = events[0]
    assert isinstance(planned, Planned)
    assert [(cell.algorithm, cell.dataset, cell.seed) for cell in planned.cells] == [
        ("finetune", "sinusoid", 3),
        ("maml", "sinusoid", 3),
    ]
    episodes = results.episodes
    assert set(episodes.loc[episodes["algorithm"] == "maml", "step"]) == {0, 1}
    assert set(episodes["episode"]) == {0, 1}
    curves = results.curves
    assert {"cell", "algorithm", "outer_step", "train_loss", "val_mse"} <= set(curves)
    assert set(curves["algorithm"]) == {"finetune", "maml"}
    assert bench.load(out).equals(results.cells)


def test_an_option_that_a_run_has_not_is_named(out: Path) -> None:
    with pytest.raises(TypeError, match="a run has no option 'job', did you mean 'jobs'"):
        bench.run(content(), out, job=1)  # type: ignore[call-arg]
    assert not out.exists()


def test_mistakes_name_arguments_and_not_options(out: Path) -> None:
    for mistake, words in (
        ({"hparams": {"inner_lrr": 1}}, "hparams: "),
        ({"device": "quantum"}, "device: cannot use 'quantum'"),
        ({"algorithms": ["mamal"]}, "name that in `plugins=`"),
    ):
        with pytest.raises(UserError) as raised:
            bench.run(content(), out, **mistake)  # type: ignore[arg-type]
        assert words in str(raised.value)
        assert "--" not in str(raised.value)
