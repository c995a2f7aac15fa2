"""One HTML page with all results of an experiment; it loads nothing, and the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from bench.analysis.experiments import Experiments, Section
from bench.analysis.pairwise import is_better, pair_rows
from bench.analysis.published import beside, cells_of_board, sinusoid_table
from bench.report.budget_table import budget_table
from bench.report.figures import KINDS, FigureKind, panel, panel_name, styled
from bench.report.figures import difficulty as difficulty_figure
from bench.report.figures import fits as fits_figure
from bench.report.figures import gallery as gallery_figure
from bench.report.figures import ranks as ranks_figure
from bench.report.figures import trajectories as trajectories_figure
from bench.report.figures.drawn import Drawn, drawn, not_drawn
from bench.report.leaderboard import failure_table, leaderboard_table, marked_name
from bench.report.loading import Loader
from bench.report.networks import networks
from bench.report.panels import Panels
from bench.report.provenance import commands, digests, environments, grid_text, named_grids
from bench.report.renderers import render_page
from bench.report.summary import across_datasets_words, summary
from bench.report.table_model import Column, ReportTable, table_of
from bench.report.text_episodes import TextEpisode, text_episodes
from bench.stats import LEAST_SEEDS
from datasets.core.control import ControlDataset
from datasets.core.episodes import Dataset
from datasets.drawing.contact_sheet import has_pictures, has_points
from datasets.navigation import NavigationEnvironment
from datasets.sinusoid import Sinusoid
from datasets.text.dataset import class_names_of, text_pools


@dataclass(frozen=True)
class Pair:
    """A cell of the pairwise matrix: difference, adjusted p-value, and which is better, ``row`` or ``column``."""

    text: str
    p: str
    better: str


@dataclass(frozen=True)
class PagePart:
    """One dataset and shape on the page."""

    name: str
    title: str
    dataset: str
    board: ReportTable
    names: list[str]
    matrix: list[tuple[str, list[Pair]]]
    unit: str
    figures: list[Drawn]
    budgets: ReportTable
    crossings: tuple[str, ...] = ()
    few_seeds: bool = False
    notes: list[str] = field(default_factory=list)
    texts: list[TextEpisode] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


def page(experiments: Experiments, data_root: Path, panels: Panels) -> str:
    """Return the page as text.

    Args:
        experiments: the experiment.
        data_root: folder of the datasets, for pictures of episodes and fits; missing data is named on the page.
        panels: records what could not be drawn; a note stands in its place.
    """
    loader = Loader(experiments, data_root)
    with styled():
        parts = [_part(experiments, section, loader, panels) for section in experiments.sections()]
    described = [grid["description"] for grids in experiments.grids for grid in grids if grid.get("description")]
    return render_page(
        "page.html",
        title=" and ".join(experiments.names),
        descriptions=list(dict.fromkeys(described)),
        summary=summary(experiments),
        notes=experiments.notes,
        parts=parts,
        datasets=list(dict.fromkeys(part.dataset for part in parts)),
        explanations=list(dict.fromkeys(note for part in parts for note in part.board.explanations)),
        across=across_datasets_words(experiments.board),
        ranks=_ranks(experiments, panels),
        published=_published(experiments),
        sinusoids=_sinusoids(experiments),
        failures=failure_table(experiments.rows, experiments.never_run),
        commands=commands(experiments),
        grids=[(name, grid_text(grid)) for _, name, grid in named_grids(experiments)],
        environments=environments(experiments),
        digests=_digests(experiments),
    )


def _part(experiments: Experiments, section: Section, loader: Loader, panels: Panels) -> PagePart:
    figures = [
        figure
        for kind in KINDS
        for figure in _figure(panels, section, kind.name, kind.title, partial(_kind_figure, kind, section))
    ]
    notes: list[str] = []
    texts: list[TextEpisode] = []
    data = f"data of {section.dataset}"
    dataset = panels.attempt(data, lambda: loader.dataset(section))
    if section.has_classes:
        title = "Hard classes"
        figures += _figure(panels, section, "difficulty", title, partial(_class_figure, section, dataset, title))
    if dataset is None:
        notes.append(f"No pictures of episodes: {loader.missing.get(section.dataset) or panels.failed[data]}")
    elif isinstance(dataset, Sinusoid):
        title = "Fits of test tasks"
        figures += _figure(
            panels, section, "fits", title, partial(_fits_figure, experiments, section, dataset, title, notes)
        )
    elif text_pools(dataset) is not None:
        panel_of_texts = panel_name("Test episodes", section)
        _without_weights(experiments, section, "predictions", notes)
        texts = panels.attempt(panel_of_texts, lambda: text_episodes(experiments, section, dataset)) or []
        if panel_of_texts in panels.failed:
            notes.append(f"No test episodes: {panels.failed[panel_of_texts]}")
    elif isinstance(dataset, ControlDataset):
        if isinstance(dataset.environment, NavigationEnvironment):
            title = "Trajectories of test tasks"
            figures += _figure(
                panels,
                section,
                "trajectories",
                title,
                partial(_trajectories_figure, experiments, section, dataset, title, notes),
            )
    elif has_pictures(dataset.input_shape) or has_points(dataset.input_shape):
        title = "Test episodes"
        figures += _figure(panels, section, "gallery", title, partial(_gallery, section, loader, dataset, title))
    else:
        notes.append(f"No pictures of episodes: examples of {section.dataset} have the shape {dataset.input_shape}.")
    matrix = _matrix(section)
    unit = "points of accuracy" if section.has_classes else "return" if section.control else "squared error"
    return PagePart(
        section.name,
        section.title,
        section.dataset,
        leaderboard_table(section.title, section.board, experiments.board),
        [marked_name(name, name in section.external) for name in section.contenders],
        matrix,
        unit,
        figures,
        budget_table(section),
        section.crossings,
        int(section.finished["seeds"].min()) < LEAST_SEEDS,
        notes,
        texts,
        networks(experiments, section),
    )


def _figure(
    panels: Panels, section: Section, name: str, title: str, make: Callable[[], Drawn | None]
) -> Iterator[Drawn]:
    """Yield the figure that ``make`` returns, a note where it fails, nothing where it returns None."""
    label = panel_name(title, section)
    made = panels.attempt(label, make)
    if made is None and label in panels.failed:
        made = not_drawn(f"{name}-{section.name}", title, panels.failed[label])
    if made is not None:
        yield made


def _ranks(experiments: Experiments, panels: Panels) -> Drawn | None:
    """Return the diagram of mean ranks over datasets, or a note where it fails; None where there is none to draw."""
    title = ranks_figure.TITLE
    with styled():
        made = panels.attempt(title, lambda: _ranks_figure(experiments))
    return not_drawn(ranks_figure.NAME, title, panels.failed[title]) if title in panels.failed else made


def _ranks_figure(experiments: Experiments) -> Drawn | None:
    made = ranks_figure.diagram(experiments.board)
    if made is None:
        return None
    found, figure = made
    return drawn(figure, ranks_figure.NAME, ranks_figure.TITLE, ranks_figure.caption(found), ranks_figure.alt(found))


def _kind_figure(kind: FigureKind, section: Section) -> Drawn | None:
    if not kind.applies(section):
        return None
    name = f"{kind.name}-{section.name}"
    return drawn(panel(kind, section), name, kind.title, kind.caption_of(section), kind.alt(section))


def _fits_figure(
    experiments: Experiments, section: Section, dataset: Sinusoid, title: str, notes: list[str]
) -> Drawn | None:
    without = _without_weights(experiments, section, "fits", notes)
    fitted = fits_figure.fits(experiments, section, dataset)
    shown = [*without, *section.external, *(fit.algorithm for fit in fitted)]
    if unknown := [name for name in section.algorithms if name not in shown]:
        notes.append(f"No fits of {', '.join(unknown)}: not registered here; name the module in `plugins=`")
    if not fitted:
        return None
    caption = "The first seed's selected weights, adapted to the first test tasks."
    return drawn(fits_figure.draw(fitted), f"fits-{section.name}", title, caption, fits_figure.alt(fitted))


def _without_weights(experiments: Experiments, section: Section, what: str, notes: list[str]) -> list[str]:
    """Return the algorithms that ``what`` cannot be made of, and note it."""
    if without := experiments.without_weights(section):
        notes.append(f"No {what} of {', '.join(without)}: the weights were left out of these results.")
    return without


def _trajectories_figure(
    experiments: Experiments, section: Section, dataset: Dataset, title: str, notes: list[str]
) -> Drawn | None:
    without = _without_weights(experiments, section, "trajectories", notes)
    walked = trajectories_figure.walks(experiments, section, dataset)
    shown = [*without, *(walk.algorithm for walk in walked)]
    if unknown := [name for name in section.algorithms if name not in shown]:
        notes.append(f"No trajectories of {', '.join(unknown)}: not registered here; name the module in `plugins=`")
    if not walked:
        return None
    caption = (
        "The first seed's selected policy, adapted to the first test tasks: query trajectories under the same noise."
    )
    figure = trajectories_figure.draw(walked)
    return drawn(figure, f"trajectories-{section.name}", title, caption, trajectories_figure.alt(walked))


def _gallery(section: Section, loader: Loader, dataset: Dataset, title: str) -> Drawn:
    cell = loader.cell(section)
    caption = gallery_figure.caption(dataset)
    figure = gallery_figure.draw(cell, dataset)
    return drawn(figure, f"gallery-{section.name}", title, caption, gallery_figure.alt(cell, dataset))


def _class_figure(section: Section, dataset: Dataset | None, title: str) -> Drawn | None:
    table = difficulty_figure.difficulty(section)
    if table.empty:
        return None
    names = dict(enumerate(class_names_of(dataset)))
    figure = difficulty_figure.figure(table, names)
    shown = difficulty_figure.HARDEST + difficulty_figure.EASIEST
    caption = (
        "Mean over all algorithms and seeds of the test episodes that hold the class (how many stands in parentheses), "
        "with 95% intervals over episodes, of classes in at least five"
        + ("." if len(table) <= shown else ": the hardest, and below the dotted line the easiest.")
    )
    return drawn(figure, f"difficulty-{section.name}", title, caption, difficulty_figure.alt(table, names))


def _matrix(section: Section) -> list[tuple[str, list[Pair]]]:
    """Return a row per contender: its difference from each column, in percentage points, squared error or return."""
    pairs = {(row["a"], row["b"]): row for row in pair_rows(section).to_dict("records")}
    scale, digits = (100.0, 1) if section.has_classes else (1.0, 2 if section.control else 3)
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
        lines.append((marked_name(a, a in section.external), cells))
    return lines


PUBLISHED = (
    Column("dataset", numeric=False),
    Column("shape", numeric=False),
    Column("algorithm", numeric=False),
    Column("mode", numeric=False),
    Column("ours"),
    Column("published"),
    Column("differs in", numeric=False, wrap=True),
    Column("source", numeric=False, wrap=True),
)


def _published(experiments: Experiments) -> ReportTable:
    """Return the accuracies beside the published ones."""
    cells, lines = cells_of_board(experiments.rows, experiments.folders), []
    for row in beside(experiments.board, cells).to_dict("records"):
        interval = "" if row["interval"] != row["interval"] else f" ±{row['interval']}"
        shape, ours = f"{row['n_way']}-way {row['n_shot']}-shot", f"{row['accuracy']:.1f}"
        names = [row["dataset"], shape, row["algorithm"], row["mode"]]
        lines.append([*names, ours, f"{row['published']}{interval}", row["differs"], row["source"]])
    return table_of("Published accuracies", PUBLISHED, lines)


SINUSOIDS = (
    Column("algorithm", numeric=False),
    Column("shape", numeric=False),
    *map(Column, ("steps", "mean", "median", "above 100", "test episodes", "published")),
)


def _sinusoids(experiments: Experiments) -> ReportTable:
    """Return squared errors by inner step beside the published ones; no rows where none is published."""
    rows = experiments.episodes
    external = [name for section in experiments.sections() for name in section.external]  # they have no inner steps
    own = rows[(rows["dataset"] == "sinusoid") & ~rows["algorithm"].isin(external)] if len(rows) else rows
    table = sinusoid_table(own) if len(own) else pd.DataFrame({"published": []})
    lines = []
    for row in table.to_dict("records") if table["published"].notna().any() else ():
        published = "–" if row["published"] != row["published"] else str(row["published"])
        numbers = [f"{row['mean']:.3g}", f"{row['median']:.3g}", str(row["above_100"]), str(row["episodes"])]
        lines.append([row["algorithm"], row["shape"], str(row["steps"]), *numbers, published])
    return table_of("Published squared errors", SINUSOIDS, lines)


def _digests(experiments: Experiments) -> ReportTable:
    """Return the digests of data and episodes, which all cells of a dataset and shape share."""
    table = digests(experiments)
    columns = [Column(str(name).removeprefix("digest."), numeric=False) for name in table]
    return table_of("Digests", columns, ([str(value) for value in row] for row in table.to_numpy()))
