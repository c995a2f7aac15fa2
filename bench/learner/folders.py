"""Class folders of images as support and query sets, and the table of predictions for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.learner.estimators import FewShotClassifier, FewShotRegressor
from bench.learner.inputs import pixels_of
from bench.learner.predicted import Predicted, predicted
from bench.learner.tables import table_predictions
from bench.learner.trained import DataForm
from datasets import UserError
from datasets.core.errors import BadData
from datasets.formats.split_folders import find_class_folders
from datasets.storage.decode import is_image
from datasets.storage.paths import user_path
from datasets.storage.tree import is_tree, open_tree

MOST_IMAGES = 100_000


@dataclass(frozen=True)
class Images:
    """Images with their names.

    Attributes:
        files: [n] names relative to the folder or archive.
        pixels: [n, channels, height, width] uint8.
        labels: [n] the folder that each lies in; None where they lie in no class folders.
    """

    files: list[str]
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.str_] | None


def read_images(given: Path | str, form: DataForm, field: str, *, labelled: bool) -> Images:
    """Return the images of a folder, zip or tar.

    Args:
        given: where they lie: in class folders, or side by side where ``labelled`` is False.
        form: of the data that the network takes.
        field: what messages call ``given``.
        labelled: whether class folders are required.

    Raises:
        UserError: there is no such folder, no image in it, or one that is damaged.
    """
    path = user_path(given, field)
    if not is_tree(path):
        raise UserError(f"there is no folder, .zip or .tar at {path}; give one with images", field)
    with open_tree(path) as tree:
        names = [name for name in tree.sizes if is_image(name)]
        flat = not labelled and all("/" not in name for name in names)
        try:
            classes = {} if flat else find_class_folders(tree)
        except BadData as error:
            raise UserError(error.message, field) from None
        files = names if flat else [name for of_class in classes.values() for name in of_class.files]
        if not 0 < len(files) <= MOST_IMAGES:
            raise UserError(f"{path} holds {len(files):,} PNG, JPEG or BMP images; give 1 to {MOST_IMAGES:,}", field)
        pixels = np.stack([pixels_of(tree.read(name), f"{path}: {name}", form) for name in files])
    labels = None if flat else np.array([label for label, of_class in classes.items() for _ in of_class.files])
    return Images(files, pixels, labels)


def predictions(learner: FewShotClassifier | FewShotRegressor, support: Path | str, query: Path | str) -> Predicted:
    """Return a row per query, and the accuracy where the queries' classes are known and in the support set.

    The columns are ``file``, ``label`` (where there are class folders), ``predicted``, and ``p(<class>)`` of each
    class. The learner is adapted to the support set.

    Args:
        learner: of images, or of rows or texts, which are read from tables; see ``bench.learner.tables``.
        support: class folders, or a table.
        query: class folders, images side by side, or a table.

    Raises:
        UserError: see ``read_images`` and ``bench.learner.tables.read_examples``; or the learner is for neither.
    """
    form = learner.trained.form
    if form.table is not None or form.text is not None:
        return table_predictions(learner, support, query)
    if isinstance(learner, FewShotRegressor) or not form.is_image:
        raise UserError(f"folders hold images, but {learner.trained.name} takes none; use bench.load_learner in Python")
    shots = read_images(support, form, "support", labelled=True)
    queries = read_images(query, form, "query", labelled=False)
    table = pd.DataFrame({"file": queries.files})
    return predicted(learner, (shots.pixels, shots.labels), (queries.pixels, queries.labels), table, "label")
