"""Exports load without their experiment, and are not trusted; ``bench export`` and ``bench predict``."""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

import bench
from algorithms import ALGORITHMS
from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.export import export_cell, read_export
from bench.learner.trained import Trained
from bench.store.integrity import described
from datasets import UserError
from tests.bench.helpers import ROOT, Main
from tests.bench.learner.conftest import cells

CELLS = {cell.id: cell for cell in cells()}


@pytest.fixture(scope="session")
def exported(experiment: Path, of_images: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of a learner of images."""
    folder = tmp_path_factory.mktemp("exports") / "maml"
    export_cell(experiment, of_images.cell.id, folder)
    return folder


@pytest.mark.parametrize("name", CELLS)
def test_an_export_predicts_as_the_experiment_does(
    experiment: Path, name: str, stored: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    export_cell(experiment, name, tmp_path / "export")
    before, after = bench.load_learner(experiment, cell=name), bench.load_learner(tmp_path / "export")
    assert after.trained.name == before.trained.name
    if isinstance(before, FewShotRegressor):
        x = np.linspace(-3, 3, 6)[:, None]
        for learner in (before, after):
            learner.fit(x[::2], np.sin(x[::2, 0]))
        np.testing.assert_array_equal(before.predict(x), after.predict(x))
    else:
        assert isinstance(after, FewShotClassifier)
        expected = before.fit(*stored[:2]).predict_proba(stored[2])
        np.testing.assert_array_equal(after.fit(*stored[:2]).predict_proba(stored[2]), expected)


def test_moments_of_the_outer_optimizer_stay_behind(exported: Path, of_images: Trained) -> None:
    kept = load_tensors((exported / "weights.safetensors").read_bytes())
    assert set(kept) == {name for name in of_images.state if name.startswith("weights/")}
    assert any(name.startswith("adam/") for name in of_images.state)


def test_the_card_says_what_was_measured_and_whose_data_it_is(exported: Path, experiment: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    row = bench.load(experiment).query("algorithm == 'maml' and dataset == 'glyphs'").iloc[0]
    for part in (
        "# maml on glyphs, 3-way 2-shot",
        f"| accuracy transductive % | {100 * row['test_accuracy_transductive']:.4g} |",
        f"| accuracy inductive % | {100 * row['test_accuracy_inductive']:.4g} |",
        row["cell"].replace("_", "\\_"),
        "glyphs-LICENSE.txt",
        "meta\\_batch=4",
        "| network | conv4 (channels ",
        "26 episodes, 3 queries per class",
    ):
        assert part in text, part
    assert "nan" not in text
    assert ALGORITHMS["maml"].paper in text


def test_an_export_is_not_asked_for_another_cell(exported: Path) -> None:
    bench.load_learner(exported, algorithm="maml", dataset="glyphs", shape="3-way 2-shot", seed=0)
    for arguments in ({"algorithm": "anil"}, {"seed": 1}, {"shape": "5-way 1-shot"}, {"cell": "maml--x"}):
        with pytest.raises(UserError, match=f"^{next(iter(arguments))}: .* export"):
            bench.load_learner(exported, **arguments)  # type: ignore[arg-type]


def test_it_writes_into_no_folder_of_other_files(experiment: Path, of_images: Trained, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"out: .* holds other files \('notes.txt'\)"):
        export_cell(experiment, of_images.cell.id, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def _json(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        content = json.loads((folder / "learner.json").read_text())
        change(content)
        (folder / "learner.json").write_text(json.dumps(content))

    return attack


def _weights(content: bytes, told: bool = True) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)
        if told:
            _json(lambda found: found.update(weights=described({"w": content})["w"]))(folder)

    return attack


def _pipe(name: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return attack


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "other weights": (_weights(save({"weights/a": np.zeros(3, np.float32)})), "the weights do not fit"),
    "untold weights": (_weights(b"x" * 9, told=False), "weights.safetensors has 9 bytes instead of"),
    "a pickle": (_weights(b"\x80\x04cos\nsystem\n"), "weights.safetensors is damaged"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors is missing"),
    "weights in a pipe": (_pipe("weights.safetensors"), "is a FIFO instead of a file"),
    "no JSON": (lambda folder: (folder / "learner.json").write_text("{"), "learner.json is not JSON"),
    "a huge JSON": (lambda folder: (folder / "learner.json").write_text(" " * 2**21), "more than 1,048,576 bytes"),
    "nested JSON": (lambda folder: (folder / "learner.json").write_text("[" * 9999), "learner.json"),
    "newer": (_json(lambda found: found.update(schema_version=99)), "newer version"),
    "another field": (_json(lambda found: found.update(code="import os")), "code: unknown field"),
    "a huge shape": (_json(lambda found: found["data"].update(input_shape=[2**20] * 3)), "is too much"),  # type: ignore
    "many classes": (_json(lambda found: found["cell"].update(n_way=2**40)), "is too much"),  # type: ignore
    "no shape": (_json(lambda found: found["data"].update(input_shape=[])), "input_shape"),  # type: ignore
    "another shape": (_json(lambda found: found["data"].update(input_shape=[3])), "conv4|network"),  # type: ignore
    "an unknown algorithm": (_json(lambda found: found["cell"].update(algorithm="evil")), "unknown algorithm"),  # type: ignore
    "wrong values": (_json(lambda found: found["cell"]["hparams"].update(inner_lr=-1)), "inner_lr: got -1"),  # type: ignore
    "a module": (
        _json(lambda found: found["cell"].update(network={"module": "antigravity:Class"})),  # type: ignore
        "imported only where it is named",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_export_is_one_line(exported: Path, attack: str, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "attacked")
    change, message = ATTACKS[attack]
    change(folder)
    with pytest.raises(UserError, match=message) as raised:
        read_export(folder)
    assert "\n" not in str(raised.value)


@pytest.fixture
def folders(stored: tuple[np.ndarray, ...], tmp_path: Path) -> tuple[Path, Path]:
    """The stored episode as class folders of image files with dark ink: support and queries."""
    for name, x, y in (("support", *stored[:2]), ("query", *stored[2:])):
        for i, (image, label) in enumerate(zip(x, y, strict=True)):
            path = tmp_path / name / f"={'abc'[label]}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(255 - (image[0] * 255).round().astype(np.uint8)).save(path)
    return tmp_path / "support", tmp_path / "query"


def test_the_commands_export_and_predict(
    main: Main, experiment: Path, of_images: Trained, stored: tuple[np.ndarray, ...], folders: tuple[Path, Path]
) -> None:
    code, out, _ = main("export", experiment, of_images.cell.id, "--out", "mine")
    assert (code, [Path(line).name for line in out.split()]) == (
        0,
        ["weights.safetensors", "README.md", "learner.json"],
    )
    shutil.copytree("mine", "elsewhere")
    asked = ("--support", folders[0], "--query", folders[1])
    code, out, error = main("predict", "elsewhere", *asked, "--format", "csv", "--out", "there/table.csv")
    assert (code, error) == (0, "")
    assert Path("there/table.csv").read_text() == out
    table = pd.read_csv(io.StringIO(out))
    learner = FewShotClassifier(of_images).fit(*stored[:2])
    expected = learner.predict_proba(stored[2])
    names = np.array(["'=a", "'=b", "'=c"])  # as no spreadsheet takes them for formulas
    assert list(table["label"]) == [names[y] for y in stored[3]]
    assert list(table["predicted"]) == list(names[learner.predict(stored[2])])
    np.testing.assert_allclose(table[["p(=a)", "p(=b)", "p(=c)"]], expected, atol=1e-6)
    flat = folders[1].parent / "flat"
    flat.mkdir()
    for place, path in enumerate(folders[1].rglob("*.png")):
        shutil.copy(path, flat / f"{place}.png")
    code, out, _ = main("predict", experiment, "--algorithm", "maml", "--dataset", "glyphs", *asked)
    assert code == 0
    accuracy = (learner.predict(stored[2]) == stored[3]).mean()
    assert f"accuracy on 9 queries: {100 * accuracy:.1f}%" in out
    code, out, _ = main("predict", "elsewhere", "--support", folders[0], "--query", flat)
    assert code == 0
    assert "label" not in out
    assert "accuracy" not in out


def test_mistakes_of_the_commands_are_one_line(
    main: Main, experiment: Path, exported: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    support, query = folders
    empty = tmp_path / "empty"
    empty.mkdir()
    (query.parent / "broken").mkdir()
    (query.parent / "broken" / "x.png").write_bytes(b"no image")
    (tmp_path / "two").mkdir()
    shutil.copytree(support / "=a", tmp_path / "two" / "a")
    for arguments, message in (
        (("predict", exported, "--support", "nowhere", "--query", query), "--support: there is no folder"),
        (("predict", exported, "--support", support, "--query", empty), "--query: "),
        (("predict", exported, "--support", query.parent / "flat", "--query", query), "--support: there is no folder"),
        (("predict", exported, "--support", tmp_path / "two", "--query", query), "--support: holds 1 classes"),
        (("predict", exported, "--support", support, "--query", tmp_path / "broken"), "x.png is not a whole"),
        (("predict", exported, "--support", support, "--query", query, "--mode", "x"), "--mode: got 'x'"),
        (("predict", tmp_path / "none", "--support", support, "--query", query), "does not exist"),
        (
            ("predict", experiment, "--algorithm", "oracle", "--support", support, "--query", query),
            "folders hold images, but oracle on sinusoid",
        ),
        (("export", experiment, "maml--x", "--out", "x"), "CELL: .* has no finished cell with maml--x"),
    ):
        code, out, error = main(*arguments)
        assert (code, out) == (2, "")
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert message in error or pd.Series([error]).str.contains(message).all()


def test_the_code_of_the_page_runs(experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r'^```python title="use.py"\n(.*?)^```', (ROOT / "docs/using.md").read_text(), re.M | re.S)
    assert "results/smoke" in code
    (tmp_path / "use.py").write_text(code.replace("results/smoke", str(experiment)))
    runpy.run_path(str(tmp_path / "use.py"))
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1
