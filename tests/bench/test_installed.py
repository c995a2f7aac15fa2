"""The package as it is installed, and folders in the way: an environment of its own, and commands started elsewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.bench.helpers import ROOT, environment, statuses, write_grid

PACKAGES = ("bench", "algorithms", "datasets")
BUILD = "import setuptools.build_meta as b; b.build_wheel('wheels'); b.build_editable('editable')"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, with ``wheels/*.whl`` and ``editable/*.whl`` made of it."""
    copy = tmp_path_factory.mktemp("built") / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, env=environment(PYTHONPATH=""), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel is installed; other packages are those of this environment."""
    return _environment(tmp_path_factory.mktemp("installed"), built / "wheels")


@pytest.fixture(scope="module")
def editable(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an editable install of the copy."""
    return _environment(tmp_path_factory.mktemp("editable"), built / "editable")


def _environment(folder: Path, wheels: Path) -> Path:
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    paths = sysconfig.get_paths()  # a path in a .pth file is searched, but .pth files there are not read
    (site / "others.pth").write_text("\n".join(dict.fromkeys([paths["purelib"], paths["platlib"]])))
    (wheel,) = wheels.glob("*.whl")
    with ZipFile(wheel) as archive:  # what installing a wheel of pure Python is
        archive.extractall(site)
    return folder / "bin/python"


def run(python: Path, cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = environment(PYTHONPATH="", **variables)
    return subprocess.run([python, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=240)


def test_the_wheel_has_every_file_of_the_packages(built: Path) -> None:
    (wheel,) = (built / "wheels").glob("*.whl")
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = {Path(name).name for name in archive.namelist() if "/licenses/" in name}
    expected = {str(path.relative_to(built)) for name in PACKAGES for path in (built / name).rglob("*.*")}
    assert names == expected
    assert {
        "algorithms/engines/fused/conv4.py",
        "datasets/embedded/glyphs.pack",
        "bench/analysis/published.csv",
    } < names
    assert licences == {"LICENSE", "glyphs-LICENSE.txt"}


def in_the_way(folder: Path, *, packages: bool) -> None:
    """Folders of our packages' names with files of somebody's; as packages that must not be imported, or not."""
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "notes.txt").touch()
    for name in ("algorithms", "datasets") if packages else ():
        (folder / name / "__init__.py").write_text("raise RuntimeError('imported')\n")


@pytest.mark.parametrize("packages", [False, True])
def test_an_installed_copy_runs_a_cell_beside_folders_of_its_names(
    installed: Path, tmp_path: Path, packages: bool
) -> None:
    in_the_way(tmp_path, packages=packages)
    write_grid(tmp_path / "mine.yaml")
    done = run(installed, tmp_path, "-m", "bench", "run", "mine.yaml", "--out", "out", "--jobs", "1", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert statuses(tmp_path / "out") == {"maml": "ok"}
    assert (tmp_path / "out/report/index.html").is_file()
    where = run(
        installed, tmp_path, "-c", "import bench, algorithms, datasets; print(datasets.__file__, bench.__file__)"
    )
    assert [Path(line).is_relative_to(installed.parents[1]) for line in where.stdout.split()] == [True, True]


@pytest.mark.parametrize("packages", [False, True])
def test_an_editable_install_is_found_beside_folders_of_its_names(
    editable: Path, built: Path, tmp_path: Path, packages: bool
) -> None:
    in_the_way(tmp_path, packages=packages)
    done = run(editable, tmp_path, "-m", "bench", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "maml" in done.stdout
    where = run(editable, tmp_path, "-c", "import bench, datasets; print(datasets.__file__)")
    assert Path(where.stdout.strip()) == built / "datasets/__init__.py"


def test_a_module_of_the_same_name_is_passed_over(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets.py").write_text("raise RuntimeError('imported')\n")
    done = run(installed, tmp_path, "-m", "bench", "list")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("imports", "advice"),
    [("import datasets, bench", "import bench before it"), ("import algorithms", "import bench first")],
)
def test_another_package_that_was_imported_before_is_named(
    installed: Path, tmp_path: Path, imports: str, advice: str
) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/__init__.py").touch()
    done = run(installed, tmp_path, "-c", imports)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: `datasets` is ")
    assert str(tmp_path / "datasets") in last
    assert advice in last
    assert str(installed.parents[1]) in last


def test_safe_path_finds_the_installed_one_where_a_package_called_bench_is_in_the_way(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/__init__.py").touch()
    done = run(installed, tmp_path, "-P", "-m", "bench", "list")
    assert (done.returncode, done.stderr) == (0, "")
