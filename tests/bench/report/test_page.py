"""The page's words and numbers: what it says is what the statistics say."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import bench
from bench.analysis.experiments import gather
from bench.analysis.pairwise import is_better, pair_rows
from bench.analysis.published import beside
from bench.analysis.scores import read_scores
from bench.report.escaping import in_latex
from bench.report.leaderboard import leaderboard_tables
from bench.report.provenance import commands, digests, grid_text
from bench.report.renderers import to_latex
from bench.report.summary import listed, summary
from bench.report.write import write_report
from bench.spec.grid import GRIDS, load_grid, parse_grid
from bench.spec.variations import changed, narrowed
from bench.stats import difference
from bench.store.requested import record
from bench.store.store import Store
from tests.bench.helpers import GLYPHS, SINUSOID, tiny
from tests.bench.stats.stores import write, write_cost


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of real cells on glyphs and sinusoids."""
    out = tmp_path_factory.mktemp("page") / "tiny one"
    grid = tiny(
        algorithms=["maml", "reptile"],
        datasets=[dict(GLYPHS), dict(SINUSOID)],
        seeds=[0, 1, 2],
        evaluation={"val_episodes": 3, "test_episodes": 12, "n_query": 2},
    )
    bench.run(grid, out)
    write_cost(out)
    return out


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(folder, tmp_path_factory.mktemp("written")).folder


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    return (written / "index.html").read_text(encoding="utf-8")


class _Checker(html.parser.HTMLParser):
    """Collects what must hold of the page's elements."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.images: list[str] = []
        self.heads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        if named.get("id"):
            self.ids.append(str(named["id"]))
        if tag == "a":
            self.links.append(str(named["href"]))
        if tag in ("script", "img", "iframe", "link", "image"):
            self.loads += [str(named[name]) for name in ("src", "href", "xlink:href") if named.get(name)]
        if named.get("role") == "img":
            self.images.append(str(named["aria-label"]))


def test_cells_of_an_environment_are_counted(page: str, folder: Path, tmp_path: Path) -> None:
    assert "Environment of 12 cells" in page
    one = write_report(write(tmp_path / "e", {"maml": 0.9}, seeds=[0]), tmp_path / "written").folder / "index.html"
    assert "Environment of 1 cell<" in one.read_text()


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    checker = _Checker()
    checker.feed(page)
    assert len(checker.ids) == len(set(checker.ids))
    assert all(link.startswith("#") and link[1:] in checker.ids for link in checker.links)
    assert all(place.startswith("data:image/png;base64,") for place in checker.loads)
    assert len(checker.images) == 2 * 5 + 1 + 1  # five figures a shape, fits, a gallery
    assert all(len(words) > 30 for words in checker.images)


def test_pictures_of_episodes_and_fits_are_there(page: str) -> None:
    for name in ("gallery-glyphs-3-way-1-shot", "fits-sinusoid-5-shot"):
        assert f'<figure id="{name}">' in page


def test_data_that_is_not_at_hand_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write(tmp_path / "e", {"maml": 0.5})
    page = (write_report(place).folder / "index.html").read_text()
    assert "the files of glyphs here are not those that the cells were run on" in page
    assert "gallery-" not in page


def test_every_number_of_the_leaderboard_is_in_the_page(page: str, folder: Path) -> None:
    for row in gather([folder]).board.to_dict("records"):
        name, scale, digits = ("mse", 1, 3) if row["dataset"] == "sinusoid" else ("accuracy_transductive", 100, 1)
        half = scale * (row[f"{name}_high"] - row[f"{name}_low"]) / 2
        assert f"{scale * row[name]:.{digits}f} ±{half:.{digits}f}" in page
        assert f"{row['cost_train_seconds']:,.1f} ±" in page


def test_pairs_are_the_statistics_own(folder: Path) -> None:
    for section in gather([folder]).sections():
        table = pair_rows(section).set_index(["a", "b"])
        (scores,) = read_scores(section.episodes)
        a, b = (scores.values[name].to_numpy(dtype=float) for name in ("maml", "reptile"))
        found = difference(a, b)
        row = table.loc["maml", "reptile"]
        assert row["difference"] == pytest.approx(found.interval().mean)
        assert (row["low"], row["high"]) == pytest.approx((found.interval().low, found.interval().high))
        assert row["p_adjusted"] == pytest.approx(found.p_value())
        assert table.loc["reptile", "maml"]["difference"] == pytest.approx(-row["difference"])


def test_better_takes_direction_and_significance(tmp_path: Path) -> None:
    one = write(tmp_path / "e", {"maml": 0.8, "reptile": 0.5, "anil": 0.795})
    (section,) = gather([one]).sections()
    rows = {(row["a"], row["b"]): row for row in pair_rows(section).to_dict("records")}
    assert is_better(section, rows["maml", "reptile"])
    assert not is_better(section, rows["reptile", "maml"])
    assert not is_better(section, rows["maml", "anil"])
    errors = write(tmp_path / "s", {"maml": 0.2, "reptile": 0.9}, datasets=[dict(SINUSOID)])
    (section,) = (s for s in gather([errors]).sections())
    rows = {(row["a"], row["b"]): row for row in pair_rows(section).to_dict("records")}
    assert is_better(section, rows["maml", "reptile"])


def test_the_summary_follows_ranks_and_costs(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "e",
        {"maml": 0.8, "anil": 0.8, "reptile": 0.5},
        cost={"anil": {"outer_step_seconds": [0.006]}, "reptile": {"outer_step_seconds": [0.002]}},
    )
    first, second, third = summary(gather([folder]))
    assert first.startswith("9 cells of 3 algorithms on glyphs 3-way 1-shot, 3 seeds each;")
    assert second in (
        "Best, or not separable from the best: anil and maml on glyphs 3-way 1-shot.",
        "Best, or not separable from the best: maml and anil on glyphs 3-way 1-shot.",
    )
    assert third == "Of those, the fastest to train: anil on glyphs 3-way 1-shot (3.0 s)."


def test_one_seed_is_said_to_be_checkpoints(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", {"maml": 0.9, "reptile": 0.3}, seeds=[0])
    _, second, _ = summary(gather([folder]))
    assert second == (
        "Best, or not separable from the best: maml on glyphs 3-way 1-shot "
        "(on glyphs 3-way 1-shot this is about these checkpoints: fewer than three seeds)."
    )
    (table,) = leaderboard_tables(gather([folder]).board)
    words = " ".join(table.explanations)
    assert "± is half of the 95% interval on these classes, in parentheses for new classes." in words
    assert "for new training runs" not in words
    text = (write_report(folder, tmp_path / "written").folder / "leaderboard.md").read_text()
    assert text.count("With fewer than three seeds") == 1
    assert "adjusted p below 0.05" in text
    assert "&lt;" not in text


def test_one_contender_has_no_pairs(tmp_path: Path) -> None:
    folder = write(tmp_path / "e", {"maml": 0.9, "scratch": 0.3}, seeds=[0])  # scratch is a floor, without a rank
    page = (write_report(folder, tmp_path / "written").folder / "index.html").read_text()
    assert "All pairs" not in page


def test_lists_read_well() -> None:
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_the_grid_in_the_page_runs_the_same_cells(folder: Path) -> None:
    ((grid,),) = gather([folder]).grids
    assert grid is not None
    again = parse_grid(yaml.safe_load(grid_text(grid)))
    assert {cell.id for cell in again.cells()} == {place.name for place in Store(folder).folders()}
    assert commands(gather([folder])) == ["python -m bench run grid.yaml --out results/tiny one-again"]


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ({}, ""),
        ({"algorithms": ["maml", "reptile"], "seeds": [0, 7]}, " --algorithms maml,reptile --seeds 0,7"),
        ({"datasets": ["glyphs"], "ways": [5], "shots": [1]}, " --datasets glyphs"),
        ({"shots": [1], "ways": [5]}, " --datasets glyphs"),
        ({"datasets": ["sinusoid"]}, " --datasets sinusoid"),
    ],
)
def test_a_part_of_a_shipped_grid_is_named_by_its_options(part: dict[str, Any], options: str, tmp_path: Path) -> None:
    write(tmp_path / "e", {"maml": 0.8})
    grid = narrowed(load_grid("smoke"), **part)
    record(Store(tmp_path / "e"), grid, "python -m bench run smoke")
    (line,) = commands(gather([tmp_path / "e"]))
    assert line == f"python -m bench run smoke{options} --out results/e-again"
    chosen = dict(zip(options.split()[::2], options.split()[1::2], strict=True))
    again = {
        name.removeprefix("--"): [int(n) if n.isdigit() else n for n in values.split(",")]
        for name, values in chosen.items()
    }
    assert [cell.id for cell in narrowed(load_grid("smoke"), **again).cells()] == [cell.id for cell in grid.cells()]


def test_a_grid_with_other_values_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "e", {"maml": 0.8})
    record(Store(tmp_path / "e"), changed(load_grid("smoke"), {"inner_lr": 0.123}), "python -m bench run smoke")
    assert commands(gather([tmp_path / "e"])) == ["python -m bench run smoke.yaml --out results/e-again"]


@pytest.mark.parametrize("name", sorted(path.stem for path in GRIDS.glob("*.yaml")))
def test_every_grid_comes_back_from_its_text(name: str) -> None:
    grid = load_grid(name)
    again = parse_grid(yaml.safe_load(grid_text(grid.model_dump(mode="json"))))
    assert [cell.id for cell in again.cells()] == [cell.id for cell in grid.cells()]


def test_digests_are_those_of_the_cells(folder: Path) -> None:
    rows = Store(folder).rows()
    for row in digests(gather([folder])).to_dict("records"):
        mine = rows[rows["dataset"] == row["dataset"]]
        assert set(mine["digest.test"]) == {row["digest.test"]}


def test_the_table_comes_back_from_parquet(written: Path, folder: Path) -> None:
    table = pq.read_table(written / "leaderboard.parquet").to_pandas()
    pd.testing.assert_frame_equal(table, gather([folder]).board, check_dtype=False)


def test_latex_has_a_table_a_shape_and_escapes(folder: Path) -> None:
    text = to_latex(leaderboard_tables(gather([folder]).board))
    assert text.count(r"\begin{table}") == text.count(r"\bottomrule") == 2
    assert text.count(r"\begin{minipage}") == 2
    assert text.count(r"\textbf{") >= 2
    assert r"transductive \%" in text
    widths = [line.count(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    specs = re.findall(r"begin\{tabular\}\{(\w+)\}", text)
    assert set(widths) == {len(spec) - 1 for spec in specs}
    assert "±" not in text
    assert in_latex("a_b & 5% \\ †") == r"a\_b \& 5\% \textbackslash{} $\dagger$"


def _board(dataset: str, algorithm: str) -> pd.DataFrame:
    line = {"dataset": dataset, "shape": "5-way 1-shot", "algorithm": algorithm, "seeds": 3}
    return pd.DataFrame([line | {"accuracy_transductive": 0.9, "accuracy_inductive": 0.8}])


def test_published_values_are_flagged_with_what_differs() -> None:
    (cell, *_) = (
        c for c in load_grid("reference-small").cells() if c.algorithm == "maml" and c.dataset == "omniglot-small"
    )
    key = ("omniglot-small", "5-way 1-shot", "maml")
    (row,) = beside(_board("omniglot-small", "maml"), {key: cell}).to_dict("records")
    assert (row["accuracy"], row["published"]) == (90.0, 98.7)
    assert row["differs"] == (
        "other classes (omniglot-small is not the omniglot of the paper); 5 queries per class for 1; "
        "trained on 1,200 episodes for 1,920,000; meta_batch 4 for 32; outer_lr 0.003 for 0.001"
    )


def test_the_papers_own_settings_have_no_flags() -> None:
    cells = [c for c in load_grid("paper-omniglot").cells() if (c.algorithm, c.n_way, c.n_shot) == ("maml", 5, 1)]
    (row,) = beside(_board("omniglot", "maml"), {("omniglot", "5-way 1-shot", "maml"): cells[0]}).to_dict("records")
    assert row["differs"] == ""


def _flags_of(algorithm: str) -> list[Any]:
    return beside(_board("omniglot", algorithm))["differs"].tolist()


def test_what_papers_do_not_say_is_flagged() -> None:
    assert _flags_of("meta-sgd") == [
        "how its queries were normalized is not said; its interval is a ± of a kind that is not stated; "
        "read in a paper that quotes it"
    ]


def test_a_published_value_without_an_interval_has_none_on_the_page(tmp_path: Path) -> None:
    """ProtoNet's published accuracies on Omniglot have no interval."""
    uses = [{"name": "omniglot-small", "shots": [1], "network": {}}]
    page = (write_report(write(tmp_path / "e", {"protonet": 0.7}, datasets=uses)).folder / "index.html").read_text()
    assert re.search(r"<td[^>]*>98.8</td>", page)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).replace("dominant", "")
