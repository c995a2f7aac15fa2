"""``bench run --dry-run``: the cells, an estimate, and nothing that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.spec.grid import load_grid
from bench.store.store import Failure, Store
from tests.bench.helpers import SINUSOID, Main, write_grid
from tests.bench.stats.stores import write

pytestmark = pytest.mark.usefixtures("without_figures")


def test_a_dry_run_prints_the_cells_and_an_estimate_and_runs_nothing(main: Main, tmp_path: Path) -> None:
    uses = [dict(SINUSOID), {"name": "omniglot", "shots": [1]}]
    grid = write_grid(tmp_path / "mine.yaml", datasets=uses)
    code, out, err = main("run", grid, "--dry-run", "--jobs", "2")
    assert (code, err) == (0, "")
    assert not (tmp_path / "results").exists()
    sinusoid, omniglot = load_grid(grid).cells()
    assert f"{sinusoid.id}  under a second\n" in out
    assert omniglot.id not in out
    (line,) = [line for line in out.splitlines() if "python -m bench data fetch omniglot" in line]
    assert line.startswith("1 cell skipped: ")
    assert "2 cells, 1 to run: under a second with 2 jobs, under a second with 1 job (measured on single steps" in out
    with_one = main("run", grid, "--dry-run", "--jobs", "1")[1]
    assert "2 cells, 1 to run: under a second with 1 job (measured on single steps just now" in with_one
    main("run", grid, "-q")
    finished = main("run", grid, "--dry-run")[1]
    assert f"{sinusoid.id}  finished\n" in finished
    assert finished.endswith("2 cells, 0 to run\n")
    damaged = tmp_path / "results/mine/cells" / sinusoid.id / "curve.parquet"
    damaged.write_bytes(b"")
    assert f"{sinusoid.id}  under a second\n" in main("run", grid, "--dry-run")[1]
    assert damaged.is_file()
    Store(tmp_path / "results/mine").set_aside(sinusoid)
    Store(tmp_path / "results/mine").write_failure(sinusoid, Failure("timeout", "too slow"))
    assert f"{sinusoid.id}  timeout, not tried again\n" in main("run", grid, "--dry-run", "--retry", "oom")[1]
    assert f"{sinusoid.id}  under a second\n" in main("run", grid, "--dry-run", "--retry", "timeout")[1]


def test_a_dry_run_counts_what_is_finished_though_its_data_is_gone(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[{"name": "omniglot", "shots": [1]}])
    (cell,) = load_grid(grid).cells()
    write(tmp_path / "results/mine", {cell.algorithm: 0.5}, datasets=[{"name": "omniglot", "shots": [1]}], seeds=[0])
    out = main("run", grid, "--dry-run")[1]
    assert f"{cell.id}  finished\n" in out
    assert "skipped" not in out
    assert "fetch" not in out


def test_a_dry_run_for_a_cluster_does_not_judge_by_this_machine(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml", datasets=[dict(SINUSOID), {"name": "omniglot", "shots": [1]}])
    for more in ((), ("--device", "cuda:77")):
        code, out, err = main("run", grid, "--executor", "slurm", "--dry-run", *more)
        assert (code, err) == (0, "")
        assert "skipped" not in out
        assert "fetch" not in out
        assert out.count("to run on the cluster; it cannot be timed here") == (2 if more else 1)
        assert "2 cells, 2 to run" in out.splitlines()[-1]
    assert "with 3 jobs" in main("run", grid, "--executor", "slurm", "--dry-run", "--jobs", "3")[1]
