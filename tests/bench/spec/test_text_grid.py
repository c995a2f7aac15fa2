"""Datasets of texts in a grid: their networks and tokens, and what is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from bench.spec.cell import Cell
from datasets import UserError
from tests.bench.helpers import one_cell

NGRAMS = {"tokens": "ngrams", "length": 256, "vocabulary": 2048}
NINE = {"tokens": "characters", "length": 9, "vocabulary": 1024}
WORDS = {"tokens": "words", "length": 32, "vocabulary": 4096}


def cell_of(**use: Any) -> Cell:
    return one_cell(datasets=[{"name": "clinc150", "shots": [1], **use}])


@pytest.mark.parametrize(
    ("use", "network", "text"),
    [
        ({}, "text-mlp", NGRAMS),
        ({"network": {"name": "text-cnn"}}, "text-cnn", WORDS),
        ({"text": {"tokens": "words"}}, "text-mlp", WORDS),
        ({"text": {"tokens": "characters", "length": 9}}, "text-mlp", NINE),
    ],
)
def test_a_cell_has_all_that_its_tokens_are(use: dict[str, Any], network: str, text: dict[str, Any]) -> None:
    cell = cell_of(**use)
    assert cell.network.name == network
    assert cell.content["text"] == text
    assert cell.entry.input_shape == (text["length"],)
    assert cell.n_tokens == text["vocabulary"]
    assert Cell.model_validate(cell.content) == cell


def test_cells_of_images_and_numbers_say_nothing_of_tokens() -> None:
    cell = one_cell()
    assert "text" not in cell.content
    assert cell.n_tokens is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("words", r"text: got 'words'; write \{tokens: words\}; tokens are ngrams, words, characters"),
        ("wrds", r"text: got 'wrds'; write \{tokens: words\}"),
        (["words"], r"text: got \['words'\]; input should be a mapping of fields$"),
    ],
)
def test_tokens_in_another_form_are_one_line(text: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cell_of(text=text)


def test_the_episodes_of_one_script_have_a_name() -> None:
    assert cell_of(name="cldr-names", episodes={"within": "script"}).dataset == "cldr-names-within-script"
    pair = cell_of(test_on="banking77")
    assert pair.dataset == "clinc150-to-banking77"
    assert pair.content["text"] == NGRAMS


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            {"network": {"channels": 4}},
            "network: the network of these options is for numbers, but the inputs of clinc150 are ids",
        ),
        (
            {"network": {"name": "mlp"}},
            "network: mlp is for numbers, but the inputs of clinc150 are ids of tokens; use",
        ),
        ({"network": {"name": "resnet12"}}, "network 'resnet12' takes numbers, but the inputs are token ids; use one"),
        ({"name": "glyphs", "network": {"name": "text-mlp"}}, "'text-mlp' takes tokens, but the inputs are numbers"),
        ({"name": "glyphs", "text": {"tokens": "words"}}, "`text` is for datasets of texts, which glyphs is not"),
        ({"text": {"tokens": "letters"}}, "text.tokens"),
        ({"text": {"tokens": "words", "length": 0}}, "text.length"),
        ({"test_on": "glyphs"}, "clinc150 holds texts and glyphs none"),
        ({"episodes": {"within": "script"}}, "the classes of clinc150 have no scripts; leave out `within: script`"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(use: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        cell_of(**use)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
