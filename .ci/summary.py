"""Sum up a log of tox: what failed, which Pythons were not found, and last pytest's counts over all of its runs."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

CLOSING = re.compile(r"^=+ (.*\d+ (?:passed|failed|skipped|error).*) in [\d.]+s.*=+$", re.MULTILINE)
COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")
FAILED = re.compile(r"^ *(\S+): (?:FAIL|FAILED)\b.*$", re.MULTILINE)
SAID = re.compile(r"^not found, and not tested: .*$", re.MULTILINE)


def summary(log: str) -> tuple[list[str], bool]:
    """The lines, and whether anything failed; without a run of pytest something did."""
    log = re.sub(r"\x1b\[[0-9;]*m", "", log)
    runs = CLOSING.findall(log)
    counts: Counter[str] = Counter()
    for run in runs:
        for number, what in COUNT.findall(run):
            counts["failed" if what == "error" else what] += int(number)
    failed = sorted(set(FAILED.findall(log)))
    lines = [f"failed: {name}" for name in failed] + list(dict.fromkeys(SAID.findall(log)))
    closing = f"{counts['passed']} passed, {counts['failed']} failed"
    if counts["skipped"]:
        closing += f", {counts['skipped']} skipped"
    return [*lines, closing], bool(counts["failed"] or failed or not runs)


if __name__ == "__main__":
    lines, has_failed = summary(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace"))
    print("\n".join(lines))
    sys.exit(has_failed)
