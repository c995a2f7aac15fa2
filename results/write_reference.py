"""Write a finished experiment's report, digests, command and environment to a folder of ``results/reference``.

``python results/write_reference.py results/grid results/reference/grid "python -m bench run grid"``
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench.analysis.experiments import Experiments
from bench.analysis.published import beside, cells_of_board, sinusoid_table
from bench.report.escaping import to_csv
from bench.report.provenance import environments
from bench.report.write import write_report
from bench.share.archive import read_archive, write_archive

COLUMNS = ("cell", "status", "message", "outer_steps", "selected_outer_step", "train_seconds", "peak_mib")
LEFT_OUT = (".svg", ".pdf", ".parquet", ".tex")  # made from the same numbers; they would only weigh on the repository


def write_reference(results: Path | str, folder: Path | str, command: str) -> list[Path]:
    """Write an experiment without its weights, its report, ``cells.csv``, ``published.csv`` and ``run.json``.

    ``folder`` is an experiment of its own: ``leaderboard``, ``compare`` and ``report`` read it, down to each episode.
    ``cells.csv`` has each cell's status, digests and a few numbers; ``published.csv`` what the papers report beside
    what came out, where there is anything; ``run.json`` the command, the grid and the environment; ``cost.json`` time
    and memory, where they were measured.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    target = Path(folder)
    report = write_report(results, target)
    for place in report.files:
        if place.suffix in LEFT_OUT:
            place.unlink()
    experiments = report.experiments
    rows = experiments.rows
    kept = [name for name in rows.columns if name in COLUMNS or name.startswith(("digest.", "test_"))]
    for name, table in {"cells.csv": rows[kept], "published.csv": _published(experiments)}.items():
        if len(table):
            (target / name).write_text(to_csv(table, "%.6g"), encoding="utf-8")
    where = [json.loads(text) for text, _ in environments(experiments)]
    run = {"command": command, "grids": experiments.grids[0], "environment": where}
    (target / "run.json").write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(target / "cells", ignore_errors=True)
    with TemporaryDirectory() as temporary:
        archive = Path(temporary) / "cells.zip"
        write_archive(results, archive, weights=False)
        read_archive(archive, target)
    return sorted(target.iterdir())


def _published(experiments: Experiments) -> pd.DataFrame:
    if set(experiments.board["dataset"]) == {"sinusoid"}:
        return sinusoid_table(experiments.episodes)
    return beside(experiments.board, cells_of_board(experiments.rows, experiments.folders))


def main() -> None:
    """Read the experiment's folder, the folder to write to and the command from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="the experiment's folder")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("command", help="the command that made the experiment")
    options = parser.parse_args()
    for place in write_reference(options.results, options.folder, options.command):
        print(place)


if __name__ == "__main__":
    main()
