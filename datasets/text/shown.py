"""Episodes of texts as lines, to be checked by eye."""

from __future__ import annotations

from collections.abc import Iterator

from datasets.core.episodes import Dataset, Shape, Split
from datasets.text.dataset import class_names_of, episode_texts


def episode_lines(dataset: Dataset, split: Split, shape: Shape, episodes: int, seed: int = 0) -> Iterator[str]:
    """Yield the first episodes of a stream: a heading each, then class by class the support texts and the queries."""
    batch = dataset.stream(split, shape, seed).batch(range(episodes))
    names = class_names_of(dataset)
    for i in range(episodes):
        yield f"episode {i} of {dataset.name} {split}: {shape.n_way}-way {shape.n_shot}-shot"
        for number, texts in zip(batch.class_ids[i], episode_texts(dataset, split, batch.identity[i]), strict=True):
            yield f"  {names[number]}"
            for place, text in enumerate(texts):
                yield f"    {'support' if place < shape.n_shot else 'query  '}  {text}"
