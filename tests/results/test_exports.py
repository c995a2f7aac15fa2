"""The exported learners of the reference results: they load, and know characters that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bench
from datasets import load
from datasets.core.episodes import Shape
from tests.bench.helpers import ROOT

EXPORTS = sorted(Path(ROOT / "results/reference/exports").iterdir())


@pytest.mark.parametrize("folder", EXPORTS, ids=lambda path: path.name)
def test_an_exported_learner_tells_glyphs_apart(folder: Path) -> None:
    learner = bench.load_learner(folder)
    batch = load("glyphs").stream("test", Shape(5, 1, 5), 0).batch(range(10))
    right = []
    for i in range(10):
        learner.fit(batch.support.x[i], batch.support.y[i])
        right.append(np.mean(learner.predict(batch.query_x[i]) == batch.query_y[i].numpy()))
    assert np.mean(right) > 0.7, "guessing is right in 0.2 of the cases"
