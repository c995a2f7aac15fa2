"""The golden values that cost no training, and that a difference from any of them is found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.golden import check
from tests.golden.values import PARTS


@pytest.mark.parametrize("part", ["data", "statistics"])
def test_what_is_committed_still_holds(part: str) -> None:
    assert list(check.differences(part, check.committed(part), PARTS[part]())) == []


def leaves(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values that are no mappings."""
    if not isinstance(value, dict):
        return [way]
    return [found for name, one in value.items() for found in leaves(one, (*way, name))]


def changed(content: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy in which the value at the end of the way is another."""
    copied = copy.deepcopy(content)
    place = copied
    for name in way[:-1]:
        place = place[name]
    place[way[-1]] = value
    return copied


@pytest.mark.parametrize("part", ["data", "protocol", "statistics"])
def test_any_other_value_is_a_difference(part: str) -> None:
    golden = check.committed(part)
    for way in leaves(golden):
        (line,) = check.differences(part, golden, changed(golden, way, "another"))
        assert line.startswith(f"{part}: {': '.join(map(str, way))}: ")


def test_trained_numbers_may_differ_within_their_tolerance() -> None:
    golden = check.committed("trained")
    allowed = 0
    for way in leaves(golden):
        value = golden[way[0]][way[1]]
        step = check.TOLERANCE[way[1].split("_trans")[0].split("_induc")[0]]
        step *= 1.0 if "accuracy" in way[1] else abs(value)
        allowed += not list(check.differences("trained", golden, changed(golden, way, value + 0.9 * step)))
        (line,) = check.differences("trained", golden, changed(golden, way, value + 1.1 * step + 1e-5))
        assert line.startswith(f"trained: {way[0]}: {way[1]}: ")
    assert allowed == len(leaves(golden))


def test_a_cell_more_or_less_is_a_difference() -> None:
    golden = check.committed("trained")
    less = {name: value for name, value in golden.items() if not name.startswith("maml--")}
    assert [line.rsplit(": ", 1)[1] for line in check.differences("trained", golden, less)] == ["gone"] * 2
    assert [line.rsplit(": ", 1)[1] for line in check.differences("trained", less, golden)] == ["not committed"] * 2


def test_the_script_says_what_differs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    golden = check.committed("statistics")
    monkeypatch.setattr(check, "PARTS", {"statistics": lambda: golden})
    assert check.main() == 0
    monkeypatch.setattr(check, "PARTS", {"statistics": lambda: golden | {"iqm": 0.25}})
    assert check.main() == 1
    out = capsys.readouterr().out
    assert f"statistics: iqm: {golden['iqm']} and 0.25" in out
    assert "golden values: 1 differences" in out


def test_bytes_may_change_only_with_a_version_or_elsewhere() -> None:
    golden = check.committed("numerics")
    (name, *_) = golden["cells"]
    assert list(check.differences("numerics", golden, golden)) == []
    moved = changed(golden, ("cells", name, "weights"), "other bytes")
    (line,) = check.differences("numerics", golden, moved)
    assert line.startswith(f"numerics: {name}: its bytes are others under the same versions; raise")
    elsewhere = changed(moved, ("environment", "processor"), "another")
    assert list(check.differences("numerics", golden, elsewhere)) == []
    raised = changed(moved, ("cells", name, "versions", "protocol"), 2)
    (line,) = check.differences("numerics", golden, raised)
    assert line == f"versions: {name}: protocol: 1 and 2"
