"""Predictions of another framework: exported episodes, scores, and their row among those of other cells."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench.cost.measure import settings_of
from bench.execution.queue import plan
from bench.external.episode_list import read_list
from bench.protocol.cell_run import run_cell
from bench.report.write import write_report
from bench.share.archive import write_archive
from bench.share.contents import validate
from bench.share.merge import merge, unpack
from bench.spec.grid import Grid
from bench.store.store import Store
from datasets import DATASETS, UserError
from datasets.core.episodes import Shape
from tests.bench.helpers import GLYPHS, SINUSOID, Main, tiny, write_grid

SINUSOIDS = tiny(algorithms=["maml", "anil"], seeds=[0, 1, 2])
IMAGES = tiny(algorithms=["protonet"], datasets=[GLYPHS])
JAX_MAML = Path(__file__).parent / "jax_maml.py"
NAMES: dict[str, Any] = {"name": "numpy-fit", "source": "NumPy", "train_episodes": 10}


def run_here(grid: Grid, folder: Path) -> Path:
    """Run the cells of a grid in this process."""
    store = Store(folder)
    store.create()
    for cell in grid.cells():
        store.write_result(cell, run_cell(cell, cell.entry.load(folder)), {"summary": {}, "environment": {}})
    return folder


@pytest.fixture(scope="module")
def sinusoids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two algorithms on sinusoids under three seeds."""
    return run_here(SINUSOIDS, tmp_path_factory.mktemp("external") / "sinusoids")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of one algorithm on glyphs."""
    return run_here(IMAGES, tmp_path_factory.mktemp("external") / "images")


@pytest.fixture
def copied(sinusoids: Path, tmp_path: Path) -> Path:
    """The first experiment, to write to."""
    return Path(shutil.copytree(sinusoids, tmp_path / "results"))


def exported(results: Path, out: Path, **options: Any) -> tuple[Path, dict[str, np.ndarray]]:
    """The test episodes of an experiment's only dataset and shape, as a file and as arrays."""
    row = bench.load(results).iloc[0]
    bench.export_episodes(row["dataset"], row["shape"], out / "episodes.npz", results=results, **options)
    with np.load(out / "episodes.npz", allow_pickle=False) as arrays:
        return out / "episodes.npz", dict(arrays)


def table(values: np.ndarray, names: tuple[str, ...] = ("prediction",)) -> pd.DataFrame:
    """Predictions [E, Q] or [E, Q, n] as rows, in an order of their own."""
    episode, query = (place.ravel() for place in np.indices(values.shape[:2]))
    columns = dict(zip(names, values.reshape(len(episode), -1).T, strict=True))
    return pd.DataFrame({"episode": episode, "query": query, **columns}).sample(frac=1.0, random_state=0)


def sines(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Least squares on sin and cos of the support: the task itself, where the noise of float32 lets it."""
    predictions = []
    for x, y, query in zip(arrays["support_x"], arrays["support_y"], arrays["query_x"], strict=True):
        weights = np.linalg.lstsq(np.concatenate([np.sin(x), np.cos(x)], axis=1), y, rcond=None)[0]
        predictions.append(np.concatenate([np.sin(query), np.cos(query)], axis=1) @ weights)
    return np.stack(predictions)[..., 0]


def test_a_row_beside_the_others(main: Main, copied: Path, tmp_path: Path) -> None:
    """Through the command line: the same digest, its score, its rank, and a paired comparison."""
    episodes = tmp_path / "episodes.npz"
    code, printed, _ = main("episodes", "sinusoid", "5-shot", "--results", copied, "--out", episodes)
    assert code == 0, printed
    digest = read_list(episodes).digest
    assert digest[:12] in printed
    assert set(bench.load(copied)["digest.test"]) == {digest}
    with np.load(episodes) as arrays:
        fitted = sines(dict(arrays))
    table(fitted).to_csv(tmp_path / "predictions.csv", index=False)
    wanted = ["score", tmp_path / "predictions.csv", "--episodes", episodes, "--out", copied, "--name", "numpy-fit"]
    told = ["--source", "NumPy", "--train-episodes", "10", "--train-seconds", "12.5", "--memory-mib", "64"]
    for seed in range(3):
        code, printed, errors = main(*wanted, *told, "--seed", str(seed))
        assert code == 0, errors
        assert re.search(r": mean squared error \d\S*; `python -m bench report ", printed)
    assert set(bench.load(copied)["digest.test"]) == {digest}
    board = bench.Results(copied).leaderboard
    row = board.set_index("algorithm").loc["numpy-fit"]
    assert row["mse"] < 1e-9  # the model is the data's own
    assert list(row[["rank", "seeds", "external", "told_train_seconds"]]) == [1.0, 3, "NumPy", 12.5]
    assert list(board.loc[board["algorithm"] != "numpy-fit", "external"]) == ["", ""]
    (pair,) = bench.compare(copied, "numpy-fit", "maml").pairs
    assert (pair.seeds, pair.n_episodes, pair.scope) == ((0, 1, 2), 4, "new training runs")
    assert pair.effect.mean == pytest.approx(row["mse"] - board.set_index("algorithm").loc["maml", "mse"])
    code, printed, _ = main("leaderboard", copied)
    assert "numpy-fit §" in printed
    assert "12.5§" in printed
    assert "numpy-fit is external (NumPy)" in " ".join(printed.split())
    alone = tmp_path / "alone"
    code, _, errors = main(*(alone if value == copied else value for value in wanted), *told)
    assert code == 0, errors
    assert "their cost was not measured" in printed
    assert "their cost was not measured" not in main("leaderboard", alone)[1]  # all costs are told


def test_the_score_is_that_of_the_queries(copied: Path, tmp_path: Path) -> None:
    """Predictions of zero have the mean square of the targets, which another way of reading the episodes gives."""
    episodes, arrays = exported(copied, tmp_path)
    assert "query_y" not in arrays
    table(np.zeros(arrays["query_x"].shape[:2])).to_parquet(tmp_path / "zeros.parquet")
    scored = bench.score(tmp_path / "zeros.parquet", episodes, copied, **NAMES)
    stream = DATASETS["sinusoid"].load(tmp_path).stream("test", Shape(1, 5, 2), 0)
    targets = stream.batch(range(4)).query_y.numpy()
    assert scored.summary["test_mse"] == pytest.approx(float((targets.astype(float) ** 2).mean()))
    order = np.argsort(arrays["query_x"][..., 0], axis=1)
    assert (
        np.take_along_axis(arrays["query_x"][..., 0], order, axis=1)
        == np.sort(stream.batch(range(4)).query_x.numpy()[..., 0], axis=1)
    ).all()


def centroids(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[E, Q, n_way] probabilities by the distance to the nearest class mean of pixels."""
    support, query = (arrays[name].reshape(*arrays[name].shape[:2], -1) for name in ("support_x", "query_x"))
    means = np.stack(
        [[x[y == label].mean(0) for label in range(3)] for x, y in zip(support, arrays["support_y"], strict=True)]
    )
    distances = ((query[:, :, None] - means[:, None]) ** 2).sum(-1)
    weights = np.exp(-(distances - distances.min(-1, keepdims=True)) / 50)
    return np.asarray(weights / weights.sum(-1, keepdims=True))


@pytest.mark.parametrize("mode", ["transductive", "inductive", "both"])
def test_classification_in_each_mode(images: Path, tmp_path: Path, mode: Any) -> None:
    results = Path(shutil.copytree(images, tmp_path / "results"))
    episodes, arrays = exported(results, tmp_path, arrays=True)
    probabilities = centroids(arrays)
    truth = (arrays["query_ids"][..., :1] == arrays["class_ids"][:, None]).argmax(-1)
    assert not (truth == np.repeat(np.arange(3), 2)).all()  # the order of the queries says nothing of their labels
    table(probabilities, ("p0", "p1", "p2")).to_csv(tmp_path / "p.csv", index=False)
    bench.score(tmp_path / "p.csv", episodes, results, mode=mode, **NAMES)
    row = bench.Results(results).leaderboard.set_index("algorithm").loc["numpy-fit"]
    expected = float((probabilities.argmax(-1) == truth).mean())
    for name in ("transductive", "inductive"):
        assert (row[f"accuracy_{name}"] == pytest.approx(expected)) == (mode in (name, "both"))
    assert np.isnan(row["rank"]) == (mode == "inductive")
    mine = Store(results).episodes().query("algorithm == 'numpy-fit'")
    nll = -np.log(np.take_along_axis(probabilities, truth[..., None], axis=-1)).mean(axis=(1, 2))
    assert mine[f"nll_{'inductive' if mode == 'inductive' else 'transductive'}"].to_numpy() == pytest.approx(nll)
    if mode == "inductive":  # which has none of the columns that most figures draw
        written = write_report(results)
        assert not written.failed
        assert "numpy-fit §" in written.files[0].read_text()


def test_ids_alone_and_labels_alone(images: Path, tmp_path: Path) -> None:
    results = Path(shutil.copytree(images, tmp_path / "results"))
    episodes, arrays = exported(results, tmp_path)
    assert "query_x" not in arrays
    assert len(arrays["class_names"]) > arrays["class_ids"].max()
    truth = (arrays["query_ids"][..., :1] == arrays["class_ids"][:, None]).argmax(-1)
    assert (arrays["support_ids"][..., 0] == np.take_along_axis(arrays["class_ids"], arrays["support_y"], axis=1)).all()
    table(truth).to_csv(tmp_path / "labels.csv", index=False)
    assert bench.score(tmp_path / "labels.csv", episodes, results, mode="both", **NAMES).summary == {
        "test_accuracy_transductive": 1.0,
        "test_accuracy_inductive": 1.0,
    }
    with pytest.raises(UserError, match="share no result"):
        bench.compare(results, "numpy-fit", "protonet", metric="nll")


def test_others_leave_it_alone(main: Main, copied: Path, tmp_path: Path) -> None:
    """Archives hold it; it is neither repeated, measured nor loaded as a learner; the other rows stay as they are."""
    before = bench.Results(copied).leaderboard.drop(columns=["rank", "rank_low", "rank_high", "p_rank_1"])
    episodes, arrays = exported(copied, tmp_path)
    table(sines(arrays)).to_csv(tmp_path / "p.csv", index=False)
    cell = bench.score(tmp_path / "p.csv", episodes, copied, **NAMES).cell
    after = bench.Results(copied).leaderboard
    pd.testing.assert_frame_equal(
        after[after["external"] == ""].reset_index(drop=True)[list(before)], before, check_dtype=False
    )
    write_archive(copied, tmp_path / "cells.zip")
    assert not validate(tmp_path / "cells.zip").problems
    unpack(tmp_path / "cells.zip", tmp_path / "there")
    assert merge(tmp_path / "there", copied).added == ()
    assert bench.load(tmp_path / "there").equals(bench.load(copied))
    (repeated,) = bench.repro(copied, cells=["numpy-fit*"], jobs=1).cells
    assert (repeated.cell, repeated.verdict) == (cell, "not repeated")
    code, printed, _ = main("repro", copied, "--cells", "numpy-fit*")
    assert (code, printed.splitlines()[0]) == (1, "nothing to run")
    assert printed.splitlines()[1] == f"not repeated  {cell}"
    assert "external (NumPy)" in repeated.differences[0]
    assert {setting.cell.algorithm for setting in settings_of(Store(copied))} == {"maml", "anil"}
    with pytest.raises(UserError, match=r"numpy-fit is external \(NumPy\)"):
        bench.load_learner(copied, algorithm="numpy-fit")
    assert plan(SINUSOIDS.cells(), Store(copied), "none").finished == tuple(SINUSOIDS.cells())


Change = Callable[[pd.DataFrame], pd.DataFrame]
MISTAKES: dict[str, tuple[Change, dict[str, Any], str]] = {
    "a row is missing": (lambda t: t.query("episode != 1 or query != 0"), {}, "no row for episode 1, query 0"),
    "a row stands twice": (lambda t: pd.concat([t, t[:1]]), {}, "2 rows for episode"),
    "an episode too many": (lambda t: t.assign(episode=t["episode"] + 1), {}, "'episode' has 4; .* from 0 to 3"),
    "a half query": (lambda t: t.assign(query=0.5), {}, "'query' has 0.5"),
    "another column": (lambda t: t.rename(columns={"prediction": "y"}), {}, "has the columns episode, query, y;"),
    "no number": (lambda t: t.assign(prediction="high"), {}, "'high' in row 1, which is no number"),
    "infinity": (lambda t: t.assign(prediction=np.inf), {}, "'prediction' has gaps or numbers that are not finite"),
    "a gap": (lambda t: t.assign(prediction=np.nan), {}, "'prediction' has gaps or numbers that are not finite"),
    "a registered name": (lambda t: t, {"name": "maml"}, "name: maml is an algorithm of this benchmark"),
    "a name that is a path": (lambda t: t, {"name": "../x"}, "name: got"),
    "a mode": (lambda t: t, {"mode": "both"}, "mode: regression has no such modes"),
    "no source": (lambda t: t, {"source": " "}, "source: name the framework"),
    "negative seconds": (lambda t: t, {"train_seconds": -1.0}, "train_seconds: got -1"),
}


@pytest.mark.parametrize(("change", "options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(
    sinusoids: Path, tmp_path: Path, change: Change, options: dict[str, Any], message: str
) -> None:
    episodes, arrays = exported(sinusoids, tmp_path)
    change(table(np.zeros(arrays["query_x"].shape[:2]))).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(UserError, match=message) as raised:
        bench.score(tmp_path / "p.csv", episodes, tmp_path / "new", **(NAMES | options))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "new" / "cells").exists()


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("p.csv", "episode;query;prediction\n0;0;1\n", "separated by semicolons, and must be by commas: write it anew"),
        (
            "p.csv",
            "episode;query;prediction\n0;0;1,5\n",
            "separated by semicolons, and must be by commas: write it anew",
        ),
        ("p.csv", "episode\tquery\tprediction\n0\t0\t1\n", "by tabs, and must be by commas: .*; or name the file .tsv"),
        ("p.tsv", "episode,query,prediction\n0,0,1\n", "separated by commas, and must be by tabs: write it anew"),
    ],
)
def test_a_separator_that_is_another_is_named(sinusoids: Path, tmp_path: Path, name: str, text: str, hint: str) -> None:
    episodes, _ = exported(sinusoids, tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=hint):
        bench.score(tmp_path / name, episodes, tmp_path / "new", **NAMES)


def test_probabilities_must_be_some(images: Path, tmp_path: Path) -> None:
    episodes, arrays = exported(images, tmp_path)
    truth = (arrays["query_ids"][..., :1] == arrays["class_ids"][:, None]).argmax(-1)
    never = np.eye(3)[(truth + 1) % 3]
    for values, message in (
        (never * 2, "must sum to 1"),
        (never, "true class has probability 0 in episode 0, query 0"),
    ):
        table(values, ("p0", "p1", "p2")).to_csv(tmp_path / "p.csv", index=False)
        with pytest.raises(UserError, match=message):
            bench.score(tmp_path / "p.csv", episodes, tmp_path / "new", mode="both", **NAMES)
    table(truth + 1).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(UserError, match="'prediction' has 3; labels are whole numbers from 0 to 2"):
        bench.score(tmp_path / "p.csv", episodes, tmp_path / "new", mode="both", **NAMES)
    with pytest.raises(UserError, match="mode: give one of them"):
        bench.score(tmp_path / "p.csv", episodes, tmp_path / "new", **NAMES)


def test_other_episodes_and_other_predictions_are_refused(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    grid = write_grid(tmp_path / "other.yaml", evaluation={"val_episodes": 3, "test_episodes": 5, "n_query": 2})
    bench.export_episodes("sinusoid", "5-shot", other, grid=grid)
    table(np.zeros((5, 2))).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(UserError, match="tested on different episodes"):
        bench.score(tmp_path / "p.csv", other, copied, **NAMES)
    episodes, _ = exported(copied, tmp_path)
    table(np.zeros((4, 2))).to_csv(tmp_path / "p.csv", index=False)
    cell = bench.score(tmp_path / "p.csv", episodes, copied, **NAMES).cell
    assert bench.score(tmp_path / "p.csv", episodes, copied, **NAMES).cell == cell  # the same again
    table(np.ones((4, 2))).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(UserError, match="holds other predictions of numpy-fit under seed 0"):
        bench.score(tmp_path / "p.csv", episodes, copied, **NAMES)
    with pytest.raises(UserError, match="with other settings"):
        bench.score(tmp_path / "p.csv", episodes, copied, **(NAMES | {"train_episodes": 99, "seed": 1}))


def test_files_that_are_none(sinusoids: Path, tmp_path: Path) -> None:
    episodes, arrays = exported(sinusoids, tmp_path)
    (tmp_path / "text.npz").write_text("no archive")
    forged = arrays | {"meta": np.array(str(arrays["meta"]).replace('"digest":"', '"digest":"0'))}
    np.savez(tmp_path / "forged.npz", **forged)  # type: ignore[arg-type]
    np.savez(tmp_path / "pickled.npz", meta=np.array([{}], dtype=object))
    table(np.zeros((4, 2))).to_csv(tmp_path / "p.csv", index=False)
    for name, message in (
        ("text", "no file of episodes"),
        ("forged", "of other data"),
        ("pickled", "no file of episodes"),
    ):
        with pytest.raises(UserError, match=message):
            bench.score(tmp_path / "p.csv", tmp_path / f"{name}.npz", tmp_path / "new", **NAMES)
    with pytest.raises(UserError, match="has no shape '5-shots' of sinusoid, did you mean '5-shot'"):
        bench.export_episodes("sinusoid", "5-shots", episodes, results=sinusoids)
    with pytest.raises(UserError, match=r"out: got .*; give a file that ends in \.npz"):
        bench.export_episodes("sinusoid", "5-shot", tmp_path / "x.csv", results=sinusoids)


def test_maml_in_jax(tmp_path: Path) -> None:
    """Another framework from end to end, in a process that knows nothing of this one."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed (`uv sync --group speed`)")
    episodes, results = tmp_path / "episodes.npz", tmp_path / "results"
    grid = tiny(datasets=[SINUSOID | {"shots": [10]}])
    shape = {"evaluation.test_episodes": 100, "evaluation.n_query": 10}
    bench.export_episodes("sinusoid", "10-shot", episodes, grid=grid, hparams=shape)
    tables = {"maml-jax": tmp_path / "trained.csv", "init-jax": tmp_path / "untrained.csv"}
    done = subprocess.run(
        [sys.executable, "-I", JAX_MAML, episodes, *tables.values()],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
        env=dict(os.environ) | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    trained, seconds = done.stdout.split()
    for name, file in tables.items():
        told = {"train_episodes": int(trained), "train_seconds": float(seconds)} if name == "maml-jax" else {}
        bench.score(file, episodes, results, **(NAMES | {"name": name, "source": "JAX"} | told))
    (pair,) = bench.compare(results, "maml-jax", "init-jax").pairs
    assert pair.effect.high < 0
    assert pair.p < 0.001
    assert "unequal budgets: maml-jax on 2,400 episodes, init-jax on 10 episodes" in pair.notes
