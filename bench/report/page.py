"""One HTML page with everything that an experiment says: no network, no date, the same bytes each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.analysis.experiments import Evidence, Section
from bench.analysis.pairwise import is_better, pair_rows
from bench.analysis.published import beside, sinusoid_table
from bench.report.figures import KINDS, Kind, panel, panel_name, styled
from bench.report.figures import difficulty as difficulty_figure
from bench.report.figures import fits as fits_figure
from bench.report.figures import gallery as gallery_figure
from bench.report.figures.drawn import Drawn, drawn, not_drawn
from bench.report.loading import Loader
from bench.report.panels import Panels
from bench.report.provenance import commands, digests, environments, grid_text, named_grids
from bench.report.summary import summary
from bench.report.text import EXPLANATION, across_words, failures
from bench.store.store import read_cell
from datasets.core.episodes import Dataset
from datasets.sinusoid import Sinusoid
from datasets.storage.contact_sheet import has_pictures


@dataclass(frozen=True)
class Value:
    """A cell of a table: its text, and the number that sorting uses (NaN stands last)."""

    text: str
    key: float = math.nan


@dataclass(frozen=True)
class Pair:
    """A cell of the pairwise matrix: text, adjusted p as text, and whether row or column is better (or neither)."""

    text: str
    p: str
    better: str


@dataclass(frozen=True)
class Part:
    """What the page shows of one dataset and shape."""

    name: str
    title: str
    dataset: str
    heads: list[str]
    rows: list[tuple[str, bool, list[Value]]]
    names: list[str]
    matrix: list[tuple[str, list[Pair]]]
    unit: str
    figures: list[Drawn]
    caveat: str = ""
    notes: list[str] = field(default_factory=list)


def page(evidence: Evidence, data_root: Path, panels: Panels) -> str:
    """The page as text.

    Args:
        evidence: the experiment.
        data_root: where the datasets lie, for pictures of episodes and fits; what is not there is named in the page.
        panels: takes down what could not be drawn; a note stands in its place.
    """
    environment = Environment(
        loader=PackageLoader("bench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    loader = Loader(evidence, data_root)
    with styled():
        parts = [_part(evidence, section, loader, panels) for section in evidence.sections()]
    described = [grid["description"] for asked in evidence.grids for grid in asked if grid.get("description")]
    template = environment.get_template("page.html")
    return template.render(
        title=" and ".join(evidence.names),
        descriptions=described,
        summary=summary(evidence),
        notes=evidence.notes,
        parts=parts,
        datasets=list(dict.fromkeys(part.dataset for part in parts)),
        explanation=EXPLANATION,
        across=across_words(evidence.board),
        published=_published(evidence),
        sinusoids=_sinusoids(evidence),
        failures=failures(evidence.rows),
        never_run=evidence.never_run,
        commands=commands(evidence),
        grids=[(name, grid_text(grid)) for _, name, grid in named_grids(evidence)],
        environments=environments(evidence),
        digests=digests(evidence).to_dict("records"),
        svg=Markup,
        style=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
    )


def _file(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _part(evidence: Evidence, section: Section, loader: Loader, panels: Panels) -> Part:
    heads, rows = _table(section)
    figures = [
        figure
        for kind in KINDS
        for figure in _figure(panels, section, kind.name, kind.title, partial(_kind_figure, kind, section))
    ]
    notes: list[str] = []
    data = f"data of {section.dataset}"
    dataset = panels.attempt(data, lambda: loader.dataset(section))
    if not section.regression:
        title = "Hard classes"
        figures += _figure(panels, section, "difficulty", title, partial(_class_figure, section, dataset, title))
    if dataset is None:
        notes.append(f"No pictures of episodes: {loader.missing.get(section.dataset) or panels.failed[data]}")
    elif isinstance(dataset, Sinusoid):
        title = "Fits of test tasks"
        figures += _figure(
            panels, section, "fits", title, partial(_fits_figure, evidence, section, dataset, title, notes)
        )
    elif has_pictures(dataset.input_shape):
        title = "Test episodes"
        figures += _figure(panels, section, "gallery", title, partial(_gallery, section, loader, dataset, title))
    else:
        notes.append(f"No pictures of episodes: examples of {section.dataset} have the shape {dataset.input_shape}.")
    matrix = _matrix(section)
    few = int(section.finished["seeds"].min()) < 3
    caveat = " With fewer than three seeds this speaks of these checkpoints only" if few else ""
    unit = "squared error" if section.regression else "points of accuracy"
    return Part(
        section.name,
        section.title,
        section.dataset,
        heads,
        rows,
        section.contenders,
        matrix,
        unit,
        figures,
        caveat,
        notes,
    )


def _figure(
    panels: Panels, section: Section, name: str, title: str, make: Callable[[], Drawn | None]
) -> Iterator[Drawn]:
    """The figure that ``make`` gives, a note where it fails, nothing where there is nothing to draw."""
    panel = panel_name(title, section)
    made = panels.attempt(panel, make)
    if made is None and panel in panels.failed:
        made = not_drawn(f"{name}-{section.name}", title, panels.failed[panel])
    if made is not None:
        yield made


def _kind_figure(kind: Kind, section: Section) -> Drawn | None:
    if not kind.applies(section):
        return None
    name = f"{kind.name}-{section.name}"
    return drawn(panel(kind, section), name, kind.title, kind.caption_of(section), kind.alt(section))


def _fits_figure(evidence: Evidence, section: Section, dataset: Sinusoid, title: str, notes: list[str]) -> Drawn | None:
    found = fits_figure.fits(evidence, section, dataset)
    if unknown := [name for name in section.algorithms if name not in [fit.algorithm for fit in found]]:
        notes.append(f"No fits of {', '.join(unknown)}: not registered here; name the module in `plugins=`")
    if not found:
        return None
    caption = "The first seed's selected weights, adapted to the first test tasks."
    return drawn(fits_figure.draw(found), f"fits-{section.name}", title, caption, fits_figure.alt(found))


def _gallery(section: Section, loader: Loader, dataset: Dataset, title: str) -> Drawn:
    cell = loader.cell(section)
    caption = "A column a class: support images above the line, queries below."
    figure = gallery_figure.draw(cell, dataset)
    return drawn(figure, f"gallery-{section.name}", title, caption, gallery_figure.alt(cell))


def _class_figure(section: Section, dataset: Dataset | None, title: str) -> Drawn | None:
    table = difficulty_figure.difficulty(section)
    if table.empty:
        return None
    names = dict(enumerate(getattr(dataset, "class_names", ())))
    figure = difficulty_figure.figure(table, names)
    shown = difficulty_figure.HARDEST + difficulty_figure.EASIEST
    caption = (
        "Mean over all algorithms and seeds of the test episodes that hold the class (how many stands in parentheses), "
        "with 95% intervals over episodes, of classes in at least five"
        + ("." if len(table) <= shown else ": the hardest, and below the dotted line the easiest.")
    )
    return drawn(figure, f"difficulty-{section.name}", title, caption, difficulty_figure.alt(table, names))


def _interval(row: Mapping[Hashable, Any], name: str, scale: float, digits: int) -> Value:
    value = row.get(name, math.nan)
    if math.isnan(value):
        return Value("–")
    half = scale * (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    new = scale * (row.get(f"{name}_new_high", math.nan) - row.get(f"{name}_new_low", math.nan)) / 2
    text = f"{scale * value:.{digits}f} ±{half:.{digits}f}"
    return Value(text if math.isnan(new) else f"{text} ({new:.{digits}f})", scale * value)


def _plain(row: Mapping[Hashable, Any], name: str, digits: int) -> Value:
    value = row.get(name, math.nan)
    return Value("–") if math.isnan(value) else Value(f"{value:,.{digits}f}", float(value))


def _table(section: Section) -> tuple[list[str], list[tuple[str, bool, list[Value]]]]:
    """Heads, and for each algorithm its name, whether it has rank 1, and the table's other cells."""
    metric = ["MSE"] if section.regression else ["transductive, %", "inductive, %"]
    heads = ["rank", "P(rank 1)", *metric, "training, s", "adapting, ms per task", "peak, MiB", "rise, MiB", "seeds"]
    rows = []
    for row in section.board.to_dict("records"):
        if section.regression:
            scores = [_interval(row, "mse", 1.0, 3)]
        else:
            scores = [_interval(row, f"accuracy_{mode}", 100.0, 1) for mode in ("transductive", "inductive")]
        rank = row.get("rank", math.nan)
        ranked = Value(str(row["bound"]) or "–")
        if not math.isnan(rank):
            low, high = int(row["rank_low"]), int(row["rank_high"])
            ranked = Value(f"{rank:.0f}" if low == high else f"{rank:.0f} ({low}–{high})", float(rank))
        failed = int(row["failed"])
        seeds = Value(
            f"{row['seeds']} of {row['seeds'] + failed}" if failed else str(row["seeds"]), float(row["seeds"])
        )
        costs = [_plain(row, name, digits) for name, digits in (("train_seconds", 1), ("adapt_ms", 1))]
        memory = [_plain(row, name, 0) for name in ("peak_mib", "peak_rise_mib")]
        cells = [ranked, _plain(row, "p_rank_1", 2), *scores, *costs, *memory, seeds]
        rows.append((str(row["algorithm"]), rank == 1, cells))
        rows += list(_guessing(row, len(cells)))
    return heads, rows


def _guessing(row: Mapping[Hashable, Any], width: int) -> Iterator[tuple[str, bool, list[Value]]]:
    """The flagged row in which cells that failed count as guessing."""
    means = [row.get(f"accuracy_{mode}_at_chance", math.nan) for mode in ("transductive", "inductive")]
    if not any(math.isnan(mean) for mean in means):
        shown = [Value(f"{100 * mean:.1f}", 100 * mean) for mean in means]
        yield f"{row['algorithm']} †", False, [Value(""), Value(""), *shown, *[Value("")] * (width - 4)]


def _matrix(section: Section) -> list[tuple[str, list[Pair]]]:
    """A row a contender: its difference from each column, in points or squared error."""
    pairs = {(row["a"], row["b"]): row for row in pair_rows(section).to_dict("records")}
    scale, digits = (1.0, 3) if section.regression else (100.0, 1)
    lines = []
    for a in section.contenders:
        cells = []
        for b in section.contenders:
            row, back = pairs.get((a, b)), pairs.get((b, a))
            if row is None or back is None:
                cells.append(Pair("", "", ""))
                continue
            better = "row" if is_better(section, row) else "column" if is_better(section, back) else ""
            p = row["p_adjusted"]
            cells.append(
                Pair(f"{scale * row['difference']:+z.{digits}f}", f"p {'<0.001' if p < 0.001 else f'{p:.3f}'}", better)
            )
        lines.append((a, cells))
    return lines


def _published(evidence: Evidence) -> list[dict[Hashable, Any]]:
    rows = evidence.rows
    keys = dict(zip(rows["cell"], zip(rows["dataset"], rows["shape"], rows["algorithm"], strict=True), strict=True))
    found = {keys[name]: folder for name, folder in evidence.folders.items()}
    cells = {key: read_cell(folder) for key, folder in found.items()}
    table = beside(evidence.board, cells)
    return table.astype(object).where(table.notna(), None).to_dict("records") if len(table) else []


def _sinusoids(evidence: Evidence) -> list[dict[Hashable, Any]]:
    """Squared errors by step beside the published ones, where any is published for what was run."""
    rows = evidence.episodes
    mine = rows[rows["dataset"] == "sinusoid"] if len(rows) else rows
    if mine.empty:
        return []
    table = sinusoid_table(mine)
    if table["published"].isna().all():
        return []
    return table.astype(object).where(table.notna(), None).to_dict("records")
