"""The published files of texts: what is read, what is left out, and what is refused."""

from __future__ import annotations

import itertools
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets import DATASETS, DataNotFound, UserError, arsc, banking77, cldr_names, clinc150, load
from datasets.core.derived import AcrossDomains
from datasets.core.episodes import SPLITS, Shape
from datasets.core.errors import BadData
from datasets.maintenance.licences import licence_of
from datasets.splits.arsc import SMALL_TRAIN, TEST, files_of
from datasets.storage.paths import data_root
from datasets.storage.publishers import PUBLICATIONS
from datasets.text.dataset import TextDataset, class_names_of
from datasets.text.distinct import key
from tests.datasets.text.toy import made, write_arsc, write_banking, write_clinc

pytestmark = pytest.mark.usefixtures("user_cache")
REAL = ("clinc150", "banking77", "arsc-small")


def texts_of(dataset: TextDataset) -> dict[str, dict[str, list[str]]]:
    return {
        split: {
            dataset.class_names[number]: [pool.text(i) for i in range(pool.offsets[c], pool.offsets[c + 1])]
            for c, number in enumerate(pool.class_ids)
        }
        for split, pool in dataset.pools.items()
    }


def assert_no_leak(dataset: TextDataset) -> None:
    splits = [
        {key(text, 10**6) for of_class in texts_of(dataset)[split].values() for text in of_class} for split in SPLITS
    ]
    for one, other in itertools.combinations(splits, 2):
        assert not one & other
    names = [set(texts_of(dataset)[split]) for split in SPLITS]
    assert sum(map(len, names)) == len(set().union(*names)) == len(dataset.class_names)


def test_clinc_is_split_by_domain_and_shared_requests_are_left_out(tmp_path: Path) -> None:
    usual = json.loads(write_clinc(tmp_path / "a").read_text())["train"]
    more = [["Same  Request", "home_intent"], ["same request", "work_intent"], ["HOME please 0", "home_intent"]]
    write_clinc(tmp_path / "b", {"train": usual[:30], "val": more, "test": usual[30:]})
    first, second = (clinc150.load(tmp_path / name) for name in "ab")
    assert isinstance(first, TextDataset)
    assert isinstance(second, TextDataset)
    assert first.fingerprint == second.fingerprint  # what is shared or repeated is left out
    domains = {split: {name.split("/")[0] for name in texts_of(second)[split]} for split in SPLITS}
    assert domains == {split: set(names) for split, names in clinc150.DOMAINS.items()}
    assert texts_of(second)["train"]["home/home_intent"] == [f"home please {i}" for i in range(4)]
    assert_no_leak(second)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ({"train": [["hello", "unheard_of"]]}, "request 0 of train has no intent of domains.json"),
        ({"val": [["", "home_intent"]]}, "request 0 of val has no text"),
        ({"val": [["\ud800", "home_intent"]]}, "request 0 of val is not valid Unicode"),
        ({"test": [["three", "home_intent", 1]]}, "another form than CLINC150's"),
        ({"test": 7}, "another form than CLINC150's"),
        ({"train": []}, "has no intents of the train domains"),
    ],
)
def test_clinc_of_another_form_is_refused(requests: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_clinc(tmp_path, requests)
    with pytest.raises(BadData, match=message) as caught:
        clinc150.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff", b"[]"])
def test_json_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    write_clinc(tmp_path).write_bytes(content)
    with pytest.raises(BadData, match="data_full"):
        clinc150.load(tmp_path)


def test_banking_joins_the_two_files_and_splits_the_intents(tmp_path: Path) -> None:
    write_banking(tmp_path, b'"TRAIN, is it 0 of 0?",intent_0\n"two\nlines",intent_1\n')
    dataset = banking77.load(tmp_path)
    assert isinstance(dataset, TextDataset)
    texts = texts_of(dataset)
    assert sorted(name for of_split in texts.values() for name in of_split) == [f"intent_{c}" for c in range(6)]
    everything = {name: own for of_split in texts.values() for name, own in of_split.items()}
    assert len(everything["intent_0"]) == 6  # the repeated question counts once
    assert "two lines" in everything["intent_1"]
    assert_no_leak(dataset)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (b'"",intent_0\n', "line 20 has no text"),
        (b"one column\n", "line 20 has 1 columns"),
        (b'"open,intent_0\n', "no CSV"),
        (b"\xff,intent_0\n", "line 20 is not valid UTF-8"),
        (b"x" * 200_000 + b",intent_0\n", "no CSV"),
        (b"a\0b,intent_0\n", None),
        (b"x" * 100_000 + b",intent_0\n", None),
    ],
)
def test_odd_lines_of_a_csv_are_read_or_refused_by_their_number(
    last: bytes, message: str | None, tmp_path: Path
) -> None:
    write_banking(tmp_path, last)
    if message is None:
        dataset = banking77.load(tmp_path)
        assert isinstance(dataset, TextDataset)
        own = next(of_split["intent_0"] for of_split in texts_of(dataset).values() if "intent_0" in of_split)
        assert own[-1] in ("a b", "x" * banking77.LONGEST)
        return
    with pytest.raises(BadData, match=message) as caught:
        banking77.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_arsc_has_published_support_sets_and_episodes_of_one_task(tmp_path: Path) -> None:
    write_arsc(tmp_path, shared="Shared review")
    dataset = arsc.load_small(tmp_path)
    assert isinstance(dataset, TextDataset)
    assert_no_leak(dataset)
    texts = texts_of(dataset)
    assert texts["test"]["books.t4/good"][:5] == [f"books train ok {i}" for i in range(5)]
    assert texts["test"]["books.t4/good"][-1] == "Shared review"
    assert "Shared review" not in texts["train"]["apparel.t4/good"]
    stream = dataset.stream("test", Shape(2, 5, 4), 0)
    identity = stream.identity(range(40))
    np.testing.assert_array_equal(identity[..., 2:7], np.broadcast_to(np.arange(5), (40, 2, 5)))
    assert (identity[..., 7:] >= 5).all()
    tasks = {tuple(sorted(dataset.class_names[c].split("/")[0] for c in classes)) for classes in identity[..., 0]}
    assert all(one == other for one, other in tasks)
    assert len(tasks) == 12
    train = dataset.stream("train", Shape(2, 5, 5), 0).identity(range(20))
    assert len(np.unique(train[..., 2])) > 3  # drawn, and not fixed
    with pytest.raises(UserError, match="are published: 5 texts a class; use 5 shots, not 1"):
        dataset.stream("test", Shape(2, 1, 4), 0)
    with pytest.raises(UserError, match="3-way episodes within one task need 3 classes, but the largest task of the"):
        dataset.stream("test", Shape(3, 5, 4), 0)


def test_arsc_is_read_from_its_archive_too_and_needs_all_files(tmp_path: Path) -> None:
    folder = write_arsc(tmp_path)
    with pytest.raises(DataNotFound, match=r"arsc needs .*music.t2.train; run: python -m bench data fetch arsc"):
        arsc.load(tmp_path)
    (tmp_path / "packed" / "text").mkdir(parents=True)
    with tarfile.open(tmp_path / "packed" / arsc.ARCHIVE, "w:xz") as archive:
        archive.add(folder, "arsc/Amazon_few_shot")
    assert arsc.load_small(tmp_path / "packed").fingerprint == arsc.load_small(tmp_path).fingerprint
    (folder / "books.t2.train").write_text("one\t1\n")
    with pytest.raises(BadData, match=r"books.t2.train has not 5 reviews of each label"):
        arsc.load_small(tmp_path)
    (folder / "dvd.t2.test").write_text("fine\t1\nno label\n")
    with pytest.raises(BadData, match=r"dvd.t2.test: line 2 ends in 'no label', not in a tab and 1 or -1"):
        arsc.load_small(tmp_path)


def test_languages_keep_the_names_that_no_other_has() -> None:
    names = {f"l{i}": [f"{'абв'[i % 3]} {i} {n}" for n in range(200)] for i in range(6)}
    names["few"] = ["one"]
    names["l0"] = [*names["l0"], "Shared", "other"]
    names["l1"] = [*names["l1"], "SHARED"]
    texts = cldr_names.split_by_language(names, "here")
    kept = {name: own for of_split in texts.values() for name, own in of_split.items()}
    assert set(kept) == {f"Cyrillic/l{i}" for i in range(6)}
    assert "Shared" not in kept["Cyrillic/l0"]
    assert "other" in kept["Cyrillic/l0"]
    with pytest.raises(BadData, match="here has 1 languages with 200 names of their own"):
        cldr_names.split_by_language({"l0": names["l0"]}, "here")


def test_languages_are_shown_by_their_english_names() -> None:
    pytest.importorskip("babel")
    shown = cldr_names.english(["Latin/gsw", "Latin/de", "Latin/no-such"])
    assert shown == {"Latin/gsw": "Latin/Swiss German", "Latin/de": "Latin/German"}
    dataset = replace(made("toy"), shown=lambda names: {"a/00": "a/first", "b/13": "b/last"})
    names = class_names_of(dataset)
    assert (names[0], names[1], names[13]) == ("a/first", "b/01", "b/last")
    assert dataset.class_names[0] == "a/00"
    assert class_names_of(AcrossDomains("pair", made("toy"), dataset)) == names


def test_without_babel_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cldr_names, "find_spec", lambda name: None)
    with pytest.raises(DataNotFound, match="cldr-names needs the package babel; install it: uv sync --extra text"):
        cldr_names.load(tmp_path)


def test_files_and_publications_agree() -> None:
    for name, files in {
        "clinc150": clinc150.FILES,
        "banking77": banking77.FILES,
        "arsc-small": [f"{arsc.FOLDER}/{file}" for file in files_of(SMALL_TRAIN)],
    }.items():
        assert [remote.path for remote in PUBLICATIONS[name].files] == list(files)
    assert licence_of("arsc") == "none stated (https://github.com/Gorov/DiverseFewShot_Amazon)"
    assert "Unicode License" in licence_of("cldr-names-within-script")
    assert all("text" in DATASETS[name].traits for name in ("cldr-names", *REAL))


@pytest.mark.parametrize("name", REAL)
def test_the_published_files_have_no_text_in_two_splits(name: str) -> None:
    try:
        dataset = load(name, data_root())
    except DataNotFound as error:
        pytest.skip(str(error))
    assert isinstance(dataset, TextDataset)
    assert dataset.fingerprint == PUBLICATIONS[name].fingerprint
    if (
        name != "arsc-small"
    ):  # its labels of a review depend on the task; the cache itself refuses what is in two splits
        assert_no_leak(dataset)
    else:
        assert {dataset.class_names[c].split(".")[0] for c in dataset.pools["test"].class_ids} == set(TEST)
