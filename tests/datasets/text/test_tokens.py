"""Normal forms and tokenizers: stated, deterministic, of meta-train alone, and total on whatever a line may hold."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from datasets.core.derived import AcrossDomains
from datasets.core.episodes import Shape
from datasets.core.errors import BadData
from datasets.text.dataset import TextDataset, tokenized
from datasets.text.normal_form import checked, cut, decoded, folded, normal
from datasets.text.tokens import UNKNOWN, Counted, Tokens, fitted, ngrams, words
from tests.datasets.text.toy import made, pool_of

KINDS = ["ngrams", "words", "characters"]
LINES = {
    "right to left": "\u200fשלום עולם 12",
    "combining": "e\u0301a\u0308n\u0303",
    "emoji": "👩\u200d🚀 ok 🏳️",
    "long": "word " * 20_000,
    "long word": "x" * 100_000,
    "nul": "a\0b",
    "blank": " \t\r\n",
}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_normal_forms_are_stable(text: str) -> None:
    stored = normal(text)
    assert normal(stored) == stored
    assert unicodedata.is_normalized("NFC", stored)
    assert folded(folded(stored)) == folded(stored)
    assert "\0" not in stored


def test_normal_forms_join_what_reads_alike() -> None:
    assert normal("Cafe\u0301") == normal("Café")
    assert folded("STRASSE") == folded("straße")
    assert normal("a\0b\u0085c\x7f d") == "a b c d"
    assert normal("ﬁn") == "ﬁn"  # compatibility forms are kept as they are
    assert folded("ﬁn") == "fin"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 12))
def test_a_text_is_cut_between_characters(text: str, longest: int) -> None:
    kept = cut(normal(text), longest)
    assert len(kept) <= longest
    assert normal(text).startswith(kept.decode())


def test_a_mark_is_not_parted_from_its_base_unless_it_has_marks_without_end() -> None:
    assert cut("ab\u0323\u0307c", 4) == b"a"
    assert cut("a" + "\u0323" * 9, 5) == ("a" + "\u0323" * 2).encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", LINES)
def test_every_line_gives_a_row_of_ids(kind: str, line: str) -> None:
    tokens = Tokens(kind, 16, 50)  # type: ignore[arg-type]
    tokenizer = fitted(tokens, lambda: ["some text", normal(LINES[line])])
    alone, beside = tokenizer([LINES[line]]), tokenizer(["other", LINES[line]])
    assert alone.shape == (1, 16)
    assert alone.min() >= 0
    assert alone.max() < 50
    np.testing.assert_array_equal(alone[0], beside[1])
    assert (alone == 0).all() == (line == "blank")
    assert (np.diff((alone[0] == 0).astype(int)) >= 0).all(), "padding stands on the right"


def test_words_of_all_scripts_keep_their_marks() -> None:
    assert words("नमस्ते दुनिया!") == ["नमस्ते", "दुनिया", "!"]
    assert words("שלום, עולם") == ["שלום", ",", "עולם"]
    assert words("snake_case 3.5€") == ["snake_case", "3", ".", "5", "€"]


@pytest.mark.parametrize("text", ["What's my balance?", "a", "Über ß \u0939\u093f"])
def test_ngrams_are_those_of_scikit_learn(text: str) -> None:
    analyze = CountVectorizer(analyzer="char_wb", ngram_range=(1, 3), lowercase=False).build_analyzer()
    own = [gram for word in folded(normal(text)).split() for gram in ngrams(word)]
    assert Counter(own) == Counter(analyze(folded(normal(text))))


def test_the_vocabulary_is_the_most_frequent_tokens_of_meta_train_alone() -> None:
    dataset = made(tokens=Tokens("words", 8, 12))
    tokenizer = dataset.pools["test"].tokenizer
    assert isinstance(tokenizer, Counted)
    train = Counter(word for index in range(50) for word in words(dataset.pools["train"].text(index)))
    ranked = sorted(train, key=lambda word: (-train[word], word))[:10]
    assert dict(tokenizer.ids) == {word: place for place, word in enumerate(ranked, start=2)}
    own = dataset.pools["test"].text(0).split()[0]
    assert own not in train
    assert tokenizer([own])[0, 0] == UNKNOWN


def test_other_splits_change_no_id() -> None:
    dataset = made()
    changed = TextDataset(
        "toy",
        "e" * 64,
        {**dataset.pools, "val": pool_of([["new words"] * 4] * 5, 5), "test": pool_of([["sol sol sol"] * 4] * 5, 10)},
        dataset.class_names,
        dataset.tokens,
    )
    for kind in ("words", "characters"):
        ids = [d.tokenized(Tokens(kind, 8, 40)).pools["train"].tokenizer.ids for d in (dataset, changed)]  # type: ignore[union-attr,arg-type,attr-defined]
        assert ids[0] == ids[1]


def test_a_dataset_that_is_only_tested_gets_the_vocabulary_of_the_one_that_trains() -> None:
    pair = AcrossDomains("a-to-b", made("a"), made("b"))
    spoken = tokenized(pair, Tokens("words", 8, 12))
    assert isinstance(spoken, AcrossDomains)
    assert isinstance(spoken.tested, TextDataset)
    assert isinstance(spoken.trained, TextDataset)
    assert spoken.tested.pools["test"].tokenizer is spoken.trained.pools["train"].tokenizer


def test_episodes_are_the_same_whatever_the_tokens() -> None:
    streams = [made(tokens=Tokens(kind, 8, 40)).stream("test", Shape(3, 1, 2), 0) for kind in KINDS]  # type: ignore[arg-type]
    for other in streams[1:]:
        np.testing.assert_array_equal(streams[0].identity(range(9)), other.identity(range(9)))
    batch = streams[1].batch([4])
    assert str(batch.support.x.dtype) == "torch.int64"
    assert batch.query_x.shape == (1, 6, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no text"), (" \0\t", "has no text"), ("a\ud800", "is not valid Unicode: 'a")],
)
def test_lines_without_text_are_refused_by_their_place(text: str, message: str) -> None:
    with pytest.raises(BadData, match=f"file: line 3 {message}") as caught:
        checked([(text, "file: line 3")])
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_utf8_are_refused_by_their_line() -> None:
    with pytest.raises(BadData, match=r"some\.csv: line 2 is not valid UTF-8"):
        decoded(b"fine\n\xff\xfe\n", Path("some.csv"))
    assert decoded("\ufeffé".encode(), Path("some.csv")) == "é"
