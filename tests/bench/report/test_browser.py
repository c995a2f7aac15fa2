"""The page in a real browser: opens from disk, asks for nothing, sorts, filters, fits a phone, passes axe-core."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.experiments import gather
from bench.report.write import write_report
from bench.store.store import Failure, Store
from tests.bench.helpers import GLYPHS, tiny
from tests.bench.stats.stores import write

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = os.environ.get("BENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; install one, or set BENCH_CHROMIUM")

ALGORITHMS = {
    "maml": 0.80,
    "fomaml": 0.74,
    "anil": 0.73,
    "reptile": 0.66,
    "meta-sgd": 0.79,
    "finetune": 0.70,
    "finetune-cosine": 0.71,
    "logreg": 0.72,
    "protonet": 0.78,
    "scratch": 0.40,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 cells, some of which failed, were skipped or never run."""
    place = tmp_path_factory.mktemp("browser") / "e"
    uses = [dict(GLYPHS), dict(GLYPHS, ways=[4])]
    cost = {name: {"outer_step_seconds": [0.02 + 0.014 * (i % 4)]} for i, name in enumerate(ALGORITHMS)}
    failed = {("anil", 3): "nan", ("scratch", 0): "timeout"}
    seeds = list(range(10))
    write(place, ALGORITHMS, datasets=uses, seeds=seeds, failed=failed, absent=[("logreg", 9)], cost=cost)
    (skipped,) = tiny(datasets=[{"name": "omniglot", "shots": [1]}]).cells()
    Store(place).write_failure(skipped, Failure("skipped", "data not found"))
    return place


@pytest.fixture(scope="module")
def page_file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert len(gather([folder]).rows) == 199
    return write_report(folder, tmp_path_factory.mktemp("page")).folder / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, in a context of the options that the test asks for."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    page.goto(page_file.as_uri())
    yield page
    context.close()


def algorithms(page: Any, part: int = 0) -> list[str]:
    """The names in the leaderboard of that part, as they stand."""
    rows = page.locator(".part").nth(part).locator("table.sortable tbody tr:visible th")
    return [str(text) for text in rows.all_inner_texts()]


def test_it_asks_for_nothing_and_complains_of_nothing(browser: Any, page_file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri(), wait_until="networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert said == []
    context.close()


def test_it_is_small(page_file: Path) -> None:
    assert page_file.stat().st_size < 5_000_000


def test_a_column_header_sorts_and_sorts_back(opened: Any) -> None:
    by_score = algorithms(opened)
    assert by_score[0] == "maml"
    head = opened.locator(".part").first.get_by_role("button", name="train s")
    column = head.locator("xpath=..")
    assert column.get_attribute("aria-sort") == "none"
    head.click()
    assert column.get_attribute("aria-sort") == "descending"
    keys = (
        opened.locator(".part")
        .first.locator("table.sortable tbody td:nth-child(6)")
        .evaluate_all("cells => cells.map(cell => cell.dataset.key)")
    )
    numbers = [float(key) for key in keys if key]
    assert numbers == sorted(numbers, reverse=True)
    assert "" not in keys[: len(numbers)]
    head.click()
    assert column.get_attribute("aria-sort") == "ascending"
    opened.locator(".part").first.get_by_role("button", name="algorithm").click()
    assert algorithms(opened) == sorted(by_score)
    assert column.get_attribute("aria-sort") == "none"


def test_the_keyboard_sorts_too(opened: Any) -> None:
    head = opened.locator(".part").first.get_by_role("button", name="algorithm")
    head.focus()
    opened.keyboard.press("Enter")
    assert algorithms(opened) == sorted(algorithms(opened))


def test_filters_narrow_by_algorithm_and_dataset(opened: Any) -> None:
    opened.get_by_label("Algorithms with").fill("maml, proto")
    assert sorted(algorithms(opened)) == ["fomaml", "maml", "protonet"]
    assert opened.locator("#shown").inner_text() == "6 rows shown"
    opened.get_by_label("Algorithms with").fill("")
    opened.get_by_label("Dataset").select_option("glyphs")
    assert opened.locator(".part:visible").count() == 2
    assert len(algorithms(opened)) == len(ALGORITHMS) + 2  # two have a row that counts failures as guessing


@pytest.mark.parametrize("opened", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_a_phone_needs_no_sideways_scrolling(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    for details in opened.locator("details").all():
        details.evaluate("element => element.open = true")
    assert opened.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize(
    "opened",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}],
    indirect=True,
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing(opened: Any) -> None:
    for details in opened.locator("details").all():
        details.evaluate("element => element.open = true")
    found = axe.Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("opened", [{"color_scheme": "dark"}], indirect=True)
def test_figures_take_the_colour_of_the_text(opened: Any) -> None:
    ink = opened.evaluate("getComputedStyle(document.body).color")
    colours = opened.locator(".picture svg").first.evaluate(
        "svg => [...new Set([...svg.querySelectorAll('*')].map(e => getComputedStyle(e).fill))]"
    )
    assert ink in colours
    light = [int(part) for part in ink.removeprefix("rgb(").removesuffix(")").split(",")]
    assert min(light) > 200


def test_failures_and_missing_cells_are_named(opened: Any) -> None:
    text = opened.locator("#failures").inner_text()
    for words in ("nan", "timeout", "made to fail", "skipped", "data not found"):
        assert words in text
