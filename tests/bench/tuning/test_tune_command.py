"""``python -m bench tune``: what it prints and writes, and that a user's mistake is one line."""

from __future__ import annotations

import builtins
import importlib.util
import io
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from rich.console import Console

import bench
from bench.cli.tune import _chosen, _print_results
from bench.cli.tuning_progress import TrialLines
from bench.report.provenance import grid_argument
from bench.report.table_model import Column, ReportTable
from bench.spec.grid import load_grid
from bench.spec.variations import narrowed
from bench.store.store import Failure, Store
from bench.tuning.report.shown import BOLD
from bench.tuning.report.write import write_tuning_report
from bench.tuning.search import DATABASE, REPORTED, WINNER, default_won, plans, winner
from bench.tuning.spec import Budget, Method, tunable
from bench.tuning.storage import place
from bench.tuning.study import open_study
from datasets import UserError
from tests.bench.helpers import Main, write_grid

QUICK = ("--trials", "2", "--sampler", "random", "--pruner", "none")


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return write_grid(tmp_path / "mine.yaml", algorithms=["maml", "oracle"])


def test_a_grid_is_tuned_reported_and_used(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, err = main("tune", grid, *QUICK, "--seed", "2", "--report-seeds", "10,11")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "left out: oracle: no hyper-parameters to tune"
    assert lines[1] == "1 study x 2 trials: maml on sinusoid 5-shot"
    assert "continued" not in out
    assert "Bold" not in out  # nothing is bold in a pipe
    for number in (0, 1):
        (line,) = [one for one in lines if f"maml on sinusoid 5-shot: trial {number} ok mse" in one]
        assert line.startswith(f"[{number + 1}/2] ")
        assert re.search(r", \d+\.\d s; best mse \d+\.\d{3} \(trial [01]\)$", line)
    assert "maml on sinusoid 5-shot: results/mine/tuned/maml--sinusoid-5-shot.yaml" in lines
    assert lines[-1] == "report: results/mine/tuning/index.html"
    title = lines.index("sinusoid 5-shot")
    assert lines[title + 1] == "Mean squared error, lower is better: test episodes, fresh training seeds 10, 11."
    (row,) = [line.split() for line in lines[title:] if line.startswith("maml ")]
    assert "difference is tuned minus default." in lines
    assert "accuracy" not in out
    folder = tmp_path / "results/mine/tuning"
    page = (folder / "tuning.md").read_text()
    assert "Selected on seed 2, reported on seeds 10, 11. Objective: mean squared error, lower is better." in page
    assert "| algorithm | dataset | hyper-parameter | searched | default | selected |" in page
    html = (folder / "index.html").read_text()
    assert "--trials 2 --sampler random --pruner none --seed 2 --report-seeds 10,11 --out results/mine-again" in html
    assert "<h3>Tuned minus default on fresh seeds</h3>" in html
    shown = {"default_and_tuned", "expected_best", "history", "cost", "slices--maml--sinusoid-5-shot"}
    assert shown <= {path.stem for path in folder.glob("*.svg")} == {path.stem for path in folder.glob("*.png")}
    for name in shown:
        assert f"![{name}]({name}.png)" in page
    compared = pd.read_csv(folder / "default_and_tuned.csv")
    assert set(compared["algorithm"]) == {"maml"}
    assert set(compared["seeds"]) == {"10 11"}
    assert row[1:4] == [f"{compared[name][0]:.3g}" for name in ("default", "tuned")] + [
        f"{compared['difference'][0]:+.3g}"
    ]
    assert row[-2] == "2"  # trials
    assert (compared["difference"] - (compared["tuned"] - compared["default"])).abs().max() < 1e-12
    trials = pd.read_csv(folder / "trials.csv")
    assert trials.groupby("algorithm")["episodes"].sum().to_dict() == {"maml": 20}
    best = trials[trials["algorithm"] == "maml"].sort_values("validation").iloc[0]
    tuned = yaml.safe_load((tmp_path / "results/mine/tuned/maml--sinusoid-5-shot.yaml").read_text())
    assert tuned["values"]["inner_lr"] == pytest.approx(best["hparam.inner_lr"])
    assert tuned["search"]["trial"] == best["trial"]

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, out, err = main("tune", grid, *QUICK, "--seed", "2", "--report-seeds", "10,11")
    assert (code, err) == (0, "")
    assert ": trial " not in out
    assert out.splitlines()[2] == "continued: maml on sinusoid 5-shot (after 2 trials)"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before  # SVGs too

    used = tmp_path / "used.yaml"
    raw = yaml.safe_load(grid.read_text()) | {"algorithms": ["maml"]}
    used.write_text(yaml.safe_dump(raw | {"settings": [*raw["settings"], {"tuned": "results/mine/tuned"}]}))
    (cell,) = load_grid(used).cells()
    assert cell.hparams["inner_lr"] == tuned["values"]["inner_lr"]


def test_a_rerun_that_failed_is_on_the_page_and_leaves_its_seed_out(main: Main, grid: Path, tmp_path: Path) -> None:
    search = ("--seed", "2", "--algorithms", "maml")
    assert main("tune", grid, *QUICK, *search, "--report-seeds", "5,10,6", "-q")[0] == 0
    folder = tmp_path / "results/mine"
    chosen = narrowed(load_grid(grid), ["maml"])
    (plan,) = plans(chosen, Method(sampler="random", pruner="none"), 2, Path("/nowhere")).plans
    with open_study(plan, place(None, folder / DATABASE)) as opened:
        assert not default_won(opened)
        winning = winner(opened)
        assert winning is not None
        cell = winning.model_copy(update={"seed": 6})
        store = Store(folder / REPORTED / WINNER)
        shutil.rmtree(store.cells / cell.id)
        store.write_failure(cell, Failure("nan", "Diverged", ""))
        report = write_tuning_report([opened], folder, chosen, Budget(2))
    (row,) = report.tables.compared.to_dict("records")
    assert row["seeds"] == "5 10"
    for name in ("default", "tuned"):
        cells = bench.load(folder / REPORTED / name).set_index("seed")
        assert row[name] == pytest.approx(cells.loc[[5, 10], "test_mse"].mean())
    note = "maml on sinusoid 5-shot: tuned has no result for seed 6 (nan); its row is of seeds 5 and 10."
    page, text = report.page.read_text(), (report.page.parent / "tuning.md").read_text()
    for words in (note, "training seeds 5, 6, 10.", "With fewer than three shared seeds", "reported on seeds 5, 6, 10"):
        assert words in page
        assert words in text
    failed = pd.read_csv(report.page.parent / "without_result.csv", keep_default_na=False)
    assert failed[["values", "seed", "status"]].to_numpy().tolist() == [["tuned", 6, "nan"]]


def test_a_default_that_won_is_not_compared_with_itself(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, err = main("tune", grid, "--trials", "1", "--report-seeds", "10,11,12")  # the first trial is the default
    assert (code, err) == (0, "")
    started = [line for line in out.splitlines() if "] started maml--" in line]
    assert len(started) == 3
    assert not (tmp_path / "results/mine/reported/tuned").exists()
    page = (tmp_path / "results/mine/tuning/tuning.md").read_text()
    won = "maml on sinusoid 5-shot: no trial was better than the default on the validation episodes."
    assert won in page
    assert won in out.splitlines()
    (row,) = [line.split() for line in out.splitlines() if line.startswith("maml  ")]
    cells = bench.load(tmp_path / "results/mine/reported/default")
    mean = cells.loc[cells["algorithm"] == "maml", "test_mse"].mean()
    assert row[1:7] == [f"{mean:.3g}", "as", "default", "–", "–", "–"]
    assert "not yet reported" not in page
    assert not (tmp_path / "results/mine/tuning/default_and_tuned.csv").exists()


def test_an_algorithm_on_a_dataset_takes_its_settings_from_a_grid(main: Main, grid: Path, tmp_path: Path) -> None:
    code, out, err = main("tune", "reptile", "sinusoid", "--grid", grid, "--shots", "4", "--trials", "1", "-q")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "reptile on sinusoid 4-shot: results/mine/tuned/reptile--sinusoid-4-shot.yaml"
    assert "--report-seeds 10,11,12" in out.splitlines()[-1]
    page = (tmp_path / "results/mine/tuning--reptile--sinusoid-4-shot/tuning.md").read_text()
    assert "reptile on sinusoid 4-shot: no trial was better than the default" in page  # the only trial
    assert "search s" not in out  # quiet: no table


def test_two_objectives_have_a_front(main: Main, grid: Path, tmp_path: Path) -> None:
    code, _, err = main(
        "tune", grid, "--algorithms", "maml", "--trials", "3", "--objective", "accuracy,adapt_ms", "-q", "--jobs", "2"
    )
    assert (code, err) == (0, "")
    assert (tmp_path / "results/mine/tuning/pareto.svg").is_file()


def test_a_study_that_finds_nothing_is_said_and_the_others_go_on(main: Main, grid: Path, failing: str) -> None:
    code, out, err = main("tune", grid, *QUICK, "--import", failing, "--algorithms", "raises,maml")
    assert (code, err) == (1, "")
    assert "raises on sinusoid 5-shot: all 2 trials ended as error" in out
    assert "maml on sinusoid 5-shot: results/mine/tuned/maml--sinusoid-5-shot.yaml" in out
    code, out, err = main("tune", grid, *QUICK, "--import", failing, "--algorithms", "raises", "--out", "x")
    assert code == 2
    assert err == "error: no study has a result: none of its trials gave a value\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("GRID", "--storage", "nonsense"),
            "--storage: 'nonsense' is not the URL of a database; use sqlite:///FILE or",
        ),
        (("GRID", "--storage", "postgresql:/me:pw@host"), "'postgresql:/me:***@host' is not the URL of a database"),
        (("GRID", "--storage", "mysql://localhost/x"), "--storage: 'mysql' is not offered; use sqlite:///FILE or"),
        (("GRID", "--storage", "sqlite:///:memory:"), "in memory, which no other process can share"),
        (("GRID", "--storage", "sqlite:////nowhere-at-all/x.db"), "the folder /nowhere-at-all does not exist"),
        (("GRID", "--sampler", "tpx"), "--sampler: got 'tpx', did you mean 'tpe'?; use one of tpe, random, gp, cmaes"),
        (("GRID", "--pruner", "medium"), "--pruner: got 'medium', did you mean 'median'?; use one of hyperband"),
        (("GRID", "--objective", "time"), "--objective: got 'time'; use one of accuracy; accuracy,adapt_ms"),
        (("GRID", "--objective", "accuracy,adapt_ms", "--pruner", "median"), "'median' works with one objective"),
        (("GRID", "--objective", "accuracy,adapt_ms", "--sampler", "cmaes"), "'cmaes' works with one objective"),
        (("GRID", "--trials", "3", "--hours", "1"), "--trials 3 and --hours 1 are two budgets"),
        (("GRID", "--report-seeds", "0,1"), "--report-seeds: 0 is the seed that the search selects on"),
        (("GRID", "--algorithms", "oracle"), "oracle has no hyper-parameters to tune"),
        (("oracle", "sinusoid", "--grid", "GRID"), "oracle has no hyper-parameters to tune"),
        (("maml",), "'maml' is an algorithm; say on which dataset"),
        (("maml", "sinusoids"), "unknown dataset 'sinusoids', did you mean 'sinusoid'?"),
        (("mamml", "sinusoid"), "unknown algorithm 'mamml', did you mean 'maml'?"),
        (("nothing",), "no grid 'nothing'"),
        (("maml", "sinusoid", "--algorithms", "reptile"), "--algorithms: 'maml' is named already"),
        (("maml", "sinusoid", "--datasets", "glyphs"), "--datasets: 'sinusoid' is named already"),
        (("GRID", "--datasets", "sinusoit"), "--datasets: grid 'mine' has no dataset 'sinusoit', did you mean"),
        (("maml", "omniglot"), "nothing to tune: maml on omniglot:"),
    ],
)
def test_a_mistake_is_one_line(main: Main, grid: Path, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = main("tune", *(str(grid) if one == "GRID" else one for one in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert "pw@" not in err


def test_a_corrupted_database_is_one_line(main: Main, grid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results/mine"
    folder.mkdir(parents=True)
    (folder / "tuning.db").write_bytes(b"this is not a database" * 100)
    code, _, err = main("tune", grid, *QUICK)
    assert code == 2
    assert (
        "results/mine/tuning.db does not work (file is not a database); nothing was changed there; give another" in err
    )
    assert err.count("\n") == 1


def test_a_database_that_breaks_later_is_one_line(main: Main, grid: Path, tmp_path: Path) -> None:
    assert main("tune", grid, *QUICK, "--algorithms", "maml", "-q")[0] == 0
    database = tmp_path / "results/mine/tuning.db"
    with sqlite3.connect(database) as connection:
        connection.execute("DROP TABLE trial_values")
        connection.execute("CREATE TABLE trial_values (other INTEGER)")
    connection.close()
    code, _, err = main("tune", grid, *QUICK, "--algorithms", "maml", "-q")
    assert code == 2
    assert "tuning.db does not work (" in err
    assert err.count("\n") == 1


def test_other_settings_under_the_same_study_are_one_line(main: Main, grid: Path, tmp_path: Path) -> None:
    assert main("tune", grid, *QUICK, "--algorithms", "maml", "-q")[0] == 0
    code, _, err = main("tune", grid, *QUICK, "--algorithms", "maml", "-q", "--seed", "5")
    assert code == 2
    database = tmp_path / "results/mine/tuning.db"
    assert f"study 'mine--maml--sinusoid-5-shot' in sqlite:///{database} searches something else" in err
    assert "(cell.seed is 0 there, but 5 here)" in err
    assert err.count("\n") == 1


def test_a_missing_driver_is_one_line(main: Main, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "psycopg" else real(name, *a))
    code, _, err = main("tune", grid, "--storage", "postgresql://me@localhost/bench")
    assert code == 2
    assert err == "error: --storage: PostgreSQL needs the package psycopg; `uv sync --extra postgresql` installs it\n"


def test_the_help_is_not_cut_at_80_columns(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = main("tune", "--help")
    assert code == 0
    assert "--datasets" in out
    assert "…" not in out


def test_a_grid_is_searched_on_some_of_its_datasets() -> None:
    chosen = _chosen("tuning", None, "tuning", None, "glyphs", None, None)
    assert {cell.dataset for cell in chosen.cells()} == {"glyphs"}
    words = grid_argument(chosen.model_dump(mode="json"), chosen.name, ("algorithms", "datasets", "ways", "shots"))
    assert words == "tuning --datasets glyphs"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_note_on_bold_is_for_terminals(terminal: bool) -> None:
    table = ReportTable("sinusoid 5-shot", (Column("algorithm"),), (), notes=(f"{BOLD}: better.", "p is adjusted."))
    file = io.StringIO()
    _print_results(Console(file=file, force_terminal=terminal, width=100), [table])
    assert ("Bold: better." in file.getvalue()) == terminal
    assert "p is adjusted." in file.getvalue()


def test_a_start_names_few_studies(capsys: pytest.CaptureFixture[str]) -> None:
    found = plans(load_grid("tuning"), Method(), 0, Path("/nowhere")).plans
    TrialLines(Console(width=300), False, Budget(20)).started([(plan, 3 * (n == 1)) for n, plan in enumerate(found)])
    first, second = capsys.readouterr().out.splitlines()
    titles = [plan.title for plan in found]
    assert first == f"10 studies x 20 trials: {', '.join(titles[:3])} and 7 more"
    assert second == f"continued: {titles[1]} (after 3 trials)"


def test_other_verbs_do_not_import_optuna(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *arguments: Any, **named: Any) -> Any:
        assert not name.startswith("optuna")
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", guarded)
    assert main("list")[0] == 0


def test_the_usual_grid_is_that_of_the_five_main_algorithms() -> None:
    cells = load_grid("tuning").cells()
    assert {cell.algorithm for cell in cells} == {"maml", "fomaml", "meta-sgd", "reptile", "finetune"}
    assert {(cell.dataset, cell.shape) for cell in cells} == {("sinusoid", "10-shot"), ("glyphs", "5-way 1-shot")}
    assert len(cells) == 10
    assert all(tunable(cell.algorithm) for cell in cells)


def test_in_python_with_other_values(main: Main, grid: Path, tmp_path: Path) -> None:
    """``bench.tune`` and ``tune --set`` are the same search: the second finds that nothing is left to do."""
    ended: list[object] = []
    how: dict[str, Any] = {
        "trials": 2,
        "sampler": "random",
        "pruner": "none",
        "seed": 2,
        "hparams": {"train.episodes": 8},
    }
    done = bench.tune(grid, tmp_path / "python", algorithms=["maml"], report_seeds=[10], on_trial=ended.append, **how)
    assert len(ended) == 2
    assert list(done.trials["episodes"]) == [8, 8]
    assert list(done.studies["trials"]) == [2]
    assert done.report.is_file()
    assert set(bench.load(done.path / "reported" / "default")["seed"]) == {10}
    assert len(done.compared) == (0 if done.studies["default_won"].all() else 1)
    search = ("--out", done.path, "--set", "train.episodes=8", "--algorithms", "maml", "--seed", "2")
    code, out, err = main("tune", grid, *QUICK, *search)
    assert (code, err) == (0, "")
    assert ": trial " not in out
    code, _, err = main("tune", grid, *QUICK, "--set", "inner_rl=1")
    assert (
        code,
        "--set inner_rl=1: no algorithm of grid 'mine' has a hyper-parameter 'inner_rl', did you mean 'inner_lr'?"
        in err,
    ) == (2, True)
    for wrong, message in (
        ({"sampler": "tpee"}, "sampler: got 'tpee', did you mean 'tpe'"),
        ({"trials": 0}, "trials: got 0"),
        ({"report_seeds": [2]}, "report_seeds: 2 is the seed"),
    ):
        with pytest.raises(UserError, match=message):
            bench.tune(grid, tmp_path / "none", **(how | wrong))
    assert not (tmp_path / "none").exists()
