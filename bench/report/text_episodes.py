"""The first test episodes of a dataset of texts: support and query texts, and what each algorithm predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.analysis.experiments import Experiments, Section
from bench.protocol.evaluation import adapted_outputs
from bench.protocol.setup import EVALUATION_SEED, test_shape
from bench.report.figures.difficulty import short_name
from bench.store.store import read_cell, read_state
from datasets.core.episodes import Dataset
from datasets.text.dataset import class_names_of, episode_texts, tokenized

EPISODES = 2
SUPPORTS = 2  # shown per class
QUERIES = 1
LONGEST = 160  # characters of a text


@dataclass(frozen=True)
class Prediction:
    """The class that an algorithm predicts for a query, and whether it is the right one."""

    label: str
    right: bool


@dataclass(frozen=True)
class TextLine:
    """A text of an episode with the name of its class; the predictions, by algorithm, are of a query."""

    label: str
    role: str
    text: str
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class TextEpisode:
    """An episode with its lines, class by class, and the algorithms that predict."""

    number: int
    algorithms: tuple[str, ...]
    lines: tuple[TextLine, ...]


def text_episodes(experiments: Experiments, section: Section, dataset: Dataset) -> list[TextEpisode]:
    """Return the first test episodes with the predictions of the first seed's selected weights after the last step.

    Algorithms that are not registered here are left out.
    """
    if not section.algorithms:
        return []
    shape = test_shape(read_cell(experiments.first_folder(section, section.algorithms[0])))
    batch = dataset.stream("test", shape, EVALUATION_SEED).batch(range(EPISODES))
    labels: dict[str, Any] = {}
    for name, cell, folder in experiments.adaptable(section):
        if cell.text is None:
            continue
        own = tokenized(dataset, cell.text.form)
        query_x = own.stream("test", shape, EVALUATION_SEED).batch(range(EPISODES)).query_x
        _, outputs = adapted_outputs(cell, own, read_state(folder), range(EPISODES), query_x)
        *_, (_, last) = outputs
        labels[name] = last.argmax(dim=-1).tolist()
    names, episodes = class_names_of(dataset), []
    for i in range(EPISODES):
        texts = episode_texts(dataset, "test", batch.identity[i])
        own_names = [short_name(names[number], LONGEST) for number in batch.class_ids[i]]
        lines = []
        for c, (label, of_class) in enumerate(zip(own_names, texts, strict=True)):
            lines += [TextLine(label, "support", _short(text), ()) for text in of_class[: shape.n_shot][:SUPPORTS]]
            for q, text in enumerate(of_class[shape.n_shot :][:QUERIES]):
                predicted = [of_name[i][c * shape.n_query + q] for of_name in labels.values()]
                predictions = tuple(Prediction(own_names[place], place == c) for place in predicted)
                lines.append(TextLine(label, "query", _short(text), predictions))
        episodes.append(TextEpisode(i, tuple(labels), tuple(lines)))
    return episodes


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
