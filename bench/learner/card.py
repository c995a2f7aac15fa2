"""The model card of an export: how the meta-state was trained, what it scored, how to use it, and whose data it is."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from algorithms import ALGORITHMS
from algorithms.core.modes import MODES
from bench.analysis.scores import read_scores
from bench.learner.trained import Trained
from bench.report.escaping import in_markdown
from bench.report.networks import network_of
from bench.stats import Interval, crossed, new_classes
from bench.store.records import Record
from bench.store.store import OWNER
from bench.store.tables import EPISODES
from datasets.maintenance.licences import licence_of

MOST_COLUMNS = 20  # of a table, by name
HEAD = "| metric | mean | 95% interval, these classes | 95% interval, new classes |\n| --- | --- | --- | --- |"


def card(trained: Trained, record: Record) -> str:
    """Return the card as Markdown.

    Args:
        trained: the meta-state.
        record: of the finished cell, with its tables.
    """
    cell, algorithm = trained.cell, ALGORITHMS[trained.cell.algorithm]
    title = in_markdown(f"{cell.algorithm} on {cell.dataset}, {trained.shape}")
    budget = f"{cell.train.episodes:,} episodes" if cell.train.episodes else f"{cell.train.seconds:g} seconds"
    rows = [
        ("algorithm", f"{cell.algorithm} ({algorithm.paper})"),
        ("data", f"{cell.dataset}, fingerprint {str(record.row.get('digest.dataset', 'not recorded'))[:16]}"),
        ("input", _input(trained)),
        ("network", network_of(cell)),
        ("parameters", f"{record.row.get('parameters', 'not recorded')}"),
        ("hyper-parameters", ", ".join(f"{name}={value}" for name, value in cell.hparams.items())),
        ("training", f"{budget}, seed {cell.seed}, outer step {record.row.get('selected_outer_step')} selected"),
        ("test", f"{cell.evaluation.test_episodes:,} episodes, {cell.evaluation.n_query} queries per class"),
        ("test episodes", f"digest {str(record.row['digest.test'])[:16]}"),
        ("cell", cell.id),
    ]
    table = "\n".join(f"| {name} | {in_markdown(value)} |" for name, value in rows)
    return f"""# {title}

A few-shot learner of the meta-learning bench: a meta-state that adapts to a new task from a small support set. It was
trained for {trained.shape.split(" (")[0]} tasks.

```python
import bench

learner = bench.load_learner("this folder")
learner.fit(support_x, support_y)
learner.predict(query_x)
```

## How it was trained and tested

| | |
| --- | --- |
{table}

## Scores

Of this one checkpoint on the fixed test episodes of the protocol, after the last of its test steps.

{HEAD}
{chr(10).join(_scores(trained, record))}

`transductive` normalizes the queries of an episode together, `inductive` by the support set's statistics. Scores of
one checkpoint say nothing of how other trainings come out.

## Licence

Training data: {in_markdown(licence_of(cell.dataset))}. The code is under the MIT licence.
"""


def _input(trained: Trained) -> str:
    text = trained.form.text
    if text is not None:
        return f"texts, as {text.tokens} of {text.length} tokens with {text.vocabulary} ids"
    if trained.form.table is not None:
        names = [column.name for column in trained.form.table.features]
        listed = ", ".join(names[:MOST_COLUMNS]) + (", ..." if len(names) > MOST_COLUMNS else "")
        return f"rows of {len(names)} columns, in the units of the table: {listed}"
    return " x ".join(map(str, trained.form.input_shape)) + _preprocessing(trained)


def _preprocessing(trained: Trained) -> str:
    if not trained.form.is_image:
        return ""
    return ", values in [0, 1]" + (", ink 1 on paper 0 (image files are inverted)" if trained.form.drawings else "")


def _scores(trained: Trained, record: Record) -> Iterator[str]:
    """Yield a row of the table for each metric of the test episodes."""
    episodes: pd.DataFrame = record.tables[EPISODES].to_pandas()
    for place, column in enumerate(OWNER):
        episodes.insert(place, column, record.row[column])
    modes = MODES if trained.form.kind == "classification" else MODES[:1]
    for mode in modes:
        for scores in read_scores(episodes, mode):
            values, scale = scores.table(record.row["algorithm"]), 1.0
            if scores.higher_is_better:
                scale = 100.0
            known = crossed(values).interval()
            new = "" if scores.class_ids is None else _between(new_classes(values, scores.class_ids).interval(), scale)
            name = scores.metric.replace("_", " ") + (" %" if scores.higher_is_better else "")
            yield f"| {name} | {scale * known.mean:.4g} | {_between(known, scale)} | {new} |"


def _between(interval: Interval, scale: float) -> str:
    if interval.low != interval.low:
        return "too little data"
    return f"{scale * interval.low:.4g} to {scale * interval.high:.4g}"
