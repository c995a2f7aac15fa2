"""``bench run``: what it prints, what it returns and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.spec.grid import load_grid
from bench.store.store import Store
from tests.bench.helpers import SINUSOID, Main, tables, write_grid

pytestmark = pytest.mark.usefixtures("without_figures")


def test_a_run_shows_progress_and_the_leaderboard_and_again_the_leaderboard_alone(
    main: Main, grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = main("run", grid, "--jobs", "1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "4 cells, 0 finished before"
    ids = [cell.id for cell in load_grid(grid).cells()]
    for number, cell in enumerate(ids):
        assert f"[{number}/4] started {cell}" in lines
        (ended,) = [line for line in lines if line.startswith(f"[{number + 1}/4] ok {cell}: ")]
        assert (": mse " if "sinusoid" in cell else ": acc ") in ended
    assert "sinusoid 5-shot" in out
    assert "glyphs 3-way 1-shot" in out
    assert lines[-1] == "report: results/mine/report/index.html"
    assert (tmp_path / "results/mine/report/index.html").is_file()
    assert "\x1b" not in out
    assert tables(tmp_path / "results/mine").keys() == set(ids)

    code, out, _ = main("run", grid)
    assert code == 0
    assert out.startswith("4 cells, 4 finished before\n")
    assert "started" not in out

    code, out, err = main("run", grid, "--quiet", "--out", "results/mine")
    assert (code, err) == (0, "")
    assert "started" not in out
    assert "finished before" not in out
    assert "sinusoid 5-shot" in out
    assert "report: results/mine/report/index.html" in out

    monkeypatch.delenv("COLUMNS")  # a table keeps its numbers where the output is not a terminal
    table = main("run", grid, "-q")[1].split("glyphs 3-way 1-shot")[1].split("Scores are means")[0]
    assert "…" not in table
    assert "transductive %" in table
    assert "finetune" in table


def test_other_settings_in_the_same_folder_are_refused_before_anything_runs(main: Main, tmp_path: Path) -> None:
    first = write_grid(tmp_path / "one.yaml", algorithms=["finetune"], datasets=[dict(SINUSOID)], seeds=[0])
    again = write_grid(tmp_path / "two.yaml", algorithms=["finetune"], datasets=[dict(SINUSOID)], seeds=[0, 1])
    changed = write_grid(
        tmp_path / "three.yaml",
        algorithms=["finetune"],
        datasets=[dict(SINUSOID)],
        seeds=[2, 0],
        settings=[{"set": {"head_lr": 0.5}}],
    )
    assert main("run", first, "-q", "--out", "here")[0] == 0
    assert main("run", again, "-q", "--out", "here")[0] == 0  # more seeds join
    before = sorted(path.name for path in (tmp_path / "here/cells").iterdir())
    code, out, err = main("run", changed, "-q", "--out", "here")
    assert (code, out) == (2, "")
    assert "here holds finetune on sinusoid 5-shot with other settings" in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "here/cells").iterdir()) == before


def test_options_narrow_the_grid(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, _ = main(
        *("run", grid, "--algorithms", "reptile, maml", "--datasets", "sinusoid", "--shots", "5", "--seeds", "3,1"),
        *("--jobs", "2", "--device", "cpu", "--timeout", "60", "--data-root", tmp_path, "--out", "x"),
    )
    assert code == 0
    rows = Store(tmp_path / "x").rows()
    assert set(zip(rows["algorithm"], rows["dataset"], rows["seed"], strict=True)) == {
        (algorithm, "sinusoid", seed) for algorithm in ("reptile", "maml") for seed in (1, 3)
    }
    assert set(rows["jobs"]) == {2}
    assert "4 cells" in out


def test_values_replace_those_of_the_grid(main: Main, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "mine.yaml")
    values = ("--set", "inner_lr=1e-2", "--set", "maml.test_steps=1", "--set", "train.episodes=8")
    assert main("run", grid, "-q", *values)[0] == 0
    (cell,) = Store(tmp_path / "results/mine").finished_cells()
    assert (cell.hparams["inner_lr"], cell.hparams["test_steps"], cell.train.episodes) == (0.01, 1, 8)
    code, _, err = main("run", grid, "-q")
    assert code == 2
    assert "give another --out" in err


def test_failures_are_shown_counted_and_tried_again_as_asked(main: Main, tmp_path: Path, failing: str) -> None:
    grid = write_grid(tmp_path / "mine.yaml", algorithms=["maml", "reptile"])
    command = ("run", grid, "--import", failing, "--jobs", "1", "--algorithms")
    code, out, _ = main(*command, "raises")
    assert code == 1  # no cell has a result
    assert "Without a result" in out

    code, out, err = main(*command, "raises,maml", "--fail-fast", "--out", "fast")
    assert code == 1
    assert "started maml" not in out
    assert err.startswith("stopped at the first failure, raises--sinusoid-5-shot--seed0--")
    assert err.endswith("error: KeyError: 'a mistake in\\ntwo lines'; the same command continues\n")
    assert not (tmp_path / "fast/report").exists()

    code, out, err = main(*command, "raises,maml", "--keep-going")
    assert (code, err) == (0, "")
    assert "[1/2] error raises--sinusoid" in out
    assert "[2/2] ok maml" in out
    assert "KeyError" in out.split("Without a result")[1]
    assert (tmp_path / "results/mine/report/leaderboard.md").read_text().count("KeyError") == 1

    code, out, err = main(*command, "raises,maml,reptile", "--retry", "none")
    assert (code, err) == (0, "")
    assert out.startswith("3 cells, 1 finished before, 1 failed before and not tried again\n[2/3] started reptile--")
    assert out.count("[3/3] ok reptile--") == 1
    assert "KeyError" in out.split("Without a result")[1]


def test_cells_without_data_are_skipped_visibly(main: Main, tmp_path: Path) -> None:
    uses = [dict(SINUSOID), {"name": "omniglot", "shots": [1]}]
    code, out, _ = main("run", write_grid(tmp_path / "mine.yaml", datasets=uses))
    assert code == 0
    assert "skipped maml--omniglot-5-way-1-shot--seed0" in out
    assert "skipped" in out.split("Without a result")[1]
    assert "python -m bench data fetch omniglot" in (tmp_path / "results/mine/report/leaderboard.md").read_text()
