"""``bench list``."""

from __future__ import annotations

import pytest

from tests.bench.helpers import Main


def test_list_names_everything_with_its_paper(main: Main) -> None:
    code, out, err = main("list")
    assert (code, err) == (0, "")
    for name in ("maml", "fomaml", "reptile", "meta-sgd", "finetune", "sinusoid", "glyphs", "mini-imagenet", "smoke"):
        assert name in out
    assert "arXiv 1703.03400" in out


def test_list_shows_what_an_import_registers(main: Main, failing: str) -> None:
    assert "a test: hungry" in main("list", "--import", failing)[1]


DETAILS = {
    "maml": ("Finn et al. 2017", "inner_lr", "0.0001 to 0.01 (log)", "test_steps", "presets", "omniglot", "20-way"),
    "glyphs": ("dataset glyphs: ", "kind: classification", "input: 1 x 28 x 28", "bench data show glyphs"),
    "sinusoid": ("kind: regression", "input: 1\n", "traits: sinusoids"),
    "resnet12": ("Lee et al. 2019", "channels  ", "[64, 160, 320, 640]", "a list", "filters of each block", "dropout"),
    "conv4": ("network conv4: ", "stride or max-pool", "true or false", "network: {name: conv4}"),
    "smoke": ("grid smoke: ", "10 cells", "maml, fomaml, reptile", "200 episodes", "outer_lr=0.003", "episodes=4000"),
}


@pytest.mark.parametrize("name", DETAILS)
def test_one_of_them_is_shown_in_detail(main: Main, name: str) -> None:
    code, out, err = main("list", name)
    assert (code, err) == (0, "")
    assert [words for words in DETAILS[name] if words not in out] == []


def test_an_unknown_name_suggests_the_nearest_of_all(main: Main) -> None:
    code, out, err = main("list", "glyph")
    assert (code, out) == (2, "")
    assert "unknown name 'glyph', did you mean 'glyphs'?" in err
    assert "--import" in err
