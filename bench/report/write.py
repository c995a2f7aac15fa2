"""A report on disk: the page, the leaderboard in every form, a row per cell, and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import datasets
from bench.files import absolute, name_of_length
from bench.report.escaping import to_csv
from bench.report.evidence import Evidence, gather
from bench.report.figures import KINDS, overview, styled
from bench.report.latex import latex
from bench.report.page import page
from bench.report.text import markdown
from bench.store import SETTING
from datasets import UserError


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        folder: where.
        evidence: what it was made of.
        files: all files, the page first.
    """

    folder: Path
    evidence: Evidence
    files: tuple[Path, ...]

    @property
    def board(self) -> pd.DataFrame:
        """The leaderboard."""
        return self.evidence.board


def write_report(
    path: Path | str,
    folder: Path | str | None = None,
    *,
    beside: Sequence[Path | str] = (),
    data_root: Path | None = None,
) -> Report:
    """Write the report of an experiment: the same results give the same bytes.

    Args:
        path: the experiment's folder.
        folder: where to write; by default ``<path>/report``, or ``<path>/report-beside-<others>`` with others.
        beside: further experiments, to merge or to set side by side; see ``bench.report.evidence.gather``.
        data_root: where the datasets lie, for pictures of episodes and fits.

    Raises:
        UserError: there are no results, they cannot be compared, or the folder cannot be made.
    """
    evidence = gather([path, *beside])
    usual = "-".join(["report", *(["beside", *evidence.names[1:]] if beside else [])]).replace("/", "_")
    target = absolute(folder) if folder is not None else absolute(path) / name_of_length(usual)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the report to {target}: {error.strerror}; choose another --out") from None
    figures = list(_write_figures(evidence, target))
    pictures = [figure for figure in figures if figure.suffix == ".png"]
    text = markdown(evidence.rows, evidence.board)
    if pictures:
        text += "\n## Figures\n\n" + "\n\n".join(f"![{figure.stem}]({figure.name})" for figure in pictures) + "\n"
    texts = {
        "index.html": page(evidence, datasets.data_root(data_root)),
        "leaderboard.md": text,
        "leaderboard.tex": latex(evidence.board),
        "leaderboard.csv": to_csv(evidence.board),
        "cells.csv": to_csv(evidence.rows.drop(columns=SETTING)),
    }
    for name, content in texts.items():
        (target / name).write_text(content, encoding="utf-8")
    table = pa.Table.from_pandas(evidence.board, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, target / "leaderboard.parquet")
    names = [*texts, "leaderboard.parquet"]
    return Report(target, evidence, (*(target / name for name in names), *figures))


def _write_figures(evidence: Evidence, folder: Path) -> Iterator[Path]:
    """Every figure as PNG and SVG; those that have nothing to show are left out."""
    with styled():
        for kind in KINDS:
            figure = overview(kind, evidence)
            if figure is None:
                continue
            for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
                place = folder / f"{kind.name}{suffix}"
                figure.savefig(place, dpi=150, metadata=metadata)
                yield place
            plt.close(figure)
