"""Archives of cells: whole there and back, hostile ones refused in a line; merges of what belongs together."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.reproducibility.diff import differences
from bench.share import archive as archives
from bench.share.archive import read_archive, write_archive
from bench.share.contents import validate
from bench.share.merge import merge, unpack
from bench.store.cost_file import read_costs
from bench.store.store import Store, read_state
from datasets import UserError
from tests.bench.helpers import GLYPHS, Main, describe_anew, tables, tiny
from tests.bench.stats.stores import write
from tests.bench.store.store_writers import MEASURED, outcome

Files = dict[str, bytes]


def files_of(archive: Path) -> Files:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms under two seeds, one of them failed."""
    folder = tmp_path_factory.mktemp("share") / "results"
    write(folder, {"maml": 0.8, "anil": 0.7}, seeds=(0, 1), episodes=6, failed={("anil", 1): "nan"})
    Store(folder).write_experiment({"grids": [], "commands": [{"command": "x", "time": "now", "cells": 4}]})
    return folder


@pytest.fixture(scope="module")
def packed(experiment: Path) -> Path:
    file = experiment.parent / "cells.zip"
    write_archive(experiment, file)
    return file


def test_there_and_back_is_the_same(experiment: Path, packed: Path, tmp_path: Path) -> None:
    contents = unpack(packed, tmp_path / "there")
    assert not contents.problems
    assert tables(tmp_path / "there") == tables(experiment)
    assert bench.load(tmp_path / "there").equals(bench.load(experiment))
    assert Store(tmp_path / "there").experiment() == Store(experiment).experiment()
    costs = read_costs(Store(experiment))
    assert costs is not None
    assert read_costs(Store(tmp_path / "there")) == costs
    again = tmp_path / "again.zip"
    cells, digest = write_archive(tmp_path / "there", again)
    assert (cells, again.read_bytes()) == (4, packed.read_bytes())
    assert len(digest) == 64


def test_damaged_costs_are_one_line_and_leave_nothing(packed: Path, tmp_path: Path) -> None:
    file = changed(packed, tmp_path / "changed.zip", lambda files: files.update({"cost.json": b"{"}))
    with pytest.raises(UserError, match=r"cost\.json is damaged: cost\.json is not JSON"):
        unpack(file, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def changed(packed: Path, out: Path, change: Callable[[Files], object], tell: bool = True) -> Path:
    """The archive with other files; ``pack.json`` describes them where ``tell`` says so."""
    files = files_of(packed)
    change(files)
    pack = json.loads(files.pop("pack.json"))
    if tell:
        pack["files"] = archives.described(files)
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in (files | {"pack.json": json.dumps(pack).encode()}).items():
            archive.writestr(name, content)
    return out


def first(files: Files, name: str) -> str:
    return next(one for one in sorted(files) if one.endswith(name))


HOSTILE: dict[str, tuple[Callable[[Files], object], bool, str]] = {
    "path traversal": (lambda f: f.update({"../evil": b"x"}), True, "leaves the folder"),
    "an absolute path": (lambda f: f.update({"/evil": b"x"}), True, "leaves the folder"),
    "a hidden cell": (lambda f: f.update({"cells/.checkpoints/cell.json": b"x"}), True, "no file of an experiment"),
    "a program": (lambda f: f.update({"cells/maml/run.py": b"x"}), True, "no file of an experiment"),
    "a file above": (lambda f: f.update({"grid.yaml": b"x"}), True, "no file of an experiment"),
    "an untold file": (lambda f: f.update({"cells/maml/log.txt": b"x"}), False, "but not in both"),
    "a missing file": (lambda f: f.pop(first(f, "cell.json")), False, "but not in both"),
    "other bytes": (lambda f: f.update({first(f, "curve.parquet"): b"x"}), False, "not the file that pack.json"),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_archive_is_one_line(packed: Path, tmp_path: Path, attack: str) -> None:
    change, tell, message = HOSTILE[attack]
    _refused(changed(packed, tmp_path / "x.zip", change, tell), tmp_path, message)


def _refused(archive: Path, tmp_path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {archive.name}


def test_a_link_in_an_archive_is_one_line(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    shutil.copy(packed, file)
    link = zipfile.ZipInfo("cells/maml/log.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    _refused(file, tmp_path, "a link or a device")


def test_a_bomb_is_one_line(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack.json", b" " * 2**24)
    _refused(file, tmp_path, "unfold to more than its own")


def test_a_name_that_stands_twice_is_one_line(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    shutil.copy(packed, file)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr("pack.json", b"{}")
    _refused(file, tmp_path, "'pack.json' twice")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "zip"), (b"x" * 99, "zip"), (b"PK\5\6" + bytes(18), "holds no pack.json")],
)
def test_no_archive_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    _refused(file, tmp_path, message)


def test_a_cut_archive_is_one_line(packed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(packed.read_bytes()[:-40])
    _refused(file, tmp_path, "zip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pack: pack.update(schema_version=2), "newer version"),
        (lambda pack: pack.update(extra=1), "extra: unknown field"),
        (lambda pack: pack["files"].update({"a": 1}), "files.a"),
        (lambda pack: pack.clear(), "required"),
    ],
)
def test_a_description_of_another_form_is_one_line(
    packed: Path, tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    def attack(files: Files) -> None:
        pack = json.loads(files["pack.json"])
        change(pack)
        files["pack.json"] = json.dumps(pack).encode()

    _refused(changed(packed, tmp_path / "x.zip", attack, tell=False), tmp_path, message)


def test_a_description_that_is_nested_too_deep_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pack.json", "[" * 100_000)
    _refused(file, tmp_path, "pack.json is not JSON")


def _change_result(experiment: Path, pattern: str) -> None:
    """Let a cell's result describe other episodes, as if they had been written so."""
    (folder,) = experiment.glob(f"cells/{pattern}")
    shutil.copy(next(experiment.glob("cells/anil*seed0*")) / "episodes.parquet", folder / "episodes.parquet")
    describe_anew(folder)


def test_what_is_wrong_with_cells_is_told(experiment: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(experiment, tmp_path / "mine")
    cell = next(mine.glob("cells/maml*seed0*"))
    cell.rename(cell.with_name(cell.name.replace("seed0", "seed7")))
    write_archive(mine, tmp_path / "x.zip")
    (problem,) = validate(tmp_path / "x.zip").problems
    assert "its specification is that of another cell" in problem
    with pytest.raises(UserError, match=r"x.zip is not whole: maml.*seed7"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    digests = shutil.copytree(experiment, tmp_path / "digests")
    place = next(digests.glob("cells/maml*seed0*")) / "result.json"
    place.write_text(place.read_text().replace('"test": "the same"', '"test": "another"'))
    write_archive(digests, tmp_path / "y.zip")
    (problem,) = validate(tmp_path / "y.zip").problems
    assert "were tested on different episodes" in problem
    (place.parent / "curve.parquet").write_bytes(b"x")
    with pytest.raises(UserError, match="1 cells cannot be packed"):
        write_archive(digests, tmp_path / "z.zip")


def test_a_merge_adds_what_is_not_there(packed: Path, experiment: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine", {"maml": 0.8, "reptile": 0.6}, seeds=(0, 2), episodes=6)
    merged = merge(packed, mine)
    assert (len(merged.added), len(merged.kept)) == (3, 1)
    rows = bench.load(mine)
    assert len(rows) == 7
    assert set(rows.loc[rows["status"] == "ok", "algorithm"]) == {"maml", "anil", "reptile"}
    assert Store(mine).experiment()["commands"] == Store(experiment).experiment()["commands"]
    assert merge(experiment, mine).added == ()
    assert len(Store(mine).experiment()["commands"]) == 1


def test_a_result_takes_the_place_of_a_failure_and_stays(experiment: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine", {"anil": 0.7}, seeds=(0, 1), episodes=6)
    assert len(merge(experiment, mine).kept) == 2
    assert set(bench.load(mine)["status"]) == {"ok"}
    theirs = shutil.copytree(experiment, tmp_path / "theirs")
    assert len(merge(mine, theirs).added) == 1
    assert set(bench.load(theirs)["status"]) == {"ok"}


def test_what_does_not_belong_together_is_refused(experiment: Path, tmp_path: Path) -> None:
    before = tables(experiment)
    other = write(tmp_path / "other", {"reptile": 0.5}, seeds=(0,), episodes=6, digests={"reptile": "another"})
    with pytest.raises(UserError, match=r"tested glyphs .* on different episodes"):
        merge(other, experiment)
    different = shutil.copytree(experiment, tmp_path / "different")
    _change_result(different, "maml*seed0*")
    with pytest.raises(UserError, match=r"hold maml--.*seed0.* with different results"):
        merge(different, experiment)
    with pytest.raises(UserError, match="are the same folder"):
        merge(experiment, experiment)
    with pytest.raises(UserError, match=r"holds no experiment to merge into; to start one from .*: copy "):
        merge(experiment, tmp_path / "nowhere")
    assert tables(experiment) == before


def test_other_settings_are_refused(experiment: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "other")
    store.create()
    (cell,) = tiny(datasets=[dict(GLYPHS)], settings=[{"set": {"meta_batch": 2, "test_steps": 2}}]).cells()
    store.write_result(cell, outcome(kind="classification"), MEASURED)
    with pytest.raises(UserError, match=r"holds maml on glyphs .* with other settings .*; keep the two apart"):
        merge(store.root, experiment)


def test_the_commands(main: Main, experiment: Path, tmp_path: Path) -> None:
    code, out, _ = main("pack", experiment, "--out", "my/cells.zip")
    assert code == 0
    assert "cells.zip: 4 cells, SHA-256 " in out
    code, out, _ = main("validate", "my/cells.zip")
    assert code == 0
    assert "glyphs, 3-way 1-shot: 3 of 4 cells finished (anil, maml); test episodes the same" in out
    assert "4 cells: valid" in out
    assert main("unpack", "my/cells.zip", "--out", "there")[:2] == (0, "there: 4 cells\n")
    code, _, error = main("unpack", "my/cells.zip", "--out", "there")
    assert (code, error.count("\n")) == (2, 1)
    assert "--out: there is not empty" in error
    assert main("merge", "my/cells.zip", "there")[:2] == (0, "there: 0 cells added, 4 there already\n")
    _change_result(Path("there"), "maml*seed0*")
    shutil.rmtree(next(Path("there").glob("cells/maml*seed1*")))
    next(Path("there").glob("cells/anil*seed0*")).rename("there/cells/anil--x--seed0--000000000000")
    main("pack", "there", "--out", "bad.zip")
    code, out, error = main("validate", "bad.zip")
    assert (code, error) == (1, "")
    assert "wrong: anil--x--seed0--000000000000: its specification is that of another cell" in out
    assert "3 cells: 1 problem" in out
    for arguments in (("validate", "nowhere.zip"), ("validate", tmp_path), ("pack", experiment, "--out", "x.tar")):
        code, _, error = main(*arguments)
        assert (code, error.count("\n")) == (2, 1), error


def test_what_is_written_stays_below_the_folder(packed: Path, tmp_path: Path) -> None:
    read_archive(packed, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"cells", "cost.json", "experiment.json"}


def test_results_without_weights_have_all_tables_and_say_what_they_lack(
    experiment: Path, tmp_path: Path, main: Main
) -> None:
    archive, there = tmp_path / "small.zip", tmp_path / "there"
    assert main("pack", experiment, "--out", archive, "--without-weights")[0] == 0
    assert not [name for name in files_of(archive) if name.endswith(".safetensors")]
    assert not validate(archive).problems
    unpack(archive, there)
    assert bench.load(there).equals(bench.load(experiment))
    assert differences(experiment, there) == []
    cell = next(row["cell"] for row in bench.load(there).to_dict("records") if row["status"] == "ok")
    with pytest.raises(UserError, match=f"the weights of {cell} were left out when its results were published"):
        read_state(there / "cells" / cell)
    (there / "cells" / cell / "weights.left-out").unlink()  # then they are missing
    assert set(bench.load(there)["status"]) == {"ok", "nan", "damaged"}


def test_weights_that_were_left_out_are_compared_by_their_digests(experiment: Path, tmp_path: Path) -> None:
    shutil.copytree(experiment, tmp_path / "other")
    cell = next(row["cell"] for row in bench.load(experiment).to_dict("records") if row["status"] == "ok")
    folder = tmp_path / "other" / "cells" / cell
    result = json.loads((folder / "result.json").read_text())
    result["files"]["weights.safetensors"]["sha256"] = "0" * 64
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "weights.safetensors").unlink()
    (folder / "weights.left-out").touch()
    assert differences(experiment, tmp_path / "other") == [
        f"{cell}: weights.safetensors: other contents, of which one was left out"
    ]
