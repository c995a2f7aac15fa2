"""A finished experiment for ``results/reference``: its report, its digests, the command, the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from bench.analysis.experiments import Evidence
from bench.analysis.published import beside, sinusoid_table
from bench.report.escaping import to_csv
from bench.report.provenance import environments
from bench.report.write import write_report

COLUMNS = ("cell", "status", "message", "outer_steps", "selected_outer_step", "train_seconds", "peak_mib")
LEFT_OUT = (".svg", ".parquet", ".tex")  # made from the same numbers; they would only weigh on the repository


def write_reference(results: Path | str, folder: Path | str, command: str) -> list[Path]:
    """Write the report, ``cells.csv``, ``published.csv`` and ``run.json`` to ``folder``.

    ``cells.csv`` has each cell's status, digests and a few numbers; ``published.csv`` what the papers report beside
    what came out, where there is anything; ``run.json`` the command, the grid and the environment. Weights and
    per-episode rows stay in the results.

    Raises:
        UserError: there are no results, or they cannot be compared.
    """
    target = Path(folder)
    report = write_report(results, target)
    for place in report.files:
        if place.suffix in LEFT_OUT:
            place.unlink()
    evidence = report.evidence
    rows = evidence.rows
    kept = [name for name in rows.columns if name in COLUMNS or name.startswith(("digest.", "test_"))]
    for name, table in {"cells.csv": rows[kept], "published.csv": _published(evidence)}.items():
        if len(table):
            (target / name).write_text(to_csv(table, "%.6g"), encoding="utf-8")
    where = [json.loads(text) for text, _ in environments(evidence)]
    run = {"command": command, "grid": evidence.grids[0][0], "environment": where}
    (target / "run.json").write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return sorted(target.iterdir())


def _published(evidence: Evidence) -> pd.DataFrame:
    if set(evidence.board["dataset"]) == {"sinusoid"}:
        return sinusoid_table(evidence.episodes)
    return beside(evidence.board)
