"""Banking77 (Casanueva et al. 2020, "Efficient intent detection with dual sentence encoders").

13,083 questions to a bank, of 77 intents.

Split by intent under a seed, which is ours: the paper splits the questions of each intent, and its two parts are joined
here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from datasets.core.entry import register
from datasets.core.episodes import Dataset
from datasets.core.errors import BadData
from datasets.splits.by_seed import split_names
from datasets.storage.reading import require_file
from datasets.text.distinct import Texts, unambiguous
from datasets.text.edition import TextEdition, files_under, missing_under
from datasets.text.normal_form import checked, decoded

FILES = ("text/banking77/train.csv", "text/banking77/test.csv")
COLUMNS = ("text", "category")
LONGEST = 448
SEED, FRACTIONS = 0, (0.2, 0.35)  # of the intents: 15 validate and 27 test


def read(paths: Sequence[Path]) -> Texts:
    """Return the questions of each intent; repeated ones are left out.

    Raises:
        BadData: a file is not what it should be.
    """
    classes: dict[str, list[tuple[str, str]]] = {}
    for path in paths:
        require_file(path)
        lines = csv.reader(io.StringIO(decoded(path.read_bytes(), path), newline=""), strict=True)
        try:
            if (header := tuple(next(lines, ()))) != COLUMNS:
                raise BadData(f"{path} has the columns {', '.join(header)[:80]}, not text, category; get a new copy")
            for row in lines:
                if len(row) != len(COLUMNS):
                    raise BadData(f"{path}: line {lines.line_num} has {len(row)} columns, not 2; get a new copy")
                classes.setdefault(row[1], []).append((row[0], f"{path}: line {lines.line_num}"))
        except csv.Error as error:
            raise BadData(f"{path}: line {lines.line_num} is no CSV ({error}); get a new copy") from None
    kept = unambiguous({name: checked(places) for name, places in classes.items()}, LONGEST)
    names = split_names("banking77", list(kept), FRACTIONS, SEED)
    if names is None:
        raise BadData(f"{paths[0]} has {len(kept)} intents, too few to split; get a new copy")
    return {split: {name: kept[name] for name in members} for split, members in names.items()}


EDITION = TextEdition("banking77", files_under(*FILES), missing_under(*FILES), read, LONGEST)


@register(
    "banking77",
    kind="classification",
    family="text",
    summary="questions of 77 intents to a bank, split by intent under a seed (35/15/27)",
    paper="Casanueva et al. 2020, arXiv 2003.04807",
    traits=("text",),
)
def load(root: Path) -> Dataset:
    """Return Banking77 from its cache, built from its files under ``root`` if need be.

    Raises:
        DataNotFound: neither is there.
        BadData: the files are not Banking77's.
    """
    return EDITION.load(root)
