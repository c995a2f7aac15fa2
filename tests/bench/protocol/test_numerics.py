"""The versions of the numerics: what a result states, and when two results are of other ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from algorithms import ALGORITHMS
from algorithms.engines import precision
from bench.execution.in_process import execute
from bench.protocol import numerics
from bench.protocol.numerics import differs_here, version_differences
from datasets.storage.reading import usable_data_root
from tests.bench.helpers import GLYPHS, one_cell


def test_a_result_states_the_versions_of_its_algorithm_its_engine_and_the_protocol(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ALGORITHMS._entries, "protonet", replace(ALGORITHMS["protonet"], numerics=7))
    monkeypatch.setattr(numerics, "NUMERICS", {**numerics.NUMERICS, "fused": 3})
    before = one_cell(algorithms=["protonet"], datasets=[dict(GLYPHS)], settings=[])
    outcome, _ = execute(before, usable_data_root(None), 1, lambda progress: None)
    assert outcome.numerics == {"algorithm protonet": 7, "engine fused": 3, "protocol": numerics.PROTOCOL}
    monkeypatch.undo()
    assert one_cell(algorithms=["protonet"], datasets=[dict(GLYPHS)], settings=[]).id == before.id


def test_results_differ_in_the_parts_that_both_have() -> None:
    one = {"algorithm maml": 1, "engine fused": 2, "protocol": 1}
    assert version_differences(one, dict(one)) == []
    assert version_differences(one, {"algorithm reptile": 5, "engine fused": 3, "protocol": 1}) == [
        "numerics: engine fused 2 and 3"
    ]
    assert version_differences(None, None) == []
    assert version_differences(None, {"protocol": 1}) == ["numerics: unknown and protocol 1"]
    assert version_differences({"protocol": 1}, None) == ["numerics: protocol 1 and unknown"]


def test_a_stored_result_is_compared_with_what_would_run_here() -> None:
    here = numerics.versions("maml", "fused")
    assert not differs_here(here, "maml")
    assert differs_here(here | {"protocol": numerics.PROTOCOL + 1}, "maml")
    assert differs_here(here | {"engine gone": 1}, "maml")
    assert differs_here(None, "maml")


def test_a_precision_has_a_version_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, rounded = numerics.versions("maml", "loop"), numerics.versions("maml", "loop", "bf16")
    assert rounded.keys() - plain.keys() == {"precision bf16"}
    monkeypatch.setattr(numerics, "PRECISION_NUMERICS", {"bf16": rounded["precision bf16"] + 1})
    assert differs_here(rounded, "maml")
    assert not differs_here(plain, "maml")


def test_a_cell_runs_in_bf16_and_states_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_flags", lambda: frozenset({"amx_bf16"}))
    cell = one_cell(algorithms=["protonet"], datasets=[dict(GLYPHS)], settings=[])
    cell = cell.model_copy(update={"engine": "loop"})
    (plain, _), (rounded, _), (again, _) = (
        execute(each, usable_data_root(None), 1, lambda progress: None)
        for each in (cell, *2 * [cell.model_copy(update={"precision": "bf16"})])
    )
    assert rounded.numerics == {**plain.numerics, "precision bf16": 1}
    assert all(torch.equal(rounded.state[name], again.state[name]) for name in rounded.state)
    assert any(not torch.equal(rounded.state[name], plain.state[name]) for name in plain.state)
