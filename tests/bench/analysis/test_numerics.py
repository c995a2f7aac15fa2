"""Tables, merges and comparisons that mix versions of the numerics say so."""

from __future__ import annotations

import json
from pathlib import Path

import bench
from bench.analysis.experiments import gather
from bench.report.markdown import markdown
from tests.bench.helpers import Main
from tests.bench.stats.stores import write

OLD, NEW = {"engine fused": 1, "protocol": 1}, {"engine fused": 2, "protocol": 1}
MIXED = (
    "results of several versions of the numerics stand side by side: engine fused 1 (3 cells) and 2 (3 cells); "
    "part of a difference may come from that"
)


def test_a_table_of_one_version_says_nothing(tmp_path: Path) -> None:
    evidence = gather([write(tmp_path / "one", {"maml": 0.8, "reptile": 0.6})])
    assert evidence.notes == ()
    assert "numerics" not in markdown(evidence.rows, evidence.board)


def test_a_table_and_a_comparison_that_mix_versions_say_so(tmp_path: Path, main: Main) -> None:
    folder = write(tmp_path / "mixed", {"maml": 0.8, "reptile": 0.6}, numerics={"maml": OLD, "reptile": NEW})
    evidence = gather([folder])
    assert evidence.notes == (MIXED,)
    assert f"Note: {MIXED}." in markdown(evidence.rows, evidence.board)
    code, out, _ = main("leaderboard", folder)
    assert code == 0
    assert MIXED in " ".join(out.split())
    (pair,) = bench.compare(folder, "maml", "reptile").pairs
    assert pair.notes == (MIXED,)


def test_a_merge_that_mixes_versions_says_so(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"maml": 0.8}, numerics={"maml": OLD})
    other = write(tmp_path / "other", {"reptile": 0.6}, numerics={"reptile": NEW})
    assert gather([one, other]).notes == (MIXED,)


def test_results_from_before_the_versions_are_said_to_be_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "old", {"maml": 0.8, "reptile": 0.6})
    places = sorted(folder.glob("cells/*/result.json"))
    for n, place in enumerate(places, 1):
        content = json.loads(place.read_text())
        del content["numerics"]
        place.write_text(json.dumps(content | {"schema_version": 2}))
        which = "the results" if n == len(places) else f"{n} of 6 results"
        assert gather([folder]).notes == (
            f"the version of the numerics behind {which} is unknown: they were written before versions were recorded",
        )
