"""Small datasets of texts, in memory and as the published files are laid out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.core.episodes import Split
from datasets.splits.arsc import SMALL_TRAIN, TEST, THRESHOLDS, VAL
from datasets.text.dataset import TextDataset, TextPool
from datasets.text.tokens import Tokens

WORDS = ("sol", "luna", "mar", "rio", "pan", "vino", "casa", "gato")
LONGEST = 64


def pool_of(texts: Sequence[Sequence[str]], first_class: int, n_support: int = 0) -> TextPool:
    """A pool of these texts by class."""
    flat = [text.encode() for of_class in texts for text in of_class]
    array = np.zeros((len(flat), LONGEST), dtype=np.uint8)
    for row, text in zip(array, flat, strict=True):
        row[: len(text)] = np.frombuffer(text, dtype=np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(of_class) for of_class in texts])]).astype(np.int64)
    return TextPool(array, offsets, np.arange(first_class, first_class + len(texts)), n_support)


def made(name: str = "toy", tokens: Tokens | None = None, **changes: object) -> TextDataset:
    """Five classes a split of ten texts each, of which every one names its class in a word of its own."""
    pools: dict[Split, TextPool] = {}
    for place, split in enumerate(("train", "val", "test")):
        texts = [
            [f"{WORDS[c % 8]}{place}{c} {WORDS[(c + i) % 8]} {i}" for i in range(10)]
            for c in range(5 * place, 5 * place + 5)
        ]
        pools[split] = pool_of(texts, 5 * place)  # type: ignore[index]
    names = tuple(f"{'ab'[c % 2]}/{c:02d}" for c in range(15))
    tokens = tokens or Tokens("ngrams", 24, 64)
    return TextDataset(name, "f" * 64, pools, names, tokens, **changes).tokenized(tokens)  # type: ignore[arg-type]


def write_clinc(root: Path, requests: Mapping[str, Sequence[Sequence[str]]] | None = None) -> Path:
    """CLINC150's files with an intent a domain and four requests each; returns the first of them."""
    folder = root / "text" / "clinc150"
    folder.mkdir(parents=True)
    domains = [
        "banking",
        "credit_cards",
        "home",
        "kitchen_and_dining",
        "utility",
        "auto_and_commute",
        "small_talk",
        "meta",
        "travel",
        "work",
    ]
    usual = [[f"{domain} please {i}", f"{domain}_intent"] for domain in domains for i in range(4)]
    parts = {"train": usual, "val": [], "test": [], "oos_test": [["nothing", "oos"]]} | dict(requests or {})
    (folder / "domains.json").write_text(json.dumps({domain: [f"{domain}_intent"] for domain in domains}))
    (folder / "data_full.json").write_text(json.dumps(parts))
    return folder / "data_full.json"


def write_banking(root: Path, last: bytes = b"") -> Path:
    """Banking77's files with six intents, and more bytes at the end of the second one, whose path is returned."""
    folder = root / "text" / "banking77"
    folder.mkdir(parents=True)
    header = "text,category\n"
    for part in ("train", "test"):
        lines = [f'"{part}, is it {i} of {c}?",intent_{c}\n' for c in range(6) for i in range(3)]
        (folder / f"{part}.csv").write_bytes((header + "".join(lines)).encode() + (last if part == "test" else b""))
    return folder / "test.csv"


def write_arsc(root: Path, shared: str = "") -> Path:
    """ARSC's files with twelve reviews of each label, and ``shared`` among those of train and test; the folder."""
    folder = root / "text" / "arsc"
    folder.mkdir(parents=True)
    for domain in (*SMALL_TRAIN, *VAL, *TEST):
        for threshold in THRESHOLDS:
            for part, n in (("train", 5 if domain in TEST else 12), ("test", 8)):
                lines = [
                    f"{domain} {part} {word} {i}\t{label}" for word, label in (("ok", 1), ("no", -1)) for i in range(n)
                ]
                if shared and (domain, part) in (("apparel", "train"), ("books", "test")):
                    lines.append(f"{shared}\t1")
                (folder / f"{domain}.{threshold}.{part}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
