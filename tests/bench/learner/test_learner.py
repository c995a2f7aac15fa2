"""A trained meta-state used as a scikit-learn estimator."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks

import bench
from algorithms import ALGORITHMS
from algorithms.core.losses import metrics
from algorithms.core.modes import MODES
from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.trained import Trained
from bench.protocol import setup
from bench.protocol.evaluation import EPISODES_AT_ONCE
from bench.store.store import Store, read_state
from datasets import UserError, load
from datasets.core.episodes import Episodes, Shape
from tests.bench.helpers import PLUGINS
from tests.bench.learner.conftest import TEST_EPISODES, cells

CELLS = {cell.id: cell for cell in cells()}
EPISODES = (0, 24, 25)  # of both of the batches that were tested together


@pytest.fixture
def learner(of_images: Trained) -> FewShotClassifier:
    return FewShotClassifier(of_images)


@pytest.fixture
def episode(stored: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Support and queries of a stored episode: x and y of each, to be changed at will."""
    return tuple(part.copy() for part in stored)


@cache
def stored_episodes(dataset: str, shape: Shape) -> Episodes:
    return load(dataset).stream("test", shape, setup.EVALUATION_SEED).batch(np.arange(TEST_EPISODES))


def test_all_algorithms_are_here() -> None:
    ours = {entry.name for entry in ALGORITHMS if "@" not in entry.name and entry.kinds != ("control",)}
    assert ours <= {cell.algorithm for cell in CELLS.values()}


@pytest.mark.parametrize("name", CELLS)
def test_predictions_are_those_that_the_cell_recorded(experiment: Path, name: str) -> None:
    cell = CELLS[name]
    table = Store(experiment).episodes()
    table = table[table["cell"] == name]
    last = table[table["step"] == table["step"].max()].set_index("episode")
    episodes = stored_episodes(cell.dataset, setup.test_shape(cell))
    for mode in ("transductive", "inductive"):
        learner = bench.load_learner(experiment, cell=name, mode=mode)
        for i in EPISODES:
            learner.set_params(random_state=int(episodes.support.seeds[i]))
            learner.fit(episodes.support.x[i], episodes.support.y[i])
            predicted = torch.from_numpy(learner.predict(episodes.query_x[i]))
            outputs = learner._outputs(episodes.query_x[i])
            kind = learner.trained.form.kind
            ((name_of_loss, loss),) = [
                (name, float(value[0]))
                for name, value in metrics(outputs[None], episodes.query_y[i : i + 1], kind).items()
                if name != "n_correct"
            ]
            recorded = last[name_of_loss if kind == "regression" else f"{name_of_loss}_{mode}"][i]
            if i < EPISODES_AT_ONCE:
                assert loss == recorded
            else:  # of a smaller batch
                assert loss == pytest.approx(recorded, rel=1e-3)
            if kind == "classification":
                assert int((predicted == episodes.query_y[i]).sum()) == last[f"n_correct_{mode}"][i]


def test_the_stored_state_and_the_process_are_left_as_they_were(
    experiment: Path, episode: tuple[np.ndarray, ...]
) -> None:
    learner = bench.load_learner(experiment, algorithm="maml", dataset="glyphs")
    before = {name: value.clone() for name, value in learner.trained.state.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = learner.fit(*episode[:2]).predict_proba(episode[2])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    second = clone(learner).fit(*episode[:2]).predict_proba(episode[2])
    np.testing.assert_array_equal(first, second)
    stored = read_state(Store(experiment).cells / learner.trained.cell.id)
    for name, value in before.items():
        assert torch.equal(learner.trained.state[name], value)
        assert torch.equal(stored[name], value)
    assert torch.get_deterministic_debug_mode() == 0


def test_any_labels_in_any_order(learner: FewShotClassifier, episode: tuple[np.ndarray, ...]) -> None:
    support_x, support_y, query_x, _ = episode
    plain = learner.fit(support_x, support_y).predict(query_x)
    for names in (["a", "b", "c"], [10, 20, 30], [-1.5, 0.0, 2.5], [False, True, 2]):
        renamed = learner.fit(list(support_x), [names[y] for y in support_y])
        assert list(renamed.classes_) == names
        assert renamed.predict(query_x).tolist() == [names[y] for y in plain]
    turned = learner.fit(support_x[::-1].copy(), support_y[::-1].copy())
    assert (turned.predict(query_x) == plain).mean() > 0.9
    table = turned.predict_proba(query_x)
    assert table.shape == (len(query_x), 3)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(table), turned.predict_log_proba(query_x))
    assert turned.score(query_x, plain) == (turned.predict(query_x) == plain).mean()


def test_once_computed_differs_by_rounding(of_images: Trained, episode: tuple[np.ndarray, ...]) -> None:
    exact, quick = (
        FewShotClassifier(of_images, exact=exact).fit(*episode[:2]).predict_proba(episode[2]) for exact in (True, False)
    )
    np.testing.assert_allclose(exact, quick, atol=1e-4)
    assert of_images.tested_together == EPISODES_AT_ONCE


def test_inductive_queries_do_not_depend_on_each_other(of_images: Trained, episode: tuple[np.ndarray, ...]) -> None:
    support_x, support_y, query_x, _ = episode
    differences = {}
    for mode in MODES:
        learner = FewShotClassifier(of_images, mode=mode).fit(support_x, support_y)
        differences[mode] = np.abs(learner.predict_proba(query_x)[:1] - learner.predict_proba(query_x[:1])).max()
    assert differences["inductive"] < 1e-5 < differences["transductive"]


def test_images_in_every_form_are_the_same(
    learner: FewShotClassifier, episode: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    support_x, support_y, query_x, _ = episode
    expected = learner.fit(support_x, support_y).predict_proba(query_x)
    bytes_ = (query_x * 255).round().astype(np.uint8)
    pictures = [Image.fromarray(255 - one[0]) for one in bytes_]  # files have dark ink on white paper
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    forms = (query_x, torch.from_numpy(query_x), bytes_, list(query_x), pictures, paths, [str(path) for path in paths])
    for form in forms:
        np.testing.assert_array_equal(learner.predict_proba(form), expected)


def test_regression_gives_values(experiment: Path) -> None:
    learner = bench.load_learner(experiment, algorithm="oracle", dataset="sinusoid")
    assert isinstance(learner, FewShotRegressor)
    assert is_regressor(learner)
    x = np.linspace(-3, 3, 8)[:, None]
    assert learner.fit(x, 2 * np.sin(x[:, 0] - 1)).predict(x).shape == (8,)
    assert learner.score(x, 2 * np.sin(x[:, 0] - 1)) > 0.999
    assert learner.fit(x, 2 * np.sin(x - 1)).predict(x).shape == (8, 1)
    with pytest.raises(UserError, match=r"y: has shape \(7,\) for 8 examples"):
        learner.fit(x, np.zeros(7))
    with pytest.raises(UserError, match="y: holds NaN"):
        learner.fit(x, np.full(8, np.nan))


def test_it_is_an_estimator(learner: FewShotClassifier, episode: tuple[np.ndarray, ...]) -> None:
    assert is_classifier(learner)
    assert set(learner.get_params()) == {"trained", "mode", "exact", "random_state"}
    estimator_checks.check_get_params_invariance("learner", learner)
    estimator_checks.check_no_attributes_set_in_init("learner", clone(learner))
    with pytest.raises(NotFittedError):
        learner.predict(episode[2])
    fitted = learner.fit(*episode[:2])
    assert fitted is learner
    assert not hasattr(clone(learner), "classes_")
    assert "maml on glyphs, 3-way 2-shot, seed 0" in repr(learner)
    before = dict(vars(learner))
    expected = learner.predict_proba(episode[2])
    assert vars(learner) == before
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(learner)).predict_proba(episode[2]), expected)
    x, y = np.concatenate([episode[0], episode[2]])[:, None], np.concatenate([episode[1], episode[3]])
    assert np.isfinite(cross_val_score(clone(learner), x[:, 0], y, cv=5)).all()
    assert not hasattr(learner, "partial_fit")
    with pytest.raises(AttributeError, match="adapts to a whole support set at once"):
        _ = learner.partial_fit


Change = Callable[[Any, Any], tuple[Any, Any]]
MISTAKES: dict[str, tuple[Change, str]] = {
    "channels last": (lambda x, y: (np.moveaxis(x, 1, -1), y), r"X: has shape \(6, 28, 28, 1\), but must be \[n, 1"),
    "another size": (lambda x, y: (x[..., :20, :20], y), r"X: has shape \(6, 1, 20, 20\)"),
    "a range of bytes": (lambda x, y: (x * 255, y), r"X: holds values in \[0, 255\]; images are in \[0, 1\]"),
    "not finite": (lambda x, y: (np.full_like(x, np.nan), y), "X: holds NaN"),
    "text": (lambda x, y: (x.astype(str).astype(object), y), "X"),
    "one path": (lambda x, y: ("a.png", y), "X: got one str; give a list"),
    "a missing file": (lambda x, y: (["nowhere.png"] * 6, y), "nowhere.png cannot be read"),
    "mixed forms": (lambda x, y: ([Image.new("L", (28, 28)), *x[1:]], y), r"X\[1\]: got ndarray among paths"),
    "different shapes": (lambda x, y: ([x[0], x[1][:, :5], *x[2:]], y), "X: the examples have different shapes"),
    "nothing": (lambda x, y: (x[:0], y[:0]), "X: got no examples"),
    "an empty list": (lambda x, y: ([], []), "X: got no examples"),
    "a number": (lambda x, y: (3, y), "X: got int"),
    "fewer labels": (lambda x, y: (x, y[:-1]), r"y: has shape \(5,\) for 6 examples"),
    "labels of two dimensions": (lambda x, y: (x, y[:, None]), r"y: has shape \(6, 1\)"),
    "ragged labels": (lambda x, y: (x, [[0], [1, 2]] * 3), "y: holds lists of different lengths"),
    "a missing label": (lambda x, y: (x, [None, *y[1:]]), "y: holds missing labels"),
    "labels that cannot be sorted": (lambda x, y: (x, ["a", *y[1:]]), "y: holds labels that cannot be sorted"),
    "two classes": (lambda x, y: (x, y % 2), r"y: holds 2 classes \(0, 1\), but this learner is for 3"),
    "unequal classes": (lambda x, y: (x, [0, 1, 1, 1, 2, 2]), "y: holds 1 of class 0 and 3 of 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(learner: FewShotClassifier, episode: tuple[np.ndarray, ...], mistake: str) -> None:
    change, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as raised:
        learner.fit(*change(episode[0], episode[1]))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"), [("mode", "both"), ("exact", 1), ("random_state", -1), ("random_state", None)]
)
def test_a_wrong_parameter_is_one_line(
    learner: FewShotClassifier, episode: tuple[np.ndarray, ...], name: str, value: Any
) -> None:
    with pytest.raises(UserError, match=f"^{name}: got "):
        learner.set_params(**{name: value}).fit(*episode[:2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "algorithm: .* has several; choose one of: anil, finetune"),
        ({"algorithm": "mmal"}, "algorithm: .* has no finished cell with mmal, did you mean 'maml'"),
        ({"algorithm": "maml"}, "dataset: .* has several; choose one of: sinusoid, glyphs|glyphs, sinusoid"),
        ({"algorithm": "maml", "dataset": "glyphs", "shape": "5-way 1-shot"}, "shape: .* it has: 3-way 2-shot"),
        ({"algorithm": "maml", "dataset": "glyphs", "seed": 7}, "seed: .* it has: 0"),
        ({"cell": "maml--x"}, "cell: .* has no finished cell with maml--x"),
    ],
)
def test_a_cell_that_is_not_there_is_one_line(experiment: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bench.load_learner(experiment, **arguments)


def test_a_state_that_does_not_fit_is_one_line(learner: FewShotClassifier) -> None:
    trained = learner.trained
    for change in (
        {name: value[..., :1] for name, value in trained.state.items()},
        {},
        {name: value * torch.nan for name, value in trained.state.items()},
    ):
        with pytest.raises(UserError, match="the weights"):
            Trained(trained.cell, trained.form, change).check()


def test_a_module_as_network_must_be_named(of_images: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = of_images
    module = trained.cell.network.model_copy(update={"module": "some_networks:Tiny", "channels": None})
    changed = Trained(trained.cell.model_copy(update={"network": module}), trained.form, trained.state)
    monkeypatch.syspath_prepend(str(PLUGINS))
    with pytest.raises(UserError, match="'some_networks' is imported only where it is named: add it to `plugins=`"):
        changed.check()
