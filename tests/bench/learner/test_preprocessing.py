"""Learners of tables, and of texts with a vocabulary: what was fitted on meta-train goes with them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import bench
from algorithms.core.losses import metrics
from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.export import export_cell, read_export
from bench.protocol import setup
from bench.protocol.cell_run import run_cell
from bench.spec.cell import Cell
from bench.store.integrity import described
from bench.store.store import Store
from datasets import DATASETS, DatasetEntry, UserError
from datasets.text.dataset import TextDataset, text_pools
from tests.bench.helpers import Main, entries_removed_again, tiny
from tests.bench.store.store_writers import MEASURED
from tests.datasets.tables import frame, write
from tests.datasets.text.toy import made

TEST_EPISODES = 26  # more than are tested together
EPISODES = (0, 24)
Learner = FewShotClassifier | FewShotRegressor


def cells(table: Path) -> Iterator[Cell]:
    """Classes and tasks of a table, and texts as words and as characters."""
    rows = {"kind": "table", "path": str(table), "split_column": "split", "network": {"hidden": [8]}}
    texts = {"name": "toy-texts", "ways": [3], "shots": [2], "network": {"name": "text-cnn", "channels": 4}}
    yield from tiny(
        datasets=[
            {**rows, "name": "classes", "class_column": "species", "ignore": ["dose"], "ways": [2], "shots": [2]},
            {**rows, "name": "tasks", "task_column": "species", "target_column": "dose", "shots": [3]},
            {**texts, "text": {"tokens": "words", "length": 8, "vocabulary": 64}},
            {**texts, "shots": [1], "text": {"tokens": "characters", "length": 16, "vocabulary": 24}},
        ],
        algorithms=["maml"],
        train={"episodes": 8, "n_query": 2, "eval_every": 2},
        evaluation={"val_episodes": 2, "test_episodes": TEST_EPISODES, "n_query": 2},
    ).cells()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an experiment with a finished cell of each, and beside it the table."""
    folder = tmp_path_factory.mktemp("preprocessing")
    table = write(folder, frame())
    with entries_removed_again():
        DATASETS.add(
            DatasetEntry("toy-texts", "classification", "text", "texts", "", lambda root: made(), None, ("text",))
        )
        store = Store(folder / "results")
        store.create()
        for cell in cells(table):
            store.write_result(cell, run_cell(cell, cell.entry.load(folder / "root")), MEASURED)
        yield store.root


@pytest.fixture
def of(experiment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Cell]:
    """The cell of a name."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    by_name = {
        cell.dataset if cell.text is None else str(cell.text.tokens): cell
        for cell in Store(experiment).finished_cells()
    }
    return by_name.__getitem__


def raw(cell: Cell, x: torch.Tensor, y: torch.Tensor) -> tuple[Any, Any]:
    """What stands in the file for these inputs and targets of an episode, found by the values of whole rows."""
    dataset: Any = cell.entry.load(Path.cwd())
    if isinstance(dataset, TextDataset):
        pool = (text_pools(dataset) or {})["test"]
        known = {tuple(ids): pool.text(i) for i, ids in enumerate(pool.take(np.arange(len(pool.texts))).tolist())}
        return [known[tuple(ids)] for ids in x.tolist()], y
    table = frame()
    train = table[table["split"] == "train"]
    a, b, dose = (
        ((table[name] - train[name].mean()) / train[name].std(ddof=0)).astype("f4") for name in ("a", "b", "dose")
    )
    places = [int(np.argmin(abs(a - row[0]) + abs(b - row[1]))) for row in x.tolist()]
    if dataset.kind == "classification":
        return table[["a", "b"]].iloc[places], y
    np.testing.assert_allclose(dose.iloc[places], y[:, 0], rtol=1e-6)
    return table[["a", "b"]].iloc[places], table["dose"].iloc[places].to_numpy()


@pytest.mark.parametrize("name", ["classes", "tasks", "words", "characters"])
def test_predictions_for_what_the_file_holds_are_those_that_the_cell_recorded(
    experiment: Path, of: Callable[[str], Cell], name: str, tmp_path: Path
) -> None:
    cell = of(name)
    table = Store(experiment).episodes()
    table = table[table["cell"] == cell.id]
    last = table[table["step"] == table["step"].max()].set_index("episode")
    stream = cell.entry.load(tmp_path).stream("test", setup.test_shape(cell), setup.EVALUATION_SEED)
    episodes = stream.batch(np.arange(TEST_EPISODES))
    export_cell(experiment, cell.id, tmp_path / "export")
    for learner in (bench.load_learner(experiment, cell=cell.id), bench.load_learner(tmp_path / "export")):
        for i in EPISODES:
            learner.set_params(random_state=int(episodes.support.seeds[i]))
            support, queries = (
                raw(cell, x[i], y[i])
                for x, y in ((episodes.support.x, episodes.support.y), (episodes.query_x, episodes.query_y))
            )
            learner.fit(*support)
            outputs = learner._outputs(queries[0])
            kind = learner.trained.form.kind
            numbers = metrics(outputs[None], episodes.query_y[i : i + 1], kind)
            for metric, value in numbers.items():
                assert float(value[0]) == last[metric if kind == "regression" else f"{metric}_inductive"][i]
            if isinstance(learner, FewShotRegressor):
                predicted = learner.predict(queries[0])
                assert predicted.dtype == np.float64
                train = frame().query("split == 'train'")["dose"]
                np.testing.assert_allclose((predicted - train.mean()) / train.std(ddof=0), outputs[:, 0], rtol=1e-5)


def test_an_export_needs_neither_experiment_nor_data(
    experiment: Path, of: Callable[[str], Cell], main: Main, tmp_path: Path
) -> None:
    table = frame().query("split == 'test'")
    expected = {}
    for name in ("classes", "tasks"):
        export_cell(experiment, of(name).id, tmp_path / name)
        label = "species" if name == "classes" else "dose"
        support = table.groupby("species").head(2) if name == "classes" else table.head(3)
        expected[name] = bench.load_learner(experiment, cell=of(name).id, exact=False).fit(support, support[label])
        support.to_csv(tmp_path / f"{name}.csv", index=False)
    before = {name: learner.predict(table) for name, learner in expected.items()}
    table[table.columns[::-1]].to_parquet(tmp_path / "query.parquet")
    source = Path(str(of("classes").table.path))  # type: ignore[union-attr]
    hidden = source.rename(source.with_name("gone"))
    try:
        for name, label in (("classes", "species"), ("tasks", "dose")):
            asked = (tmp_path / name, "--support", tmp_path / f"{name}.csv", "--query", tmp_path / "query.parquet")
            code, out, error = main("predict", *asked, "--format", "csv")
            assert (code, error) == (0, "")
            read = pd.read_csv(io.StringIO(out))
            assert list(read.columns[:3]) == ["row", label, "predicted"]
            if name == "classes":
                assert list(read["predicted"]) == list(before[name])
                np.testing.assert_allclose(read.filter(like="p(").sum(axis=1), 1, atol=1e-5)
            else:
                np.testing.assert_allclose(read["predicted"], before[name], atol=1e-5)
            code, out, _ = main("predict", *asked)
            score = expected[name].score(table, table[label])
            last = (
                f"accuracy on 12 queries: {100 * score:.1f}%" if name == "classes" else f"R² on 12 queries: {score:.3f}"
            )
            assert (code, out.splitlines()[-1]) == (0, last)
        with pytest.raises(UserError, match="there is no file at"):
            bench.load_learner(experiment, cell=of("classes").id)
    finally:
        hidden.rename(source)


def test_a_table_of_texts_is_predicted_for(
    experiment: Path, of: Callable[[str], Cell], main: Main, tmp_path: Path
) -> None:
    export_cell(experiment, of("words").id, tmp_path / "export")
    texts = [f"{word} {i}" for word in ("sol", "mar", "pan") for i in range(2)]
    pd.DataFrame({"text": texts, "label": list("aabbcc")}).to_csv("support.csv", index=False)
    pd.DataFrame({"text": ["mar tres", "o sol"]}).to_csv("query.csv", index=False)
    code, out, error = main("predict", tmp_path / "export", "--support", "support.csv", "--query", "query.csv")
    assert (code, error) == (0, "")
    assert "p(b)" in out
    assert "accuracy" not in out
    pd.DataFrame({"text": ["mar xyzzy", "xyzzy", "xyzzy plugh"]}).to_csv("unknown.csv", index=False)
    code, out, error = main("predict", tmp_path / "export", "--support", "support.csv", "--query", "unknown.csv")
    assert (code, error) == (0, "note: 2 of the 3 queries without a single word that the learner knows\n")
    assert "note" not in out
    code, out, error = main("predict", tmp_path / "export", "--support", "query.csv", "--query", "query.csv")
    assert (code, out) == (2, "")
    assert "query.csv has no column 'label'" in error
    (tmp_path / "semicolons.csv").write_text("text;label\nsol;a\n")
    code, out, error = main("predict", tmp_path / "export", "--support", "semicolons.csv", "--query", "query.csv")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "it is separated by semicolons, and must be by commas: write it anew" in error


def test_data_that_has_changed_is_refused(experiment: Path, of: Callable[[str], Cell]) -> None:
    cell = of("classes")
    source = Path(str(cell.table.path))  # type: ignore[union-attr]
    before = source.read_bytes()
    try:
        table = frame()
        table.loc[0, "a"] += 1
        write(source.parent, table)
        with pytest.raises(UserError, match=r"classes is not what .* was trained on .* restore its files"):
            bench.load_learner(experiment, cell=cell.id)
    finally:
        source.write_bytes(before)
    bench.load_learner(experiment, cell=cell.id)


MISTAKES: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "a column more": (lambda x: np.ones((4, 3)), r"has shape \(4, 3\), but must be \[n, 2\], with the columns a, b"),
    "one row": (lambda x: [1.0, 2.0], r"has shape \(2,\), but must be \[n, 2\]"),
    "ragged": (lambda x: [[1.0, 2.0], [3.0]], r"has shape \(2,\)|rows of different lengths"),
    "no column of the name": (
        lambda x: x.rename(columns={"a": "aa"}),
        "no column 'a', did you mean 'aa'.* takes: a, b",
    ),
    "a column twice": (lambda x: pd.concat([x, x], axis=1), "has two columns 'a'"),
    "missing in a frame": (lambda x: x.assign(b=[1.0, np.nan, 2, 3]), "column 'b' has a missing value in row 2"),
    "missing in lists": (lambda x: [[1, None]] * 4, "column 'b' has a missing value in row 1"),
    "pandas' missing value": (
        lambda x: x.assign(a=pd.array([1, 2, 3, None])),
        "column 'a' has a missing value in row 4",
    ),
    "text": (lambda x: [[1.0, 2.0], ["x", 2.0]] * 2, "column 'a' has 'x' in row 2, which is no number"),
    "text in a frame": (lambda x: x.assign(a=["1", "2", "3", "4"]), "column 'a' has '1' in row 1, which is no number"),
    "a list in a cell": (lambda x: x.assign(a=[[1], 2, 3, 4]), r"column 'a' has \[1\] in row 1, which is no number"),
    "infinite": (lambda x: x.assign(a=np.inf), "column 'a' has an infinite value in row 1"),
    "far away": (lambda x: x.assign(a=1e9), r"column 'a' has 1e\+09 in row 1, over 1,000,000 standard deviations"),
    "nothing": (lambda x: x.iloc[:0], "got no examples"),
    "a string": (lambda x: "rows.csv", "got 'rows.csv'; give rows of 2 numbers: a, b"),
    "a number": (lambda x: 3, "got 3; give rows of 2 numbers"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(experiment: Path, of: Callable[[str], Cell], mistake: str) -> None:
    learner = bench.load_learner(experiment, cell=of("classes").id)
    change, message = MISTAKES[mistake]
    x = frame()[["a", "b"]].head(4)
    with pytest.raises(UserError, match=f"^X: .*{message}") as raised:
        learner.fit(change(x), [0, 0, 1, 1])
    assert "\n" not in str(raised.value)
    learner.fit(x, [0, 0, 1, 1])


def test_targets_that_are_none_are_one_line(experiment: Path, of: Callable[[str], Cell]) -> None:
    learner = bench.load_learner(experiment, cell=of("tasks").id)
    x = frame()[["a", "b"]].head(3)
    for y, message in (([1, 2, np.nan], "y: holds NaN"), ([1, 2, 1e12], "y: column 'dose' has 1e.12 in row 3")):
        with pytest.raises(UserError, match=message):
            learner.fit(x, y)


def _content(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change what the file says, and what is told of it."""

    def attack(folder: Path) -> None:
        content = json.loads((folder / "preprocessing.json").read_text())
        change(content)
        written = json.dumps(content).encode()
        (folder / "preprocessing.json").write_bytes(written)
        _told(lambda told: told.update(preprocessing=described({"p": written})["p"]))(folder)

    return attack


def _told(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        content = json.loads((folder / "learner.json").read_text())
        change(content)
        (folder / "learner.json").write_text(json.dumps(content))

    return attack


ATTACKS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("classes", lambda folder: (folder / "preprocessing.json").unlink(), "preprocessing.json is missing"),
    "changed": (
        "classes",
        lambda folder: (folder / "preprocessing.json").write_bytes(b"{}"),
        "preprocessing.json has 2 bytes instead of",
    ),
    "no vocabulary": (
        "words",
        _told(lambda told: told.update(preprocessing=None)),
        "which has the vocabulary of its wo",
    ),
    "fewer columns": (
        "classes",
        _content(lambda read: read["table"]["features"].pop()),
        "has 1 features for classific",
    ),
    "no deviation": (
        "classes",
        _content(lambda read: read["table"]["features"][0].update(deviation=0.0)),
        r"table.features.0.deviation: got 0.0",
    ),
    "a target": (
        "classes",
        _content(lambda read: read["table"].update(target=read["table"]["features"][0])),
        "has 2 features for classification",
    ),
    "no target": ("tasks", _content(lambda read: read["table"].update(target=None)), "has 2 features for regression"),
    "another field": ("words", _content(lambda read: read.update(code="import os")), "code: unknown field"),
    "nothing": ("words", _content(lambda read: read.clear()), "is not of the data of this export"),
    "many tokens": ("words", _content(lambda read: read["vocabulary"].extend(map(str, range(99)))), "at most 62 diff"),
    "a token twice": (
        "words",
        _content(lambda read: read["vocabulary"].append(read["vocabulary"][0])),
        "at most 62 diff",
    ),
    "both": (
        "words",
        _content(lambda read: read.update(table=None, vocabulary=None)),
        "is not of the data of this export",
    ),
    "huge": ("words", _told(lambda told: told["preprocessing"].update(bytes=2**30)), "has more than 134,217,728 bytes"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_export_is_one_line(experiment: Path, of: Callable[[str], Cell], attack: str, tmp_path: Path) -> None:
    name, change, message = ATTACKS[attack]
    export_cell(experiment, of(name).id, tmp_path / "export")
    folder = shutil.copytree(tmp_path / "export", tmp_path / "attacked")
    change(folder)
    with pytest.raises(UserError, match=message) as raised:
        read_export(folder)
    assert "\n" not in str(raised.value)
    read_export(tmp_path / "export")


def test_an_export_over_another_leaves_no_preprocessing_of_it(
    experiment: Path, of: Callable[[str], Cell], tmp_path: Path
) -> None:
    from bench.learner.cells import read_trained
    from bench.learner.export import write_export

    export_cell(experiment, of("words").id, tmp_path / "export")
    assert (tmp_path / "export" / "preprocessing.json").exists()
    store = Store(experiment)
    trained = read_trained(of("classes"), store)
    plain = type(trained)(trained.cell, type(trained.form)(**{**vars(trained.form), "table": None}), trained.state)
    write_export(plain, tmp_path / "export", "card")
    assert not (tmp_path / "export" / "preprocessing.json").exists()
