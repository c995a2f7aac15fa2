"""Under which licence the data of a dataset is, in words."""

from __future__ import annotations

from datasets.core.entry import DATASETS
from datasets.storage.publishers import PUBLICATIONS

BUILT_IN = {
    "sinusoid": "none needed: the data is generated",
    "glyphs": "drawn from the DejaVu and STIX fonts; their licences are in datasets/embedded/glyphs-LICENSE.txt",
    "cldr-names": "Unicode License v3 (CLDR, in the package babel)",
}


def licence_of(dataset: str) -> str:
    """Return the licence of a dataset's files with the page that describes them, as far as it is known here.

    >>> licence_of("omniglot")
    'MIT (https://github.com/brendenlake/omniglot)'
    >>> licence_of("my-birds")
    'not known to the benchmark'
    """
    if dataset in BUILT_IN:
        return BUILT_IN[dataset]
    if dataset in PUBLICATIONS:
        return f"{PUBLICATIONS[dataset].licence} ({PUBLICATIONS[dataset].home})"
    if dataset not in DATASETS.names() and dataset in DATASETS:  # derived from others by its name
        return licence_of(DATASETS.origins(dataset)[-1])
    return "not known to the benchmark"
