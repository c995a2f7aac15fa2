"""Changes to a stored cell, by a failing disk or on purpose: each differs from what was written."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.helpers import describe_anew

Attack = Callable[[Path], None]  # on a finished cell's folder
DEEP = "[" * 100_000


def _text(name: str, text: str) -> Attack:
    return lambda folder: (folder / name).write_text(text) and None


def _json(name: str, change: Callable[[dict[str, Any]], object]) -> Attack:
    """Change the content in place, and have the result describe what came of it."""

    def attack(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))
        if name == "cell.json":
            describe_anew(folder)

    return attack


def _result(**changes: Any) -> Attack:
    return _json("result.json", lambda content: content.update(changes))


def _summary(**changes: Any) -> Attack:
    return _json("result.json", lambda content: content["summary"].update(changes))


def _without(*names: str) -> Attack:
    def change(content: dict[str, Any]) -> None:
        for name in names[:-1]:
            content = content[name]
        del content[names[-1]]

    return _json("result.json", change)


def _instead(name: str, put: Callable[[Path], object]) -> Attack:
    """Something else than a regular file in the place of one."""

    def attack(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        put(folder / name)

    return attack


def _table(name: str, change: Callable[[pd.DataFrame], object]) -> Attack:
    """Another table, which the result describes."""

    def attack(folder: Path) -> None:
        found = pq.read_table(folder / name).to_pandas()
        changed = change(found)
        table = changed if isinstance(changed, pa.Table) else pa.Table.from_pandas(changed, preserve_index=False)
        sink = io.BytesIO()
        pq.write_table(table, sink)
        (folder / name).write_bytes(sink.getvalue())
        describe_anew(folder)

    return attack


def _weights(content: bytes) -> Attack:
    def attack(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)
        describe_anew(folder)

    return attack


def _failed(**changes: Any) -> Attack:
    """A failure in the place of the result, with other contents than any that was written."""

    def attack(folder: Path) -> None:
        usual = {"schema_version": 1, "kind": "error", "message": "no luck", "traceback": "", "attempt": 1}
        content = usual | {"elapsed_seconds": 1.0, "peak_mib": None, "log": ""} | changes
        (folder / "failure.json").write_text(json.dumps(content))

    return attack


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def _ragged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(class_ids=[np.arange(1 + row % 2) for row in range(len(frame))])


EPISODES, CURVE = "episodes.parquet", "curve.parquet"
DAMAGE: Mapping[str, Attack] = {
    "result nested without end": _text("result.json", DEEP),
    "cell nested without end": _text("cell.json", DEEP),
    "result nested deeply": _result(summary={"test": _nested(300)}),
    "environment nested deeply": _result(environment={"packages": {}, "a": _nested(300)}),
    "result a list": _text("result.json", "[1]"),
    "summary a list": _result(summary=[1]),
    "summary of text": _summary(peak_mib="much"),
    "summary beyond every table": _summary(peak_mib=10**400),
    "summary not finite": _summary(peak_mib=float("inf")),
    "summary of true": _summary(peak_mib=True),
    "summary with another algorithm": _summary(algorithm="evil"),
    "summary with another status": _summary(status="error"),
    "summary with a digest": _summary(**{"digest.test": "0"}),
    "summary removed": _without("summary"),
    "digest of the test episodes removed": _without("digests", "test"),
    "digest a number": _result(digests={"test": 5}),
    "environment removed": _without("environment"),
    "environment text": _result(environment="here"),
    "packages a list": _result(environment={"packages": [1]}),
    "commit a number": _result(environment={"commit": 5}),
    "files removed": _without("files"),
    "files empty": _result(files={}),
    "files text": _result(files="x"),
    "files elsewhere": _json(
        "result.json", lambda c: c["files"].update({"../../../etc/passwd": c["files"]["cell.json"]})
    ),
    "files a device": _json("result.json", lambda c: c["files"].update({"/dev/zero": c["files"]["cell.json"]})),
    "size text": _json("result.json", lambda c: c["files"]["cell.json"].update(bytes="x")),
    "size beyond every disk": _json("result.json", lambda c: c["files"]["cell.json"].update(bytes=10**400)),
    "schema true": _result(schema_version=True),
    "one more field": _result(more=1),
    "result a FIFO": _instead("result.json", os.mkfifo),
    "cell a FIFO": _instead("cell.json", os.mkfifo),
    "episodes a FIFO": _instead(EPISODES, os.mkfifo),
    "failure a FIFO": _instead("failure.json", os.mkfifo),
    "result a folder": _instead("result.json", Path.mkdir),
    "weights a device": _instead("weights.safetensors", lambda place: place.symlink_to("/dev/zero")),
    "cell a link to itself": _instead("cell.json", lambda place: place.symlink_to(place)),
    "episodes with other columns": _table(EPISODES, lambda t: t.rename(columns={"step": "steps"})),
    "episodes with one column more": _table(EPISODES, lambda t: t.assign(more=1)),
    "episodes of text": _table(EPISODES, lambda t: t.assign(episode=t["episode"].astype(str))),
    "episodes of another kind": _table(
        EPISODES, lambda t: t.drop(columns=[c for c in t if c.startswith(("n_correct", "nll"))]).assign(mse=1.0)
    ),
    "episodes twice": _table(EPISODES, lambda t: pd.concat([t, t])),
    "episodes with a gap": _table(EPISODES, lambda t: t.drop(index=3)),
    "episodes out of order": _table(EPISODES, lambda t: t[::-1]),
    "episodes with another step": _table(EPISODES, lambda t: t.assign(step=[*t["step"][:-1], 9])),
    "episodes without rows": _table(EPISODES, lambda t: t[:0]),
    "episodes without losses": _table(EPISODES, lambda t: t.assign(nll_inductive=float("nan"))),
    "episodes with missing losses": _table(
        EPISODES, lambda t: t.assign(nll_inductive=t["nll_inductive"].mask(t["step"] == 1))
    ),
    "more right than asked": _table(EPISODES, lambda t: t.assign(n_correct_inductive=t["n_query"] + 1)),
    "classes ragged": _table(EPISODES, _ragged),
    "classes of text": _table(EPISODES, lambda t: t.assign(class_ids=[["a"]] * len(t))),
    "curve of text": _table(CURVE, lambda t: t.assign(train_loss="low")),
    "curve with other columns": _table(CURVE, lambda t: t.assign(more=1)),
    "weights of nothing": _weights(b"0" * 100),
    "weights cut": _weights(b"\xff" * 8),
    "cell with a seed of text": _json("cell.json", lambda c: c.update(seed="x")),
    "cell with a seed beyond every table": _json("cell.json", lambda c: c.update(seed=10**400)),
    "cell with ways below nothing": _json("cell.json", lambda c: c.update(n_way=-5)),
    "cell with an algorithm of its own": _json("cell.json", lambda c: c.update(algorithm={"a": 1})),
    "cell without a dataset": _json("cell.json", lambda c: c.pop("dataset")),
    "failure of a kind": _failed(kind="evil"),
    "failure with a message": _failed(message=5),
    "failure with attempts": _failed(attempt="many"),
    "failure nested": _text("failure.json", DEEP),
}
