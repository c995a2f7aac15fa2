"""The speed benchmark: wrong gradients are shown, ratios are of paired rounds, all start from the same weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from algorithms.networks.conv4 import Conv4
from algorithms.networks.entry import NETWORKS
from algorithms.networks.mlp import MLP
from algorithms.networks.network import forward
from bench.cli import app
from bench.process.allocator import bytes_in_use
from bench.speed.child import _answer
from bench.speed.contenders import CONTENDERS, Contender, Prepared
from bench.speed.module import as_module, named
from bench.speed.report import write
from bench.speed.roofline import convolution_peak, operations
from bench.speed.rounds import Process, Timings, _relative_error, race
from bench.speed.summary import contender_tables
from bench.speed.table import overall, ratio, rows
from bench.speed.workloads import WORKLOADS, of_methods
from datasets import UserError

BY_NAME = {one.name: one for one in CONTENDERS}
QUICK = [one for one in WORKLOADS if one.target and one.name != "omniglot-5w1s"]  # -q1 is the same with fewer queries
SINUSOID = next(one for one in WORKLOADS if one.name == "sinusoid-10")


def test_times_are_taken_in_processes_and_gradients_agree() -> None:
    (timings,) = race(SINUSOID, [BY_NAME["bench (vmap)"]], 1, 3, np.random.default_rng(0))
    assert timings.contender == "bench (vmap)"
    assert len(timings.milliseconds) == 3
    assert min(timings.milliseconds) > 0
    assert timings.error <= 1e-12
    assert timings.peak_mib > timings.rise_mib > 0
    assert not timings.wrong


@pytest.mark.parametrize("name", ["learn2learn", "higher", "torchopt", "jax (loop)", "jax (vmap)"])
@pytest.mark.parametrize("workload", QUICK, ids=lambda one: one.name)
def test_every_library_gives_our_gradient(name: str, workload: Any) -> None:
    contender = BY_NAME[name]
    if reason := contender.missing():
        pytest.skip(reason)
    few = replace(workload, tasks=min(workload.tasks, 2))
    with torch.random.fork_rng():
        gradients = [one.prepare(few, torch.float64).gradient for one in (BY_NAME["bench (loop)"], contender)]
        assert all(gradients)
        expected, found = ({key: value.double() for key, value in one().items()} for one in gradients if one)
    assert _relative_error(found, expected) < 1e-8


def test_a_wrong_gradient_is_shown_as_wrong_and_not_as_fast() -> None:
    timings = [
        Timings("bench", (2.0, 2.0), 0.0, 10.0, 5.0),
        Timings("fast", (1.0, 1.0), 0.3, 10.0, 5.0),
        Timings("broken", (), math.nan, math.nan, math.nan, "broken ended at 'gradient': boom"),
    ]
    table = rows(SINUSOID, 1, timings, 1.0, 100.0)
    assert table["wrong"].tolist() == [False, True, False]
    assert table["problem"].tolist() == ["", "", "broken ended at 'gradient': boom"]
    assert overall(table).empty
    (shown,) = contender_tables(table)
    assert shown.title == "sinusoid-10, 1 thread"
    by_name = {row.name: [cell.text for cell in row.cells] for row in shown.rows}
    assert by_name["bench"][1:4] == ["2.0", "2.0–2.0", ""]
    assert by_name["fast"][3] == "0.50"
    assert by_name["fast"][-1] == "3e-01 WRONG"
    assert by_name["broken"][1] == "broken ended at 'gradient': boom"


def test_the_ratio_is_the_geometric_mean_of_paired_rounds() -> None:
    theirs, ours = [2.0, 6.0, 12.0], [1.0, 2.0, 3.0]
    logs = np.log([2.0, 3.0, 4.0])
    mean, low, high = ratio(theirs, ours)
    half = 4.302652729911275 * logs.std(ddof=1) / math.sqrt(3)  # Student's t, two degrees of freedom
    assert mean == pytest.approx(math.exp(logs.mean()))
    assert (low, high) == (pytest.approx(math.exp(logs.mean() - half)), pytest.approx(math.exp(logs.mean() + half)))


def test_the_overall_mean_is_over_the_workloads_that_count() -> None:
    lines = []
    for workload, target, times in (("a", True, 2.0), ("b", True, 8.0), ("c", False, 100.0)):
        for contender, ratio_, memory in (("bench", 1.0, 10.0), ("other", times, 20.0)):
            line = {"workload": workload, "threads": 1, "contender": contender, "times_ours": ratio_, "wrong": False}
            lines.append(line | {"rise_mib": memory, "target": target})
    (row,) = overall(pd.DataFrame(lines)).to_dict("records")
    assert row == {"threads": 1, "contender": "other", "geometric_mean": 4.0, "least": 2.0, "memory_of_ours": 2.0}


@pytest.mark.parametrize(
    "network", [MLP(1, 1), Conv4((1, 28, 28), 5), Conv4((3, 84, 84), 5, 32, "max-pool", "flatten")], ids=str
)
def test_the_module_is_our_network(network: MLP | Conv4) -> None:
    weights = {name: value.double() for name, value in network.init(torch.Generator().manual_seed(0)).items()}
    shape = (1,) if isinstance(network, MLP) else network.input_shape
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    module = as_module(network, weights)
    torch.testing.assert_close(module(x), forward(network, weights, x))
    torch.autograd.backward([module(x).sum()])
    assert set(named(module)) == set(weights)


def test_the_module_of_a_backbone_is_our_network() -> None:
    entry = NETWORKS["resnet12"]
    network = entry.build(entry.options.model_validate({"channels": (4, 6)}), (3, 8, 8), 5)
    weights = {name: value.double() for name, value in network.init(torch.Generator().manual_seed(0)).items()}
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    module = as_module(network, weights)
    torch.testing.assert_close(module(x), forward(network, weights, x))
    torch.autograd.backward([module(x).sum()])
    assert set(named(module)) == set(weights)


@pytest.mark.parametrize("name", ["learn2learn", "higher", "torchopt"])
def test_every_library_gives_our_gradient_of_a_backbone(name: str) -> None:
    if reason := BY_NAME[name].missing():
        pytest.skip(reason)
    entry = NETWORKS["resnet12"]
    small = entry.build(entry.options.model_validate({"channels": (4, 6)}), (3, 8, 8), 5)
    workload = next(one for one in WORKLOADS if one.name == "resnet12-5w1s")
    few = replace(workload, trained=small)
    with torch.random.fork_rng():
        gradients = [one.prepare(few, torch.float64).gradient for one in (BY_NAME["bench"], BY_NAME[name])]
        expected, found = ({key: value.double() for key, value in one().items()} for one in gradients if one)
    assert _relative_error(found, expected) < 1e-8


def test_jax_takes_no_module() -> None:
    workload = next(one for one in WORKLOADS if one.name == "resnet12-5w1s")
    assert not BY_NAME["jax (vmap)"].takes(workload)
    assert BY_NAME["learn2learn"].takes(workload)


@pytest.mark.parametrize("name", ["fomaml", "anil"])
def test_methods_that_leave_something_out_run_in_mamls_place(name: str) -> None:
    prepared = BY_NAME[f"bench: {name}"].prepare(SINUSOID, torch.float32)
    assert prepared.gradient is None
    state, measured = prepared.work()  # type: ignore[misc]
    assert measured["loss"] > 0
    assert any(key.startswith("adam/") for key in state)


@pytest.mark.parametrize("threads", [1, 2])
def test_operations_are_counted(threads: int) -> None:
    """Of 25 tasks: the support pass forward, backward and backward again, and the query pass."""
    per_point = 2 * (40 + 40 * 40 + 40)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert 25 * 10 * per_point / 1e9 < operations(SINUSOID) < 25 * 20 * 12 * per_point / 1e9
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert convolution_peak(1) > 0


def test_a_count_of_zero_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of work which all is done where it is not seen."""

    def elsewhere(work: Callable[[Any], Any], parts: Any) -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            return list(pool.map(work, parts))

    monkeypatch.setattr("algorithms.engines.mean_gradient.side_by_side", elsewhere)
    with pytest.raises(UserError, match="sinusoid-10: no operation was counted"):
        operations(SINUSOID)


def test_every_methods_memory_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Methods have processes of their own, and what a step keeps shows; the table, the JSON and a file have it."""
    fake(monkeypatch)
    some = tuple(one for one in of_methods() if one.name in ("points: maml", "points: oracle"))
    monkeypatch.setattr("bench.speed.report.of_methods", lambda: some)
    arguments = ["speed", "--workloads", "sinusoid-10", "--contenders", "bench", "--rounds", "3", "--methods"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "every method's outer step on points" in done.output
    rows_ = {row["method"]: row for row in json.loads((tmp_path / "speed.json").read_text())["methods"]}
    assert set(rows_) == {"maml", "oracle"}
    assert rows_["maml"]["times_maml"] == 1.0
    for row in rows_.values():
        assert row["peak_mib"] > row["rise_mib"] > 0
        assert row["kept_kib"] is None or abs(row["kept_kib"]) < 8
    assert (tmp_path / "methods.csv").exists()


def test_what_each_repetition_keeps_is_counted() -> None:
    if bytes_in_use() is None:
        pytest.skip("this C library does not say how many bytes are in use")
    kept: list[Any] = []
    prepared = Prepared(lambda: kept.append(torch.ones(2**18)), None)
    state: dict[str, Any] = {"baseline": 0.0}
    for times in (1, 1, 4):
        _answer({"do": "work", "times": times}, lambda *_: prepared, SINUSOID, state)
    found = _answer({"do": "memory"}, lambda *_: prepared, SINUSOID, state)
    assert found["kept_kib"] == pytest.approx(1024, rel=0.1)


@pytest.mark.parametrize("workload", of_methods(), ids=lambda one: one.name)
def test_every_method_has_an_outer_step_to_time(workload: Any) -> None:
    small = replace(workload, tasks=1)
    BY_NAME["bench"].prepare(small, torch.float32).work()


def test_a_process_that_dies_says_why() -> None:
    said = "nobody ended at 'gradient': StopIteration"
    with Process("nobody", "sinusoid-10", 1) as process, pytest.raises(UserError, match=said):
        process.ask(do="gradient", to="x")


def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contenders that need no process."""

    def raced(workload: Any, contenders: Any, *_: Any) -> list[Timings]:
        times = {"bench": (10.0, 11.0, 12.0), "learn2learn": (30.0, 33.0, 36.0)}
        return [Timings(one.name, times.get(one.name, (20.0,) * 3), 0.0, 100.0, 50.0) for one in contenders]

    monkeypatch.setattr("bench.speed.report.race", raced)
    monkeypatch.setattr("bench.speed.report.convolution_peak", lambda threads: 100.0)


def test_the_command_prints_and_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch)
    always = Contender("learn2learn", ("maml",), lambda workload, dtype: Prepared(lambda: None, None))
    monkeypatch.setattr("bench.speed.contenders.CONTENDERS", (CONTENDERS[0], always))
    arguments = ["speed", "--workloads", "sinusoid-10", "--rounds", "3", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "learn2learn" in done.output
    assert "3.00" in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"speed.csv", "overall.csv", "speed.json", "speed.png"}
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["command"] == "python -m bench speed --workloads sinusoid-10 --threads 1 --rounds 3"
    assert content["environment"]["cpus"] >= 1
    (row,) = [row for row in content["rows"] if row["contender"] == "learn2learn"]
    assert row["times_ours"] == pytest.approx(3.0)


def test_without_another_library_there_is_no_mean_over_the_targets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch)
    arguments = ["speed", "--workloads", "sinusoid-10", "--contenders", "bench", "--rounds", "3", "--out"]
    assert CliRunner().invoke(app, [*arguments, str(tmp_path)]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"speed.csv", "speed.json", "speed.png"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workloads", "omniglot"], "--workloads: got 'omniglot'"),
        (["--contenders", "learn2lern"], "did you mean 'learn2learn'?"),
        (["--threads", "0"], "--threads: got '0'"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["speed", *arguments])
    assert isinstance(done.exception, UserError) or done.exit_code == 2
    assert said in f"{done.output}{done.exception}"


def test_figures_leave_out_who_is_wrong(tmp_path: Path) -> None:
    timings = [Timings("bench", (2.0, 2.1), 0.0, 10.0, 5.0), Timings("other", (4.0, 4.4), 0.0, 10.0, 5.0)]
    table = rows(SINUSOID, 1, timings, 1.0, 100.0)
    assert len(write(table, tmp_path, "command")) == 4
    assert (tmp_path / "speed.png").stat().st_size > 5000


def test_peers_are_found_or_say_what_to_install() -> None:
    for one in CONTENDERS:
        package = one.name.split()[0]
        if not package.startswith("bench"):
            assert (one.missing() is None) == (find_spec(package) is not None)
    check: Callable[[], str | None] = BY_NAME["higher"].missing
    assert check() in (None, "higher is not installed; run: uv sync --group speed")
