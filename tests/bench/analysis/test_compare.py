"""``bench.compare`` and ``python -m bench compare``: what is compared, what is said, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bench
from bench.analysis.claims import claims
from bench.analysis.scores import comparable, read_scores
from bench.cli import app, main
from bench.stats import Needed, difference
from bench.store.store import Store
from datasets import UserError
from tests.bench.helpers import ROOT, Main
from tests.bench.stats.stores import GLYPHS, SINUSOID, write

CONTROL = ROOT / "results" / "reference" / "control"
TWO = {"maml": 0.8, "reptile": 0.6}


def said(*arguments: str | Path) -> str:
    """Return what the verb prints, on one line."""
    found = CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return " ".join(found.stdout.split())


def test_numbers_are_those_of_the_statistics_on_the_stored_episodes(out: Path) -> None:
    write(out, TWO)
    (one,) = bench.compare(out, "maml", "reptile").pairs
    (scores,) = read_scores(comparable(Store(out))[1])
    expected = difference(*(scores.values[name].to_numpy() for name in ("maml", "reptile")))
    assert one.effect == expected.interval()
    assert one.p == one.p_adjusted == expected.p_value()
    assert (one.seeds, one.n_episodes, one.n_classes) == ((0, 1, 2), 60, 20)
    assert one.mean_a - one.mean_b == pytest.approx(one.effect.mean)
    assert one.improvement.mean > 0.95
    assert one.improvement.high <= 1.0


def test_the_other_way_round_is_the_mirror_image(out: Path) -> None:
    write(out, TWO)
    (one,), (other,) = (bench.compare(out, *names).pairs for names in (("maml", "reptile"), ("reptile", "maml")))
    assert [other.effect.low, other.effect.high] == pytest.approx([-one.effect.high, -one.effect.low])
    assert other.improvement.mean == pytest.approx(1 - one.improvement.mean)
    assert "maml is better than reptile" in claims(one)[0]
    assert "maml is better than reptile" in claims(other)[0]


def test_the_lower_error_is_the_better_one(out: Path) -> None:
    write(out, {"maml": 2.0, "reptile": 1.0}, datasets=[SINUSOID])
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert "reptile is better than maml" in claims(one)[0]
    assert one.effect.mean == pytest.approx(1.0, abs=0.1)
    assert one.improvement.mean < 0.05
    assert one.region is None
    assert np.isnan(one.effect_new.low)


def test_the_same_results_give_the_same_numbers(out: Path) -> None:
    write(out, TWO | {"fomaml": 0.79}, datasets=[GLYPHS, SINUSOID], seeds=[0])
    first, second = (bench.compare(out, "maml", "fomaml").frame for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_p_values_are_adjusted_over_what_is_compared_together(out: Path) -> None:
    write(out, {"maml": 0.8, "reptile": 0.77}, datasets=[GLYPHS, SINUSOID | {"shots": [5, 10]}])
    frame = bench.compare(out, "maml", "reptile").frame
    assert len(frame) == 3
    assert (frame["p_adjusted"] >= frame["p"]).all()
    assert frame["p_adjusted"].min() == pytest.approx(3 * frame["p"].min())
    only = bench.compare(out, "maml", "reptile", datasets=["sinusoid"], shapes=["10-shot"]).frame
    assert list(only["shape"]) == ["10-shot"]
    assert only["p_adjusted"].tolist() == only["p"].tolist()


@pytest.mark.parametrize(
    ("seeds", "words"),
    [([0], "These checkpoints on these classes (one seed"), ([0, 1], "These checkpoints on these classes (two seeds")],
)
def test_one_or_two_seeds_claim_these_checkpoints_only(out: Path, seeds: list[int], words: str) -> None:
    write(out, TWO, seeds=seeds)
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert one.scope == "these checkpoints"
    assert one.p == one.p_sign_flip
    assert words in claims(one)[0]
    assert "needs three seeds or more" in claims(one)[0]


def test_three_seeds_claim_new_training_runs(out: Path) -> None:
    write(out, TWO)
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert claims(one)[0].startswith("New training runs on these classes (3 seeds): maml is better")
    assert "New classes of the same kind: maml is better there too" in claims(one)[1]


def test_not_separable_is_not_equal_and_says_what_it_would_take(out: Path) -> None:
    write(out, {"maml": 0.8, "fomaml": 0.79}, sd_seed=0.05)
    (one,) = bench.compare(out, "maml", "fomaml").pairs
    words = " ".join(claims(one))
    assert "cannot be separated" in words
    assert "This does not show that they are equal: the difference is within ±0.5 points" in words
    assert one.needed.seeds is None or one.needed.seeds > 0
    assert "more seeds" in words or "a thousand more seeds would not be enough" in words


def test_practically_equal_is_said_with_its_region(out: Path) -> None:
    write(out, {"maml": 0.8, "reptile": 0.8}, seeds=range(8), sd_seed=0.0, episodes=300)
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert one.equal > 0.95
    assert "practically equal: the difference is within ±0.5 points" in claims(one)[0]


def test_nll_and_inductive_are_other_columns(out: Path) -> None:
    write(out, TWO)
    (nll,) = bench.compare(out, "maml", "reptile", metric="nll").pairs
    (inductive,) = bench.compare(out, "maml", "reptile", mode="inductive").pairs
    assert (nll.metric, nll.higher_is_better) == ("nll_transductive", False)
    assert nll.effect.mean == pytest.approx(-0.2, abs=0.03)
    assert inductive.metric == "accuracy_inductive"
    assert inductive.mean_a == pytest.approx(bench.compare(out, "maml", "reptile").pairs[0].mean_a - 2 / 75, abs=0.01)


def test_missing_and_failed_cells_are_left_out_and_named(out: Path) -> None:
    write(out, TWO, seeds=range(5), failed={("maml", 1): "oom"}, absent=[("reptile", 3)])
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert one.seeds == (0, 2, 4)
    assert one.notes == ("maml has no result for seed 1 (oom)", "reptile has no result for seed 3 (never run)")
    assert "reptile has no result for seed 3" in said("maml", "reptile", "--results", out)


def test_a_dataset_on_which_one_never_finished_is_named_and_the_others_compared(out: Path) -> None:
    write(out / "a", TWO, datasets=[SINUSOID])
    write(out / "a", TWO, failed={("maml", seed): "nan" for seed in range(3)})
    found = bench.compare(out / "a", "maml", "reptile")
    assert [one.dataset for one in found.pairs] == ["sinusoid"]
    assert found.missing == ("glyphs 3-way 1-shot: maml has no result for seed 0 (nan), seed 1 (nan), seed 2 (nan)",)
    assert "not compared: glyphs 3-way 1-shot" in said("maml", "reptile", "--results", out / "a")


def test_a_kind_that_one_of_them_does_not_do_is_named_and_not_called_missing(out: Path) -> None:
    write(out, {"maml": 0.8, "protonet": 0.7}, datasets=[GLYPHS, SINUSOID])
    found = bench.compare(out, "maml", "protonet")
    assert [one.dataset for one in found.pairs] == ["glyphs"]
    assert found.missing == ("sinusoid 5-shot: protonet does not do regression",)
    with pytest.raises(UserError, match=r"share no result in .*: sinusoid 5-shot: protonet does not do regression$"):
        bench.compare(out, "maml", "protonet", datasets=["sinusoid"])


def test_nothing_in_common_is_a_mistake_that_says_why(out: Path) -> None:
    write(out, TWO, failed={("maml", seed): "timeout" for seed in range(3)})
    with pytest.raises(UserError, match=r"share no result .* maml has no result for seed 0 \(timeout\)"):
        bench.compare(out, "maml", "reptile")


def test_unequal_budgets_are_named(out: Path) -> None:
    write(out, TWO, measured={"maml": {"train_episodes": 4000}})
    (one,) = bench.compare(out, "maml", "reptile").pairs
    assert one.notes == ("unequal budgets: maml on 4,000 episodes, reptile on 2,000 episodes",)


def test_different_episodes_are_refused(out: Path) -> None:
    write(out, TWO, digests={"maml": "others"})
    with pytest.raises(UserError, match="tested on different episodes and cannot be compared: maml--"):
        bench.compare(out, "maml", "reptile")


def test_settings_of_one_algorithm_are_compared_by_their_names_and_never_pooled(out: Path) -> None:
    write(out, TWO)
    write(out, {"maml": 0.7}, datasets=[{**GLYPHS, "network": {"channels": 5}}], seeds=[1, 3])
    four, five = "maml (network.channels=4)", "maml (network.channels=5)"
    with pytest.raises(UserError, match=r"holds maml under several settings; name one of them: '.*=4\)' or '.*=5\)'"):
        bench.compare(out, "maml", "reptile")
    (one,) = bench.compare(out, four, "reptile").pairs
    assert one.seeds == (0, 1, 2)
    (one,) = bench.compare(out, four, five).pairs
    assert one.seeds == (1,)


def test_where_only_one_of_them_has_several_settings_the_rest_is_compared(out: Path) -> None:
    write(out, TWO, datasets=[GLYPHS, SINUSOID])
    write(out, {"maml": 0.7}, datasets=[{**GLYPHS, "network": {"channels": 5}}], seeds=[3])
    found = bench.compare(out, "maml", "reptile")
    assert [one.dataset for one in found.pairs] == ["sinusoid"]
    (missing,) = found.missing
    assert missing == (
        "glyphs 3-way 1-shot: maml has several settings there: maml (network.channels=4) and maml (network.channels=5)"
    )


def test_failures_of_other_settings_do_not_stand_in_the_way(out: Path) -> None:
    broken = [{**GLYPHS, "network": {"channels": 5}}]
    write(out, TWO, datasets=broken, failed={("maml", seed): "nan" for seed in range(3)}, absent=[("reptile", 0)])
    write(out, TWO, datasets=[GLYPHS], absent=[("reptile", 1), ("reptile", 2)])
    (one,) = bench.compare(out, "maml", "reptile (network.channels=5)").pairs
    assert (one.seeds, one.notes) == ((1, 2), ("reptile (network.channels=5) has no result for seed 0 (never run)",))


def test_two_failures_of_one_seed_are_named_once(out: Path) -> None:
    failed = {("maml", 0): "nan"}
    write(out, TWO, failed=failed)
    write(out, {"maml": 0.8}, datasets=[{**GLYPHS, "network": {"channels": 5}}], failed=failed, seeds=[0])
    (one,) = bench.compare(out, "maml (network.channels=4)", "reptile").pairs
    assert one.seeds == (1, 2)
    assert one.notes == ("maml (network.channels=4) has no result for seed 0 (nan)",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["maml", "reptil"], "has no algorithm 'reptil', did you mean 'reptile'? it has: maml, reptile"),
        (["maml", "maml"], "both algorithms are 'maml'"),
        (["maml", "reptile", "--dataset", "omniglot"], "has no dataset 'omniglot'"),
        (["maml", "reptile", "--shape", "5-way"], "has no shape '5-way'; it has: 3-way 1-shot"),
        (["maml", "reptile", "--mode", "both"], "--mode: got 'both'; use one of transductive, inductive"),
        (["maml", "reptile", "--metric", "mse"], "no dataset among them has the metric 'mse'"),
        (["maml", "reptile", "--format", "xml"], "--format: got 'xml'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(out: Path, arguments: list[str], words: str) -> None:
    write(out, TWO)
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, ["compare", *arguments, "--results", str(out)], catch_exceptions=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_ends_with_code_2_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "compare", "maml", "reptile"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: --results: there is no results/grid here; name the folder")


def test_text_csv_and_json(out: Path) -> None:
    write(out, TWO)
    text = said("maml", "reptile", "--results", out)
    for part in ("95%, these classes", "95%, new classes", "P(better on an episode)", "sign-flip", "3 seeds x 60"):
        assert part in text
    (row,) = json.loads(said("maml", "reptile", "--results", out, "--format", "json"))
    assert row["effect"] == pytest.approx(0.2, abs=0.05)
    assert row["effect_low"] < row["effect"] < row["effect_high"]
    assert said("maml", "reptile", "--results", out, "--format", "csv").startswith("dataset,shape,metric,a,b,")


def test_the_words_for_what_it_would_take_follow_the_seeds(out: Path) -> None:
    write(out, {"maml": 0.8, "fomaml": 0.79}, sd_seed=0.05)
    (one,) = bench.compare(out, "maml", "fomaml").pairs
    hopeless = replace(one, needed=Needed(None, None))
    assert "a thousand more seeds would not be enough" in " ".join(claims(hopeless))
    assert "cannot be estimated from fewer than three" in " ".join(claims(replace(hopeless, seeds=(0, 1))))


def test_bounds_of_a_probability_are_probabilities(out: Path) -> None:
    write(out, {"maml": 0.8, "fomaml": 0.79}, sd_seed=0.05)
    (one,) = bench.compare(out, "maml", "fomaml").pairs
    assert one.improvement.low >= 0.0
    assert one.improvement.high <= 1.0
    assert 0.0 in (one.improvement.low, 1.0 - one.improvement.high)  # three seeds: it had to be cut


def test_results_after_fewer_inner_steps_are_compared() -> None:
    """On returns after one step at test; the oracle's policy takes none, and counts as it is."""
    where = {"datasets": ["navigation"]}
    episodes = Store(CONTROL).episodes().query("dataset == 'navigation'")
    (one,) = bench.compare(CONTROL, "maml-trpo", "oracle-policy", steps=1, **where).pairs
    returns = episodes[episodes["seed"].isin(one.seeds)].groupby(["algorithm", "step"])["return"].mean()
    assert (one.mean_a, one.mean_b) == pytest.approx((returns["maml-trpo", 1], returns["oracle-policy", 0]))
    assert returns["maml-trpo", 1] < returns["maml-trpo", 3]
    text = said("maml-trpo", "pretrained", "--results", CONTROL, "--datasets", "navigation", "--steps", "1")
    (both,) = bench.compare(CONTROL, "maml-trpo", "pretrained", steps=1, **where).pairs
    assert f"maml-trpo {both.mean_a:.3g} " in text
    assert (
        "Note: these are the results after 1 inner step at test, or fewer; the checkpoints were selected by those "
        "after the last step." in text
    )
    last, three = (bench.compare(CONTROL, "maml-trpo", "pretrained", steps=steps).frame for steps in (None, 3))
    pd.testing.assert_frame_equal(last.drop(columns="notes"), three.drop(columns="notes"))


def test_more_inner_steps_than_there_are_cannot_be_compared(main: Main) -> None:
    code, _, err = main("compare", "maml-trpo", "pretrained", "--results", str(CONTROL), "--steps", "4")
    assert code == 2
    assert err.strip() == "error: --steps: got 4, but no cell took more than 3 inner steps at test; give 3 or less"
