"""``bench data``: list, fetch, verify, prepare and show the datasets' files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from bench.cli import completion
from bench.cli.common import CacheDir, Import, import_named, one_of, wide_console
from bench.cli.tables import print_table
from datasets import DATASETS, UserError, load
from datasets.core.registry import among, unknown

if TYPE_CHECKING:
    from bench.spec import own_data
    from datasets.core.episodes import Split
    from datasets.maintenance.verify import Check

HEADS = ("dataset", "state", "MiB", "licence", "fingerprint")
OF_A_GRID = "for a folder or table of your own, add the grid that gives its path: --grid GRID.yaml"
MOST_FILES = 4  # that are named as missing

app = typer.Typer(help="The datasets' files: list, fetch, verify, prepare and show them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The dataset; `data list` has the names.", autocompletion=completion.dataset)]
OwnGrid = Annotated[
    str | None,
    typer.Option(
        "--grid",
        help="The grid (its name or YAML file) that defines the image folder or table NAME.",
        autocompletion=completion.grids,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder of the datasets; default: $BENCH_DATA, else the user's cache."),
]


@app.command("list")
def list_datasets(root: Root = None, cache_dir: CacheDir = None) -> None:
    """List the datasets: their files, size, licence, digest, and what is missing."""
    from bench.report.table_model import Column, table_of
    from datasets.maintenance import catalog
    from datasets.storage.reading import usable_data_root

    console = wide_console()
    base = usable_data_root(root)
    console.print(f"data root: {base}", soft_wrap=True, highlight=False, markup=False)
    columns = [Column(name, name == "MiB", wrap=name == "licence") for name in HEADS]
    lines, remarks = [], []
    for name in DATASETS.names():
        status = catalog.status(name, base)
        size = f"{status.bytes / 2**20:.1f}" if status.bytes else ""
        lines.append([name, status.state, size, status.licence, status.fingerprint[:12]])
        if status.where:
            remarks.append(f"{name}: {status.where}")
        if status.missing:
            files = [str(file.relative_to(base) if file.is_relative_to(base) else file) for file in status.missing]
            more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
            remarks.append(f"{name} lacks {', '.join(files[:MOST_FILES])}{more}; {status.remedy}")
    print_table(console, table_of("Datasets", columns, lines))
    for remark in remarks:
        console.print(escape(remark), soft_wrap=True, highlight=False)


@app.command()
def fetch(name: Name, root: Root = None, cache_dir: CacheDir = None) -> None:
    """Download the files, check them, and build the cache."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from datasets.maintenance import catalog
    from datasets.maintenance.verify import verify as verify_dataset
    from datasets.storage.publishers import PUBLICATIONS
    from datasets.storage.reading import usable_data_root

    console = Console()
    _require_files(name)
    if name in PUBLICATIONS and PUBLICATIONS[name].note:
        console.print(PUBLICATIONS[name].note, soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def on_bytes(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file)
            progress.update(tasks[file], completed=done, total=total)

        dataset = catalog.fetch(name, usable_data_root(root), on_bytes)
    _print_checks(console, verify_dataset(name, usable_data_root(root), read_files=False))
    console.print(f"{name} is ready: fingerprint {dataset.fingerprint}", soft_wrap=True)


@app.command()
def verify(
    name: Name,
    root: Root = None,
    cache_dir: CacheDir = None,
    grid: OwnGrid = None,
    import_: Import = None,
) -> None:
    """Check a dataset's files and cache byte by byte; the exit code is 1 if something is wrong."""
    from datasets.maintenance.verify import verify as verify_dataset
    from datasets.maintenance.verify import verify_own
    from datasets.storage.reading import usable_data_root

    import_named(import_)
    _require_known(name, grid)
    base = usable_data_root(root)
    checks = verify_dataset(name, base) if grid is None else verify_own(_own_data(name, grid).reader(name), base)
    _print_checks(Console(), checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _require_known(name: str, grid: str | None) -> None:
    """Raise UserError where no grid is given and no dataset has that name, which a grid's own may have."""
    if grid is None and name not in DATASETS:
        raise unknown("dataset", name, DATASETS.names(), OF_A_GRID)


def _require_files(name: str) -> None:
    """Raise UserError where no dataset with files has that name; images or a table of one's own need no such step."""
    from datasets.maintenance import catalog

    if name in DATASETS:
        catalog.managed(name)
    else:
        own = "a folder or table of your own needs no preparation: a grid gives its path"
        raise unknown("dataset", name, DATASETS.names(), own)


def _own_data(name: str, grid: str) -> own_data.FolderSpec | own_data.TableSpec:
    """Return what a grid says of the user's own dataset of that name."""
    from bench.spec.grid import load_grid

    own = {use.name: use.own_data for use in load_grid(grid).datasets}
    if (data := own.get(name)) is None:
        known = [other for other, data in own.items() if data is not None]
        raise UserError(f"--grid: {grid} has no image folder or table '{name}'{among(name, known, 'those it has')}")
    return data


def _print_checks(console: Console, checks: list[Check]) -> None:
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[bold red]wrong[/]"
        console.print(f"{mark} {escape(check.what)}: {escape(check.finding)}", soft_wrap=True, highlight=False)


@app.command()
def prepare(
    name: Name,
    source: Annotated[Path, typer.Option("--from", help="The folder or archive that holds the dataset.")],
    root: Root = None,
    cache_dir: CacheDir = None,
    lists: Annotated[
        Path | None, typer.Option("--lists", help="mini-ImageNet: the folder of train.csv, val.csv and test.csv.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read images; default: one per core.")
    ] = None,
) -> None:
    """Build a dataset from your own copy of its files; the same command continues after an interruption."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from datasets.maintenance import catalog
    from datasets.storage.reading import usable_data_root

    _require_files(name)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def on_images(done: int, total: int | None) -> None:
            if not progress.tasks:
                progress.add_task(f"reading {name}")
            progress.update(progress.tasks[0].id, completed=done, total=total)

        dataset = catalog.prepare(
            name, source, usable_data_root(root), lists_at=lists, workers=workers, progress=on_images
        )
    console.print(f"{name} is ready: fingerprint {dataset.fingerprint}", soft_wrap=True)


@app.command()
def show(
    name: Name,
    root: Root = None,
    cache_dir: CacheDir = None,
    grid: OwnGrid = None,
    import_: Import = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the picture; default: NAME.png, and the terminal for texts.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="train, val or test.", autocompletion=completion.choice(*completion.SPLITS))
    ] = "train",
    ways: Annotated[int | None, typer.Option(min=1, help="Classes per episode; default: 5.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Support images per class, or support points.")] = 1,
    queries: Annotated[int, typer.Option(min=0, help="Query images per class, or query points.")] = 3,
    episodes: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the stream.")] = 0,
) -> None:
    """Draw a few episodes as a PNG: support and query images, or points; write out episodes of texts."""
    from bench.store.atomic import absolute, make_writable
    from datasets.core.episodes import Shape
    from datasets.drawing import contact_sheet
    from datasets.storage.reading import usable_data_root
    from datasets.text.dataset import text_pools
    from datasets.text.shown import episode_lines

    import_named(import_)
    _require_known(name, grid)
    base = usable_data_root(root)
    if out is not None and out.is_dir():
        raise UserError(f"{out} is a folder; give a file", "out")
    make_writable(absolute(out or Path()).parent)
    dataset = load(name, base) if grid is None else _own_data(name, grid).entry(name).load(base)
    has_ways = dataset.kind == "classification"
    if ways is not None and not has_ways:
        raise UserError(f"--ways: got {ways}, but {name} is for {dataset.kind}, which has no ways; leave it out")
    shape = Shape((5 if ways is None else ways) if has_ways else 1, shots, queries)
    if text_pools(dataset) is not None:
        lines = "".join(f"{line}\n" for line in episode_lines(dataset, _split(split), shape, episodes, seed))
        if out is None:
            Console().print(escape(lines), soft_wrap=True, highlight=False, end="")
            return
        out.write_text(lines, encoding="utf-8")
        Console().print(escape(str(out)), soft_wrap=True, highlight=False)
        return
    path = contact_sheet.draw(dataset, out or Path(f"{name}.png"), _split(split), shape, episodes, seed)
    Console().print(escape(str(path)), soft_wrap=True, highlight=False)


def _split(text: str) -> Split:
    from datasets.core.episodes import SPLITS

    return one_of("--split", text, SPLITS)
