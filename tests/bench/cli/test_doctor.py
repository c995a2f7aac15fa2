"""``bench doctor``."""

from __future__ import annotations

from pathlib import Path

from tests.bench.helpers import Main


def test_doctor_says_what_is_there_and_how_to_get_the_rest(main: Main, tmp_path: Path) -> None:
    code, out, err = main("doctor", "--data-root", tmp_path)
    assert (code, err) == (0, "")
    for name in ("python", "torch", "memory", "gpus", "threads", "data root", "data: glyphs", "data: omniglot"):
        assert name in out
    assert "python -m bench data fetch omniglot" in out
    assert f"{tmp_path}" in out
    assert "found, fingerprint" in out


def test_doctor_goes_on_where_data_is_damaged(main: Main, tmp_path: Path) -> None:
    (tmp_path / "omniglot").mkdir()
    for part in ("small1", "small2"):
        (tmp_path / "omniglot" / f"images_background_{part}.zip").write_text("no zip")
    code, out, err = main("doctor", "--data-root", tmp_path)
    assert (code, err) == (0, "")
    assert "images_background_small1.zip" in out
    assert "data: mini-imagenet" in out
