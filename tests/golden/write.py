"""Record what the harness computes as golden values: ``python -m tests.golden.write [PART ...]``, by default all."""

from __future__ import annotations

import json
import sys

from tests.golden.check import FOLDER
from tests.golden.values import PARTS

for part in sys.argv[1:] or PARTS:
    text = json.dumps(PARTS[part](), indent=1, sort_keys=True)
    (FOLDER / f"{part}.json").write_text(text + "\n", encoding="utf-8")
    print(FOLDER / f"{part}.json")
