"""The costs of an experiment: stored with it, measured anew where something changed, and never trusted blindly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from typer.testing import CliRunner

import bench
from bench import api
from bench.analysis.costs import cost_table
from bench.cli import app
from bench.cost import measure
from bench.cost.measure import Limits, measure_costs
from bench.process.plugins import import_plugins
from bench.store.cost_file import Costs, Machine, UnreadableCosts, read_costs
from bench.store.store import Failure, Store
from datasets import UserError
from tests.bench.cost.helpers import Sampler, a_round
from tests.bench.helpers import tiny
from tests.bench.stats.stores import SINUSOID, write

LIMITS = Limits(Path("/nowhere"))
TWO = {"maml": 0.8, "reptile": 0.6}


def uncosted(folder: Path, accuracy: Mapping[str, float], **options: Any) -> Path:
    """A made-up experiment of which no cost was measured."""
    return write(folder, accuracy, cost=None, **options)


def measured(folder: Path, sampler: Sampler, **options: Any) -> Costs:
    return measure_costs(Store(folder), LIMITS, sample=sampler, rounds=2, **options)


def of(costs: Costs) -> list[list[str]]:
    """The algorithms of each measurement."""
    return [[row.algorithm for row in measurement.rows] for measurement in costs.measurements]


def test_costs_are_stored_and_repeating_measures_them_anew(out: Path) -> None:
    uncosted(out, TWO, seeds=(0, 1))
    sampler = Sampler()
    costs = measured(out, sampler, command="python -m bench cost results", order_seed=3)
    assert sorted(sampler.algorithms) == ["maml", "maml", "reptile", "reptile"]  # once a setting and round, not a seed
    assert read_costs(Store(out)) == costs
    (measurement,) = costs.measurements
    assert (measurement.command, measurement.order_seed) == ("python -m bench cost results", 3)
    assert json.loads((out / "cost.json").read_text())["schema_version"] == 1
    again = Sampler(lambda cell: a_round(rise_mib=70.0))
    measured(out, again)
    assert len(again.asked) == 4
    assert set(cost_table(Store(out))["memory_mib"]) == {70.0}


def test_only_what_is_new_or_of_other_numerics_is_measured(out: Path) -> None:
    uncosted(out, {"maml": 0.8})
    measured(out, Sampler())
    uncosted(out, TWO)
    sampler = Sampler()
    assert of(measured(out, sampler, missing_only=True)) == [["maml"], ["reptile"]]
    assert set(sampler.algorithms) == {"reptile"}
    nothing = Sampler()
    measured(out, nothing, missing_only=True)
    assert nothing.asked == []
    content = (out / "cost.json").read_text().replace('"protocol": 1', '"protocol": 99', 2)  # both rounds of maml
    (out / "cost.json").write_text(content)
    changed = Sampler()
    assert of(measured(out, changed, missing_only=True)) == [["reptile"], ["maml"]]
    assert set(changed.algorithms) == {"maml"}


def test_costs_of_two_machines_are_never_put_together(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uncosted(out, {"maml": 0.8})
    measured(out, Sampler())
    other = Machine(processor="another", cpus=64, gpus=[], torch="1.0")
    monkeypatch.setattr(measure, "_machine", lambda: other)
    complete = Sampler()
    measured(out, complete, missing_only=True)
    assert complete.asked == []  # nothing is missing: what is there stays as it is
    uncosted(out, TWO)
    sampler = Sampler()
    (measurement,) = measured(out, sampler, missing_only=True).measurements
    assert set(sampler.algorithms) == set(TWO)
    assert measurement.machine == other


def test_a_setting_that_fails_says_so_and_the_others_have_their_cost(out: Path) -> None:
    uncosted(out, TWO)
    failure = Failure("error", "KeyError: 'a mistake'")
    measured(out, Sampler(lambda cell: failure if cell.algorithm == "reptile" else a_round()))
    table = cost_table(Store(out)).set_index("algorithm")
    assert table.loc["reptile", "problem"] == "error: KeyError: 'a mistake'"
    assert table["step_ms"].isna().to_dict() == {"maml": False, "reptile": True}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "damaged: cost.json is not JSON"),
        ("{}", "damaged: cost.json has no schema version"),
        ('{"schema_version": 1, "measurements": 3}', "damaged: cost.json: measurements"),
        (
            '{"schema_version": 1, "measurements": [{"command": "x"}]}',
            "damaged: cost.json: measurements.0.time: required",
        ),
    ],
)
def test_a_damaged_file_is_named_and_written_anew(out: Path, content: str, words: str) -> None:
    uncosted(out, {"maml": 0.8})
    (out / "cost.json").write_text(content)
    with pytest.raises(UnreadableCosts) as error:
        read_costs(Store(out))
    assert str(error.value).startswith(words)
    measured(out, Sampler())
    assert len(cost_table(Store(out))) == 1


@pytest.mark.parametrize("times", [[], [-1.0], [1e400], ["1"]])
def test_times_that_nothing_measured_are_damage(out: Path, times: Sequence[object]) -> None:
    uncosted(out, {"maml": 0.8})
    measured(out, Sampler())
    content = json.loads((out / "cost.json").read_text())
    content["measurements"][0]["rows"][0]["rounds"][1]["outer_step_seconds"] = times
    (out / "cost.json").write_text(json.dumps(content))
    with pytest.raises(UnreadableCosts, match="damaged"):
        read_costs(Store(out))


def test_a_newer_file_is_kept(out: Path) -> None:
    uncosted(out, {"maml": 0.8})
    (out / "cost.json").write_text('{"schema_version": 99}')
    sampler = Sampler()
    with pytest.raises(UserError, match=r"schema 99 of cost.json.* or move that file away"):
        measured(out, sampler)
    assert sampler.asked == []


def test_two_that_measure_do_not_disturb_each_other(out: Path) -> None:
    uncosted(out, {"maml": 0.8})
    with FileLock(out / "cells" / ".cost.lock"), pytest.raises(UserError, match="another process measures the cost"):
        measured(out, Sampler())


def test_without_a_finished_cell_there_is_nothing_to_measure(out: Path) -> None:
    uncosted(out, {"maml": 0.8}, failed={("maml", seed): "nan" for seed in (0, 1, 2)})
    with pytest.raises(UserError, match="holds no finished cells"):
        measured(out, Sampler())


def test_the_command_measures_each_setting_in_processes_of_its_own(out: Path, failing: str) -> None:
    import_plugins([failing])
    uncosted(out, {"maml": 0.8, "raises": 0.5}, datasets=[SINUSOID], seeds=(0,))
    arguments = ["cost", str(out), "--import", failing, "--rounds", "2", "-q"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    table = cost_table(Store(out)).set_index("algorithm")
    assert table["problem"].to_dict() == {"maml": "", "raises": "error: KeyError: 'a mistake in\\ntwo lines'"}
    row = table.loc["maml"]
    assert 0 < row["step_low_ms"] <= row["step_ms"] <= row["step_high_ms"]
    assert row["step_q1_ms"] <= row["step_ms"] <= row["step_q3_ms"]
    assert (row["threads"], row["rounds"]) == (1, 2)
    assert row["baseline_mib"] > 100
    lines = done.stdout.splitlines()
    assert any("maml" in line and f"{row['step_ms']:,.2f}" in line for line in lines)
    assert any("raises" in line and "KeyError" in line for line in lines)
    assert f"({row['baseline_mib']:,.0f} MiB resident)" in done.stdout


def test_what_hangs_is_ended_and_says_so(out: Path, failing: str) -> None:
    import_plugins([failing])
    uncosted(out, {"sleeps": 0.5}, datasets=[SINUSOID], seeds=(0,))
    measure_costs(Store(out), Limits(Path("/nowhere"), timeout=1.0, plugins=(failing,)))
    assert list(cost_table(Store(out))["problem"]) == ["timeout: over the time limit of 1 s"]


def test_a_run_measures_what_is_missing_where_it_is_asked_to(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(tiny(), out, jobs=1)
    assert not (out / "cost.json").exists()  # a grid of the user's own
    assert bench.run(tiny(), out, jobs=1, cost=True).cost["rounds"].tolist() == [1]
    before = (out / "cost.json").read_bytes()
    bench.run(tiny(), out, jobs=1, cost=True)
    assert (out / "cost.json").read_bytes() == before
    asked: list[Path] = []
    monkeypatch.setattr(api, "measure_costs", lambda store, *arguments, **options: asked.append(store.root))
    part: dict[str, Any] = {"algorithms": ["finetune"], "datasets": ["sinusoid"], "hparams": {"train.episodes": 8}}
    bench.run("smoke", out.parent / "smoke", jobs=1, **part)
    assert asked == [out.parent / "smoke"]
    bench.run("smoke", out.parent / "smoke", jobs=1, cost=False, **part)
    assert len(asked) == 1
