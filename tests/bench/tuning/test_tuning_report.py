"""Tables and figures of a search, from trials put into a storage by hand."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from algorithms.core.hyperparameters import Range
from bench.report.figures.style import look_of
from bench.spec.grid import load_grid
from bench.stats import expected_best
from bench.tuning.report import figures
from bench.tuning.report.figures import front
from bench.tuning.report.search_tables import SearchTables
from bench.tuning.report.shown import result_tables, summary
from bench.tuning.report.tables import importances, searches, studies, trials
from bench.tuning.report.write import write_tuning_report
from bench.tuning.spec import Budget
from bench.tuning.study import Opened, open_study
from tests.bench.helpers import GLYPHS, tiny
from tests.bench.tuning.helpers import QUICK, plan_of, sqlite

VALUES = [0.5, 0.8, None, 0.6, 0.9, 0.7]


def trial(value: float | None, number: int, state: TrialState, **system: Any) -> optuna.trial.FrozenTrial:
    kinds = {TrialState.COMPLETE: "ok", TrialState.PRUNED: "pruned", TrialState.FAIL: "error"}
    attrs: dict[str, Any] = {"status": kinds[state], "episodes": 10, "seconds": 2.0, "train_seconds": 1.0}
    attrs |= {"adapt_ms": 1.0 + number, "peak_mib": 100.0}
    if value is not None:
        attrs["validation"] = value
    return optuna.create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"inner_lr": 0.01 * (number + 1), "train_steps": 1 + number % 3},
        distributions={"inner_lr": FloatDistribution(0.001, 2.0, log=True), "train_steps": IntDistribution(1, 5)},
        user_attrs=attrs,
        system_attrs=system,
    )


@pytest.fixture
def filled(out: Path) -> Iterator[Opened]:
    """Six slots: four complete trials, one pruned, one failed; the failed one was repeated once."""
    with open_study(plan_of(QUICK, datasets=[dict(GLYPHS)]), sqlite(out)) as opened:
        study = opened.study()
        for number, value in enumerate(VALUES):
            state = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.add_trial(trial(value, number, TrialState.PRUNED if number == 3 else state))
        study.add_trial(trial(None, 2, TrialState.FAIL, failed_trial=2, retry_history=[2]))
        yield opened


def test_a_failed_trial_counts_as_the_worst_and_a_repeated_one_once(filled: Opened) -> None:
    table = searches([filled])
    values = [0.5, 0.8, 0.5, 0.6, 0.9, 0.7]
    assert table["trials"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["best"].tolist() == [0.5, 0.8, 0.8, 0.8, 0.9, 0.9]
    np.testing.assert_allclose(table["expected_best"], expected_best(np.array(values)))
    assert table["value"].isna().tolist() == [False, False, True, False, False, False]


def test_every_attempt_is_paid_for(filled: Opened) -> None:
    (row,) = studies([filled]).to_dict("records")
    counts = {name: row[name] for name in ("trials", "complete", "pruned", "failed", "repeated")}
    assert counts == {"trials": 6, "complete": 4, "pruned": 1, "failed": 1, "repeated": 1}
    assert (row["episodes"], row["seconds"]) == (70, 14.0)
    assert (row["selected_trial"], row["validation"]) == (4, 0.9)
    assert trials([filled])["status"].tolist() == ["ok", "ok", "repeated", "pruned", "ok", "ok", "error"]


def test_importances_are_shares_and_the_same_again(filled: Opened) -> None:
    table = importances([filled])
    assert set(table["hyper-parameter"]) == {"inner_lr", "train_steps"}
    assert table["importance"].sum() == pytest.approx(1.0)
    pd.testing.assert_frame_equal(table, importances([filled]))


def test_the_report_gives_the_same_bytes_again(filled: Opened, tmp_path: Path) -> None:
    pages = [report_of(filled, tmp_path / name) for name in ("one", "two")]
    first, second = ({path.name: path.read_bytes() for path in page.parent.iterdir()} for page in pages)
    assert first == second
    shown = {"index.html", "tuning.md", "values.csv", "expected_best.svg", "importance.png"}
    assert shown | {"slices--maml--glyphs-3-way-1-shot.pdf"} <= set(first)
    page = first["tuning.md"].decode()
    assert "| maml | – | 90.0 | – | 6 | 14 |" in page  # none of these trials has the default's values
    default, low_high = filled.plan.cell.hparams["inner_lr"], "0.001 to 2, log scale"
    assert f"| maml | glyphs 3-way 1-shot | inner\\_lr | {low_high} | {default} | 0.05 |" in page
    assert "| maml | glyphs 3-way 1-shot | 6 | 4 | 1 | 1 | 1 | 14 | 70 | 2.0 | 7.0 |" in page
    assert "not yet reported on others" in page


def report_of(opened: Opened, out: Path, name: str = "tiny") -> Path:
    """Return the page of the report of a study."""
    grid = tiny(datasets=[dict(GLYPHS)]).model_copy(update={"name": name})
    return write_tuning_report([opened], out, grid, Budget(6)).page


def test_the_page_shows_tables_figures_and_the_command(filled: Opened, tmp_path: Path) -> None:
    text = report_of(filled, tmp_path, "<b>mine").read_text()
    assert "<b>mine" not in text
    assert "<h1>&lt;b&gt;mine</h1>" in text
    for words in (
        "Transductive accuracy in percent, higher is better: validation episodes, the search&#39;s own seed.",
        "Selected on seed 2; not yet reported on others.",
        "python -m bench tune &lt;b&gt;mine.yaml --trials 6 --sampler random --pruner none --seed 2",
        "The search selected by these values",
    ):
        assert words in text
    for title in ("History", "Expected best of n trials", "Importance", "Cost", "Trials of maml"):
        assert f"<h3>{title}</h3>" in text
    assert text.count("<svg ") == 5
    assert "Tuned minus default on fresh seeds" not in text
    assert not re.search(r"""(src|href)=["'](?!#)""", text)  # it loads nothing


def test_a_figure_that_fails_is_a_note_on_the_page(
    filled: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no <i>history")

    monkeypatch.setattr(figures, "history", fail)
    page = report_of(filled, tmp_path)
    assert "Not drawn: ValueError: no &lt;i&gt;history" in page.read_text()
    assert "Not drawn: the figure 'history': ValueError" in (page.parent / "tuning.md").read_text()


def test_axes_have_the_scale_of_the_search_and_whole_numbers(filled: Opened) -> None:
    axes = {axis.get_xlabel(): axis for axis in figures.slices(filled).axes}
    for name, axis in axes.items():
        allowed = filled.plan.space[name]
        assert isinstance(allowed, Range)
        assert axis.get_xscale() == ("log" if allowed.log else "linear")
        low, high = axis.get_xlim()
        assert low <= allowed.low < allowed.high <= high
    assert {axis.get_xscale() for axis in axes.values()} == {"log", "linear"}
    (steps,) = (axis for name, axis in axes.items() if name == "train_steps")
    assert len(steps.get_xticks()) >= 2
    (few,) = figures.history(searches([filled]).head(2), {"glyphs": "accuracy_transductive"}).axes
    for axis in (steps, few):
        assert all(float(tick).is_integer() for tick in axis.get_xticks())
    plt.close("all")


def test_methods_of_a_page_do_not_look_alike() -> None:
    looks = [look_of(name) for name in load_grid("tuning").algorithms]
    for one, other in itertools.combinations(looks, 2):
        assert one.marker != other.marker
        apart = np.linalg.norm(np.subtract(to_rgb(one.colour), to_rgb(other.colour)))
        assert one.dash != other.dash or apart > 0.6


def study(algorithm: str, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"dataset": "sinusoid", "shape": "5-shot", "metric": "mse", "trials": 8, "seconds": 12.3}
    usual |= {"default_validation": 2.0, "validation": 1.5, "default_won": False}
    return {"algorithm": algorithm} | usual | changes


def shown_of(studies: list[dict[str, Any]], compared: list[dict[str, Any]], *others: list[dict[str, Any]]) -> Any:
    nothing = pd.DataFrame()
    frames = map(pd.DataFrame, (compared, *others))
    tables = SearchTables(nothing, pd.DataFrame(studies), nothing, nothing, nothing, *frames)
    (table,) = result_tables(tables)
    return table, summary(tables)


def test_results_on_fresh_seeds_say_what_is_known() -> None:
    place = {"dataset": "sinusoid", "shape": "5-shot", "metric": "mse", "seeds": "10 11"}
    pair = {"default": 2.0, "tuned": 1.0, "difference": -1.0, "low": -1.5, "high": -0.5, "p_adjusted": 0.01}
    worse = {"default": 1.0, "tuned": 2.0, "difference": 1.0, "low": math.nan, "high": math.nan, "p_adjusted": 0.02}
    table, sentences = shown_of(
        [study("maml"), study("anil"), study("reptile", default_won=True), study("finetune")],
        [place | pair | {"algorithm": "maml"}, place | worse | {"algorithm": "anil"}],
        [place | {"algorithm": "reptile", "default": 0.5}],
    )
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["maml", "2", "1", "-1", "-1.5 to -0.5", "0.01", "1.5", "8", "12"],
        ["anil", "1", "2", "+1", "–", "0.02", "1.5", "8", "12"],
        ["reptile", "0.5", "as default", "–", "–", "–", "1.5", "8", "12"],
        ["finetune", "–", "–", "–", "–", "–", "1.5", "8", "12"],
    ]
    assert [[cell.text for cell in row.cells if cell.strong] for row in table.rows[:2]] == [["1"], ["1"]]
    assert table.subtitle == "Mean squared error, lower is better: test episodes, fresh training seeds 10, 11."
    marks = " ".join(table.marks)
    assert "reptile on sinusoid 5-shot: no trial was better than the default on the validation episodes." in marks
    assert "Not yet tested on fresh seeds, on sinusoid 5-shot: finetune." in marks
    assert "With fewer than three shared seeds, intervals and p are about these checkpoints" in marks
    alone = "Of these checkpoints alone (fewer than three shared seeds), the tuned values are"
    assert list(sentences) == [
        f"{alone} better than the default (adjusted p below 0.05): maml on sinusoid 5-shot.",
        f"{alone} worse than the default (adjusted p below 0.05): anil on sinusoid 5-shot.",
    ]


def test_a_seed_without_a_result_is_named_with_how_it_ended() -> None:
    place = {"dataset": "sinusoid", "shape": "5-shot", "metric": "mse", "low": 0.5, "high": 1.5, "p_adjusted": 0.01}
    pair = place | {"default": 1.0, "tuned": 2.0, "difference": 1.0}
    failed = {"dataset": "sinusoid", "shape": "5-shot"}
    table, sentences = shown_of(
        [study("maml"), study("meta-sgd"), study("anil"), study("reptile", default_won=True)],
        [pair | {"algorithm": "maml", "seeds": "5 7 10"}, pair | {"algorithm": "meta-sgd", "seeds": "5 10"}],
        [place | {"algorithm": "reptile", "default": 0.5, "seeds": "5 7"}],
        [
            failed | {"algorithm": "meta-sgd", "values": "default", "seed": 6, "status": "timeout"},
            failed | {"algorithm": "meta-sgd", "values": "tuned", "seed": 6, "status": "nan"},
            failed | {"algorithm": "meta-sgd", "values": "tuned", "seed": 7, "status": "nan"},
            *(failed | {"algorithm": "anil", "values": "tuned", "seed": s, "status": "oom"} for s in (5, 6)),
            failed | {"algorithm": "reptile", "values": "default", "seed": 10, "status": "error"},
        ],
    )
    assert table.subtitle.endswith("fresh training seeds 5, 6, 7, 10.")
    assert "default and tuned are means over the seeds for which both have a result." in table.notes
    notes = [
        "meta-sgd on sinusoid 5-shot: default has no result for seed 6 (timeout); tuned has no result for seed 6 "
        "(nan), seed 7 (nan); its row is of seeds 5 and 10.",
        "anil on sinusoid 5-shot: tuned has no result for seed 5 (oom), seed 6 (oom); its row is empty.",
        "reptile on sinusoid 5-shot: default has no result for seed 10 (error); its row is of seeds 5 and 7.",
    ]
    few = "With fewer than three shared seeds, interval and p of meta-sgd are about these checkpoints, not new training"
    assert list(table.marks[1:]) == [*notes, f"{few} runs."]  # anil is not one of those "not yet tested"
    assert list(sentences) == [
        "The tuned values are worse than the default (adjusted p below 0.05): maml on sinusoid 5-shot.",
        "Of these checkpoints alone (fewer than three shared seeds), the tuned values are worse than the default "
        "(adjusted p below 0.05): meta-sgd on sinusoid 5-shot.",
        *notes,
    ]


def test_results_without_fresh_seeds_have_no_interval() -> None:
    table, sentences = shown_of([study("maml"), study("anil", default_validation=math.nan)], [], [])
    assert table.heads == ["algorithm", "default", "tuned", "difference", "trials", "search s"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["maml", "2", "1.5", "-0.5", "8", "12"],
        ["anil", "–", "1.5", "–", "8", "12"],
    ]
    assert not sentences


@pytest.mark.parametrize("higher", [True, False])
def test_the_front_is_what_no_other_trial_beats(higher: bool) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"validation": rng.integers(0, 12, 40) / 10, "adapt_ms": rng.integers(1, 12, 40) * 1.0})
    sign = 1 if higher else -1
    points = {(row.adapt_ms, row.validation) for row in rows.itertuples()}
    brute = {
        (cost, value)
        for cost, value in points
        if not any(c <= cost and sign * v >= sign * value and (c, v) != (cost, value) for c, v in points)
    }
    found = front(rows, "adapt_ms", higher)
    assert set(zip(found["adapt_ms"], found["validation"], strict=True)) == brute
    assert found["adapt_ms"].is_monotonic_increasing


@pytest.mark.parametrize("seconds", [3.0, 900.0])
def test_ticks_of_costs_are_plain_numbers_that_do_not_overlap(seconds: float) -> None:
    rows = {"dataset": "sinusoid", "shape": "5-shot", "algorithm": ["maml", "reptile"]}
    figure = figures.cost(pd.DataFrame({**rows, "seconds": [seconds, 0.9 * seconds], "selected_seconds": [0.5, 0.6]}))
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    labels = [label for label in axis.get_ticklabels(which="both") if label.get_text()]
    assert all(re.fullmatch(r"[\d.]+", label.get_text()) for label in labels)
    low, high = axis.get_view_interval()
    shown = [label.get_window_extent() for label in labels if low <= label.get_position()[0] <= high]
    assert len(shown) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(shown))
    plt.close(figure)
