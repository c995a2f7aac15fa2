"""Write the report of a search, in ``<experiment>/tuning``: the page, Markdown, tables as CSV, and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from bench.report.escaping import in_markdown, prose_in_markdown, to_csv
from bench.report.figures.style import FORMATS, files_of, styled
from bench.report.panels import Panels
from bench.report.renderers import to_markdown
from bench.report.table_model import shared_notes
from bench.spec.grid import Grid
from bench.spec.tuned_file import tuned_name
from bench.tuning.report import figures
from bench.tuning.report.kinds import SLICES, search_figures
from bench.tuning.report.page import how, page
from bench.tuning.report.search_tables import SearchTables, search_tables
from bench.tuning.report.shown import cost_table, result_tables, summary, values_table
from bench.tuning.spec import Budget
from bench.tuning.study import Opened
from datasets import UserError

FOLDER = "tuning"


@dataclass(frozen=True)
class SearchReport:
    """A written report of a search.

    Attributes:
        page: the page, beside which all other files are.
        tables: the results that it shows.
    """

    page: Path
    tables: SearchTables


def write_tuning_report(
    done: Sequence[Opened], out: Path, grid: Grid, budget: Budget, name: str = FOLDER, panels: Panels | None = None
) -> SearchReport:
    """Write the report of these studies to the folder ``name`` in ``out``.

    Args:
        done: the studies.
        out: the experiment's folder.
        grid: the grid that was searched.
        budget: of each study.
        name: of the report's folder.
        panels: records the figures that could not be drawn, which the page and the Markdown name.

    Raises:
        UserError: the folder cannot be made, or the re-runs in ``out`` cannot be compared.
    """
    folder = out / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write the report to {folder}: {error.strerror}; choose another folder", "out"
        ) from None
    tables = search_tables(done, out)
    panels = panels if panels is not None else Panels()
    for stem, table in (
        ("trials", tables.trials),
        ("studies", tables.studies),
        ("values", tables.values),
        ("expected_best", tables.searches),
        ("importance", tables.importances),
        ("default_and_tuned", tables.compared),
        ("without_result", tables.without_result),
    ):
        if len(table):
            (folder / f"{stem}.csv").write_text(to_csv(table), encoding="utf-8")
        else:  # what an earlier report left is not of these results
            (folder / f"{stem}.csv").unlink(missing_ok=True)
    pictures = list(_write_figures(done, tables, folder, panels))
    text = "\n".join(_markdown(done, tables, pictures, panels))
    (folder / "tuning.md").write_text(text, encoding="utf-8")
    index = folder / "index.html"
    index.write_text(page(done, tables, grid, budget, panels), encoding="utf-8")
    return SearchReport(index, tables)


@dataclass(frozen=True)
class _Picture:
    """A figure that was written: its PNG file, and how to read it."""

    file: Path
    caption: str


def _write_figures(done: Sequence[Opened], tables: SearchTables, folder: Path, panels: Panels) -> Iterator[_Picture]:
    """Write every figure that has something to show, in every format."""
    names = done[0].plan.method.names
    wanted: dict[str, tuple[str, Callable[[], Figure] | None]] = {}
    for kind in search_figures(names[1] if len(names) > 1 else None):
        wanted[kind.name] = (kind.caption, partial(kind.draw, tables) if kind.applies(tables) else None)
    for opened in done:
        plan = opened.plan
        name = f"slices--{tuned_name(plan.cell.algorithm, plan.cell.dataset, plan.shape)}"
        wanted[name] = (SLICES, partial(figures.slices, opened))
    with styled():
        for name, (caption, draw) in wanted.items():
            files = None if draw is None else panels.attempt(f"the figure '{name}'", partial(_files, draw))
            for suffix, _ in FORMATS:
                place = folder / f"{name}.{suffix}"
                if files is None:  # what an earlier report left is not of these results
                    place.unlink(missing_ok=True)
                else:
                    place.write_bytes(files[suffix])
            if files is not None:
                yield _Picture(folder / f"{name}.png", caption)


def _files(draw: Callable[[], Figure]) -> dict[str, bytes]:
    return files_of(draw())


def _markdown(done: Sequence[Opened], tables: SearchTables, pictures: Sequence[_Picture], panels: Panels) -> list[str]:
    lines = ["# Tuning", "", in_markdown(" ".join(how(done, tables))), ""]
    lines += [in_markdown(sentence) + "\n" for sentence in summary(tables)]
    results = result_tables(tables)
    lines += ["## Default and tuned", ""]
    lines += [f"{prose_in_markdown(note)}\n" for note in shared_notes(replace(table, marks=()) for table in results)]
    for table in results:
        lines += [f"### {in_markdown(table.title)}", "", prose_in_markdown(table.subtitle), "", *to_markdown(table), ""]
        lines += [f"{prose_in_markdown(mark)}\n" for mark in table.marks]
    for table in (values_table(tables), cost_table(tables)):
        lines += [f"## {table.title}", "", *to_markdown(table), "", *(f"{in_markdown(n)}\n" for n in table.notes)]
    lines += ["## Figures", ""]
    captions = [picture.caption for picture in pictures]
    for place, picture in enumerate(pictures):
        last = place + 1 == len(pictures) or captions[place + 1] != picture.caption
        lines += [f"![{picture.file.stem}]({picture.file.name})", "", *([in_markdown(picture.caption), ""] * last)]
    lines += [f"Not drawn: {line}\n" for line in panels.lines()]
    return lines
