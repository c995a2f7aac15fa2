"""The page of a search, in the layout of a run's page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from bench.analysis.experiments import link_name
from bench.report.figures.drawn import Drawn, drawn, not_drawn
from bench.report.figures.style import styled
from bench.report.panels import Panels
from bench.report.provenance import grid_argument, grid_text
from bench.report.renderers import render_page
from bench.report.table_model import ReportTable, shared_notes
from bench.spec.grid import Grid
from bench.tuning.report import figures
from bench.tuning.report.kinds import SLICES, alt_of_slices, search_figures
from bench.tuning.report.search_tables import SearchTables
from bench.tuning.report.shown import cost_table, metric_words, result_tables, seed_or_seeds, summary, values_table
from bench.tuning.spec import Budget
from bench.tuning.study import Opened

SAME = "All trials of a dataset and shape were validated on the same episodes; no trial used test episodes."


@dataclass(frozen=True)
class SearchPart:
    """One dataset and shape on the page."""

    name: str
    title: str
    dataset: str
    board: ReportTable
    figures: list[Drawn]


def page(done: Sequence[Opened], tables: SearchTables, grid: Grid, budget: Budget, panels: Panels) -> str:
    """Return the page as text.

    Args:
        done: the studies.
        tables: their results.
        grid: the grid that was searched.
        budget: of each study.
        panels: records what could not be drawn; a note stands in its place.
    """
    parts = []
    with styled():
        for board, (dataset, shape) in zip(result_tables(tables), tables.places, strict=True):
            name = link_name(board.title)
            pictures = list(_figures(done, tables.of(dataset, shape), name, panels))
            parts.append(SearchPart(name, board.title, dataset, board, pictures))
    return render_page(
        "search.html",
        title=grid.name,
        descriptions=[grid.description] if grid.description else [],
        how=how(done, tables),
        summary=summary(tables),
        explanations=shared_notes(replace(part.board, marks=()) for part in parts),
        parts=parts,
        values=values_table(tables),
        cost=cost_table(tables),
        command=command(done, tables, grid, budget),
        grid=(grid.name, grid_text(grid.model_dump(mode="json"))),
    )


def how(done: Sequence[Opened], tables: SearchTables) -> list[str]:
    """Return what was searched, in sentences: the seeds, the objectives, the method and the budget."""
    method, seed = done[0].plan.method, done[0].plan.cell.seed
    if tables.seeds:
        where = f"Selected on seed {seed}, reported on {seed_or_seeds(tables.seeds)} "
        where += f"{', '.join(tables.seeds)}."
    else:
        where = f"Selected on seed {seed}; not yet reported on others."
    return [where, *_objectives(tables, method.names[1:]), f"Sampler {method.sampler}, pruner {method.pruner}.", SAME]


COSTS = {"adapt_ms": "the time of adapting to one task", "peak_mib": "the peak memory"}


def _objectives(tables: SearchTables, further: Sequence[str]) -> list[str]:
    """Return the objective of each dataset, under the name of its own metric."""
    datasets: dict[str, list[str]] = {}
    for dataset, metric in tables.metrics.items():
        datasets.setdefault(metric, []).append(dataset)
    beside = "".join(f"; beside it {COSTS[name]}, lower is better" for name in further)
    if len(datasets) == 1:
        return [f"Objective: {metric_words(next(iter(datasets)))}{beside}."]
    each = "; ".join(f"{metric_words(metric)} (on {', '.join(names)})" for metric, names in datasets.items())
    return [f"Objective: {each}{beside}."]


def command(done: Sequence[Opened], tables: SearchTables, grid: Grid, budget: Budget) -> str:
    """Return the command line that runs the search again, without where its storage is."""
    method, seed = done[0].plan.method, done[0].plan.cell.seed
    known = grid_argument(grid.model_dump(mode="json"), grid.name, ("algorithms", "datasets", "ways", "shots"))
    amount = f"--trials {budget.trials}" if budget.trials is not None else f"--hours {(budget.seconds or 0) / 3600:g}"
    words = ["python -m bench tune", known, amount, f"--sampler {method.sampler}", f"--pruner {method.pruner}"]
    words += [f"--objective {method.objective}"] if len(method.names) > 1 else []
    words += [f"--seed {seed}"] if seed else []
    words += [f"--report-seeds {','.join(tables.seeds)}"] if tables.seeds else []
    return " ".join([*words, f"--out results/{grid.name}-again"])


def _figures(done: Sequence[Opened], tables: SearchTables, part: str, panels: Panels) -> Iterator[Drawn]:
    """Yield the figures of one dataset and shape, then the slices of each of its studies."""
    names = done[0].plan.method.names
    (place,) = tables.places
    where = " ".join(place)
    for kind in search_figures(names[1] if len(names) > 1 else None):
        if kind.applies(tables):
            draw, alt = partial(kind.draw, tables), partial(kind.alt, tables)
            yield from _attempt(panels, where, f"{kind.name}-{part}", kind.title, kind.caption, draw, alt)
    studies = [opened for opened in done if (opened.plan.cell.dataset, opened.plan.shape) == place]
    for number, opened in enumerate(studies):
        title = f"Trials of {opened.plan.cell.algorithm}"
        draw, alt = partial(figures.slices, opened), partial(alt_of_slices, opened)
        yield from _attempt(panels, where, f"slices-{number}-{part}", title, SLICES, draw, alt)


def _attempt(
    panels: Panels, where: str, name: str, title: str, caption: str, draw: Callable[[], Figure], alt: Callable[[], str]
) -> Iterator[Drawn]:
    """Yield a figure, or the note of why it could not be drawn."""
    label = f"{title} on {where}"
    made = panels.attempt(label, lambda: drawn(draw(), name, title, caption, alt()))
    if made is not None:
        yield made
    elif label in panels.failed:
        yield not_drawn(name, title, panels.failed[label])
