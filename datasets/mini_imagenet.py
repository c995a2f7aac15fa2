"""mini-ImageNet (Vinyals et al. 2016, arXiv 1606.04080) with the 64/16/20 classes of Ravi and Larochelle 2017.

Images are 84x84 RGB, resized with Lanczos where the files are larger (as in Finn et al. 2017's preparation). Within a
class they are in the order of the SHA-256 of their pixels, so that the same pixels give the same dataset in whatever
form and order they came.
"""

from __future__ import annotations

from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import SPLITS, Dataset
from datasets.core.errors import DataNotFound
from datasets.formats import mini_imagenet_pickles
from datasets.formats.mini_imagenet_files import plan_at
from datasets.formats.plan import Format, build_in_parallel, read_plan
from datasets.splits.expected import Expected
from datasets.splits.mini_imagenet import MINI_IMAGENET
from datasets.storage import cache
from datasets.storage.reading import reading
from datasets.storage.source import Progress, Source, evidence_of

FOLDER = "mini-imagenet"
VERSION = 1
"""Raised when the same files would give other pixels, names or splits."""

RECIPE = cache.Recipe("mini-imagenet", VERSION, rotate_train=False, duplicates_allowed=True)
REMEDY = "run: python -m bench data fetch mini-imagenet, or: python -m bench data prepare mini-imagenet --from PATH"


@register(
    "mini-imagenet",
    kind="classification",
    family="mini-imagenet",
    summary="100 ImageNet classes of 600 images at 84x84, the 64/16/20 split of Ravi and Larochelle",
    paper="Vinyals et al. 2016, arXiv 1606.04080; Ravi and Larochelle 2017",
    input_shape=(3, 84, 84),
)
@reading()
def load(root: Path, expected: Expected = MINI_IMAGENET) -> Dataset:
    """mini-ImageNet from its cache, built from ``<root>/mini-imagenet`` if need be; DataNotFound where neither is."""
    dataset = cache.load(RECIPE, root, find_source(root, expected))
    if dataset is None:
        raise DataNotFound("mini-imagenet", missing(root)[0], REMEDY)
    return dataset


def find_source(root: Path, expected: Expected = MINI_IMAGENET) -> Source | None:
    """Return the files in ``<root>/mini-imagenet`` as a source; None if there are none, or a pickle is missing."""
    folder = root / FOLDER
    pickles = mini_imagenet_pickles.find(folder)
    if len(pickles) == len(SPLITS):
        return _source_of_pickles(folder, expected)
    if pickles or not folder.is_dir() or all(entry.name.startswith(".") for entry in folder.iterdir()):
        return None  # hidden files are what an unfinished download left
    form = _format(expected)
    return Source(
        str(folder),
        lambda: evidence_of([folder]),
        form.image_shape,
        lambda: read_plan(plan_at(folder, expected), form),
    )


def missing(root: Path) -> list[Path]:
    """The pickles that are not there, by the names under which ``fetch`` stores them."""
    present = mini_imagenet_pickles.find(root / FOLDER)
    return [root / FOLDER / mini_imagenet_pickles.FILE_NAMES[split][0] for split in SPLITS if split not in present]


def prepare(
    path: Path,
    root: Path,
    *,
    lists_at: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    expected: Expected = MINI_IMAGENET,
) -> Dataset:
    """Build the cache from the files at ``path``, in whatever form; images are read by several processes.

    An interrupted call keeps the classes that were read; the same call continues with the others.

    Args:
        path: a folder, zip or tar with one of the forms of ``mini_imagenet_pickles`` or ``mini_imagenet_files``.
        root: the data root, beside which the cache is built.
        lists_at: the folder of train.csv, val.csv and test.csv, if they are not at ``path`` or beside it.
        workers: processes that read; the number of cores by default.
        progress: told of the images done.
        expected: the classes and sizes that must be there.

    Raises:
        BadData: what was wrong, with the file's name.
    """
    if len(mini_imagenet_pickles.find(path)) == len(SPLITS):
        return cache.build(RECIPE, root, _source_of_pickles(path, expected), prepared=True, progress=progress)
    plan = plan_at(path, expected, lists_at)
    return build_in_parallel(RECIPE, root, path, plan, _format(expected), workers, progress)


def _source_of_pickles(folder: Path, expected: Expected) -> Source:
    paths = mini_imagenet_pickles.find(folder)
    return Source(
        f"the pickles in {folder}",
        lambda: evidence_of(list(paths.values())),
        _format(expected).image_shape,
        lambda: mini_imagenet_pickles.read(paths, expected),
        paths=list(paths.values()),
    )


def _format(expected: Expected) -> Format:
    return Format(expected.size, channels=3, by_content=True)
