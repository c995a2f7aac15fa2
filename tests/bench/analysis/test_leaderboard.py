"""The leaderboard: ranks shared where nothing separates, failures not averaged away, and its verb."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bench
from bench.analysis.experiments import gather
from bench.analysis.pairwise import pair_rows
from bench.cli import app
from bench.report.leaderboard import leaderboard_tables, score_cell
from bench.report.markdown import markdown
from bench.report.summary import across_datasets_words, summary
from bench.report.table_model import shared_notes
from bench.report.write import write_report
from bench.store.cost_file import Costs, read_costs, write_costs
from bench.store.store import Store
from datasets import UserError
from tests.bench.stats.stores import GLYPHS, SINUSOID, write, write_cost

FIVE = {"maml": 0.8, "fomaml": 0.8, "reptile": 0.6, "meta-sgd": 0.7, "finetune": 0.5}
COSTS = {
    "finetune": {"outer_step_seconds": [0.002], "rise_mib": 900.0},
    "maml": {"outer_step_seconds": [0.198], "rise_mib": 10.0},
}


def board(folder: Path) -> pd.DataFrame:
    return bench.Results(folder).leaderboard.set_index("algorithm")


def shown(*arguments: str | Path, width: int = 80) -> str:
    env = {"COLUMNS": str(width), "TERM": "dumb"}
    found = CliRunner().invoke(app, ["leaderboard", *map(str, arguments)], env=env, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_algorithms_that_cannot_be_separated_share_a_rank(out: Path) -> None:
    table = board(write(out, FIVE))
    assert table["rank"].to_dict() == {"maml": 1, "fomaml": 1, "meta-sgd": 3, "reptile": 4, "finetune": 5}
    for name in ("maml", "fomaml"):
        assert (table.loc[name, "rank_low"], table.loc[name, "rank_high"]) == (1, 2)
    assert table["p_rank_1"].sum() == pytest.approx(1.0)
    assert table.loc["finetune", "p_rank_1"] == 0.0
    assert set(table["scope"]) == {"new training runs"}


def test_errors_rank_from_the_lowest(out: Path) -> None:
    table = board(write(out, {"maml": 2.0, "reptile": 1.0}, datasets=[SINUSOID]))
    assert table["rank"].to_dict() == {"reptile": 1, "maml": 2}
    assert "iqm" not in table


def test_bounds_have_no_rank_and_change_nobodys(out: Path, tmp_path: Path) -> None:
    alone = board(write(tmp_path / "alone", FIVE))
    table = board(write(out, {"scratch": 0.9, **FIVE}))
    assert list(table.index) == [*alone.index, "scratch"]  # apart, though its mean is the highest
    assert table.loc["scratch", "bound"] == "floor"
    assert set(table["bound"].drop("scratch")) == {""}
    ranks = ["rank", "rank_low", "rank_high", "p_rank_1"]
    assert table.loc["scratch", ranks].isna().all()
    assert table.loc["scratch", "iqm"] > 0
    pd.testing.assert_frame_equal(table.drop("scratch")[ranks], alone[ranks], check_dtype=False)
    text = shown(out, "--sort", "time")
    assert text.index("finetune") < text.index("floor")
    assert text.count("floor") == 3  # its row, how to read it, and who is below it
    assert "Below the floor on glyphs 3-way 1-shot: " + ", ".join(alone.index) in " ".join(text.split())


def test_a_ceiling_is_shown_as_one_and_is_not_the_best_of_the_summary(out: Path) -> None:
    write(out, {"oracle": 0.1, "maml": 2.0, "reptile": 1.0}, datasets=[SINUSOID])
    assert board(out)["rank"].to_dict() == pytest.approx({"reptile": 1, "maml": 2, "oracle": float("nan")}, nan_ok=True)
    experiments = gather([out])
    said = " ".join(summary(experiments))
    assert "not separable from the best: reptile on sinusoid" in said
    assert "oracle" not in said
    (section,) = experiments.sections()
    assert set(pair_rows(section)["a"]) == {"maml", "reptile"}
    (row,) = [line for line in markdown(experiments.rows, experiments.board).splitlines() if "oracle" in line]
    assert row.startswith("| oracle | ceiling |")


def test_bounds_alone_are_a_report_too(out: Path) -> None:
    write(out, {"oracle": 0.1, "scratch": 2.0}, datasets=[SINUSOID])
    assert board(out)["rank"].isna().all()
    assert summary(gather([out]))[1] == "All of these algorithms are bounds, which are not ranked."


def test_a_comparison_with_a_bound_says_so(out: Path) -> None:
    write(out, {"scratch": 0.5, **FIVE})
    (pair,) = bench.compare(out, "maml", "scratch").pairs
    assert "scratch is a floor, not a contender: it has no rank" in pair.notes


def test_interquartile_mean_is_above_chance(out: Path) -> None:
    table = board(write(out, {"maml": 0.8, "reptile": 1 / 3}))
    assert table.loc["maml", "iqm"] == pytest.approx((0.8 - 1 / 3) / (2 / 3), abs=0.03)
    assert table.loc["reptile", "iqm"] == pytest.approx(0.0, abs=0.03)


def test_one_seed_speaks_of_these_checkpoints(out: Path) -> None:
    assert set(board(write(out, FIVE, seeds=[0]))["scope"]) == {"these checkpoints"}


def test_failed_cells_are_left_out_and_counted_as_guessing_in_a_flagged_row(out: Path) -> None:
    write(out, FIVE, seeds=range(4), failed={("maml", 1): "nan", ("finetune", 2): "skipped"})
    table = board(out)
    mean = table.loc["maml", "accuracy_transductive"]
    assert mean == pytest.approx(0.8, abs=0.03)
    assert table.loc["maml", "accuracy_transductive_at_chance"] == pytest.approx((3 * mean + 1 / 3) / 4)
    assert np.isnan(table.loc["finetune", "accuracy_transductive_at_chance"])  # nothing was run: nothing failed
    text = shown(out)
    assert "3/4" in text
    assert "maml †" in text
    assert "finetune †" not in text


def test_an_algorithm_that_never_finished_stands_last_at_chance(out: Path) -> None:
    write(out, FIVE, failed={("maml", seed): "oom" for seed in range(3)})
    table = board(out)
    assert table.index[-1] == "maml"
    assert np.isnan(table.loc["maml", "rank"])
    assert np.isnan(table.loc["maml", "accuracy_transductive"])
    assert table.loc["maml", "accuracy_transductive_at_chance"] == pytest.approx(1 / 3)
    assert table["rank"].dropna().max() == 4


def test_nothing_finished_is_a_leaderboard_too(out: Path) -> None:
    write(out, {"maml": 0.5}, failed={("maml", seed): "error" for seed in range(3)})
    assert "maml" in shown(out)


@pytest.mark.parametrize("format_", ["table", "md", "tex"])
def test_ranks_are_intervals_and_the_best_are_bold(out: Path, format_: str) -> None:
    """No single number that a reader could take for the rank of an algorithm that may have several."""
    text = shown(write(out, FIVE), "--format", format_)
    lines = {line.strip("| ").split()[0]: line for line in text.splitlines() if line.strip("| ")}
    assert ("1--2" if format_ == "tex" else "1–2") in lines["fomaml"]
    if format_ != "table":  # which has no bold in a dumb terminal
        bold = r"\textbf{" if format_ == "tex" else "**"
        assert [name for name in FIVE if bold in lines[name]] == ["maml", "fomaml"]
    assert "rank is the 95% interval of the rank" in text.replace("\\%", "%")


def test_intervals_that_too_little_data_made_are_marked(out: Path) -> None:
    """Beyond 100% here, and fewer than twenty classes there; an interval within its range has no mark."""
    board = bench.Results(write(out, {"maml": 0.8, "reptile": 0.5})).leaderboard
    (plain,) = leaderboard_tables(board)
    wide = board["algorithm"] == "maml"
    (table,) = leaderboard_tables(board.assign(accuracy_transductive_high=np.where(wide, 1.1, 0.6)))
    column = table.heads.index("transductive %")
    assert [("*" in row.cells[column].text, row.name) for row in table.rows] == [(True, "maml"), (False, "reptile")]
    assert any("Too little data for this interval" in mark for mark in table.marks)
    assert not any("Too little data" in mark for mark in plain.marks)
    row = {"mse": 1.0, "mse_low": -0.1, "mse_high": 2.1}
    assert score_cell(row, "mse", 1.0, 1).text == "1.0 ±1.1*"
    few = {"a": 0.5, "a_low": 0.4, "a_high": 0.6, "a_new_low": 0.3, "a_new_high": 0.7, "classes": 6}
    assert score_cell(few, "a", 100.0, 0, 1.0).text == "50 ±10 (20*)"
    assert score_cell(few | {"classes": 20}, "a", 100.0, 0, 1.0).text == "50 ±10 (20)"


def test_modes_that_are_the_same_are_one_column(out: Path) -> None:
    board = bench.Results(write(out, FIVE)).leaderboard
    ends = ("", "_low", "_high", "_new_low", "_new_high")
    same = board.assign(**{f"accuracy_inductive{end}": board[f"accuracy_transductive{end}"] for end in ends})
    (two,), (one,) = leaderboard_tables(board), leaderboard_tables(same)
    assert {"transductive %", "inductive %"} < set(two.heads)
    assert "accuracy %" not in two.heads
    assert "accuracy %" in one.heads
    assert not {"transductive %", "inductive %"} & set(one.heads)
    before, after = (
        [row.cells[table.heads.index(head)] for row in table.rows]
        for table, head in ((two, "transductive %"), (one, "accuracy %"))
    )
    assert before == after


def test_tables_of_regression_speak_of_tasks(out: Path) -> None:
    (table,) = leaderboard_tables(bench.Results(write(out, FIVE, datasets=[SINUSOID])).leaderboard)
    words = " ".join(shared_notes([table]))
    assert "on these tasks" in words
    assert "classes" not in words


def test_six_episodes_and_three_seeds_have_a_leaderboard(out: Path) -> None:
    write(out, FIVE, episodes=6)
    write(out, FIVE, datasets=[SINUSOID], episodes=2)
    assert shown(out, width=84).count("maml") >= 4


def test_five_algorithms_fit_80_columns(out: Path) -> None:
    text = shown(write(out, FIVE, datasets=[GLYPHS, SINUSOID]))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for name in FIVE:
        assert sum(name in line.split() for line in text.splitlines()) == 2  # not folded


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [("accuracy", "maml", "finetune"), ("time", "finetune", "maml"), ("memory", "maml", "finetune")],
)
def test_sorts(out: Path, sort: str, first: str, last: str) -> None:
    write(out, FIVE, cost=COSTS, sd_seed=0.0)
    rows = json.loads(shown(out, "--sort", sort, "--format", "json"))
    found = [row["algorithm"] for row in rows]
    assert (found[0] in {first, "fomaml"}) if sort == "accuracy" else found[0] == first
    assert found[-1] == last


def test_without_a_measured_cost_there_is_nothing_to_sort_by_and_no_time_in_the_table(out: Path) -> None:
    write(out, FIVE, cost=None)
    with pytest.raises(UserError, match=rf"--sort: no time was measured in {out}; `python -m bench cost {out}`"):
        shown(out, "--sort", "time")
    text = shown(out, width=200)
    head = text[: text.index("maml")]
    assert "No times and no memory: their cost was not measured; `python -m bench cost DIR` measures it." in head
    assert "MiB" not in text
    assert "train_seconds" in shown(out, "--format", "csv")  # what the cells themselves took
    (out / "cost.json").write_text("{")
    assert "No times and no memory: cost.json is damaged: cost.json is not JSON;" in shown(out, width=200)
    write_cost(out)
    text = shown(out, width=200)
    assert "No times" not in text
    assert "5.5 ±0%" in text  # 500 outer steps of 11 ms
    assert text.count("(400 MiB resident)") == 1


def test_costs_that_a_busy_machine_or_a_failure_touched_say_so(out: Path) -> None:
    write(out, FIVE, cost={"maml": {"busy_elsewhere": 1.5}})
    store = Store(out)
    costs = read_costs(store)
    assert costs is not None
    (measurement,) = costs.measurements
    failed = {"failure": "timeout", "message": "over the limit", "rounds": []}
    rows = [row.model_copy(update=failed if row.algorithm == "reptile" else {}) for row in measurement.rows]
    write_costs(store, Costs(measurements=[measurement.model_copy(update={"rows": rows})]))
    lines = shown(out, width=200).splitlines()
    (busy,) = [line for line in lines if line.startswith("maml")]
    assert "5.5 ±0%‡" in busy
    assert sum("‡" in line for line in lines) == 2  # its row, and how to read the mark
    (without,) = [line for line in lines if line.startswith("reptile")]
    assert without.split()[-4:] == ["–", "–", "–", "3"]
    assert "No cost of reptile: timeout: over the limit." in lines


def test_only_one_dataset_and_csv(out: Path) -> None:
    write(out, FIVE, datasets=[GLYPHS, SINUSOID])
    lines = shown(out, "--dataset", "glyphs", "--format", "csv").splitlines()
    assert len(lines) == 6
    assert "rank,rank_low,rank_high,p_rank_1,iqm" in lines[0]
    with pytest.raises(UserError, match="has no dataset 'glyph', did you mean 'glyphs'"):
        shown(out, "--dataset", "glyph")
    with pytest.raises(UserError, match="--sort: got 'speed'"):
        shown(out, "--sort", "speed")


def test_the_order_in_which_cells_were_written_changes_nothing(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", FIVE), write(tmp_path / "b", dict(reversed(FIVE.items())))
    pd.testing.assert_frame_equal(board(first), board(second))


def test_the_report_writes_the_same(out: Path) -> None:
    write(out, FIVE, seeds=range(3), failed={("maml", 1): "nan"})
    text = (write_report(out).folder / "leaderboard.md").read_text(encoding="utf-8")
    assert "| algorithm | rank |" in text
    assert "maml † |" in text


def test_across_few_datasets_no_claim_is_made_and_who_was_left_out_is_said(out: Path) -> None:
    write(out, FIVE, datasets=[GLYPHS])
    assert across_datasets_words(bench.Results(out).leaderboard) == ""
    write(out, FIVE, datasets=[SINUSOID], failed={("maml", seed): "nan" for seed in range(3)})
    words = " ".join(shown(out).split())
    assert "2 datasets are too few for a claim across datasets: the smallest two-sided p-value" in words
    assert "Left out, without a result on some datasets: maml." in words


def test_across_enough_datasets_the_cliques_are_named() -> None:
    rng = np.random.default_rng(0)
    lines = [
        {
            "dataset": f"d{place}",
            "shape": shape,
            "algorithm": name,
            "seeds": 1,
            "accuracy_transductive": mean + noise * rng.random(),
        }
        for place in range(12)
        for shape in ("a", "b")
        for name, mean, noise in (("low", 0.1, 0.1), ("high", 0.8, 0.1), ("top", 0.8, 0.1))
    ]
    words = across_datasets_words(pd.DataFrame(lines))
    assert words.startswith("Mean ranks over datasets: ")
    assert "Not separable from each other (Wilcoxon, Holm): " in words
    assert "low 3.00" in words
    assert "Friedman" in words


def test_a_dataset_that_was_wholly_skipped_does_not_leave_everybody_out(out: Path) -> None:
    skipped = {(name, seed): "skipped" for name in FIVE for seed in range(3)}
    write(out, FIVE, datasets=[GLYPHS])
    write(out, FIVE, datasets=[{**SINUSOID, "shots": [10]}], failed=skipped)
    assert across_datasets_words(bench.Results(out).leaderboard) == ""
    write(out, FIVE, datasets=[SINUSOID])
    assert "Left out" not in across_datasets_words(bench.Results(out).leaderboard)


def test_a_notebook_shows_tables(out: Path) -> None:
    write(out, {"maml": 0.8, "reptile": 0.5}, failed={("reptile", 1): "nan"})
    shown = bench.Results(out)._repr_html_()
    assert shown.count("<table") == 2  # the second has the cell that failed
    assert re.search(r'<tr class="first"><th scope="row">maml</th>.*<b>[\d.]+ ±', shown)
    assert "made to fail" in shown
    assert "reptile" in bench.compare(out, "maml", "reptile")._repr_html_()
