"""The digest of the images in an archive or folder, which does not depend on how they were packed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from datasets.storage.decode import is_image
from datasets.storage.tree import open_tree

NAMED_BY = 3
"""Parts of an image's name that count, from the end: alphabet, character and file."""


def digest_of_images(path: Path) -> tuple[str, int]:
    """Return the digest of the images in the folder, zip or tar at ``path``, and how many there are.

    The digest is the SHA-256 over the sorted lines ``<md5>  <alphabet>/<character>/<file>``, one for each image.

    Raises:
        BadData: it is none of these, or is damaged.
    """
    lines = []
    with open_tree(path) as tree:
        for name in filter(is_image, tree.sizes):
            md5 = hashlib.md5(tree.read(name), usedforsecurity=False).hexdigest()
            lines.append(f"{md5}  {'/'.join(name.split('/')[-NAMED_BY:])}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(), len(lines)
