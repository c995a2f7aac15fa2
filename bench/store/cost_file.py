"""``cost.json``: time and memory of an experiment's settings, measured apart from its cells; see ``bench.cost``."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from bench.store.atomic import disk_errors_explained, replace_file
from bench.store.integrity import Damaged
from bench.store.records import LARGEST, FailureKind, Strict, Text, checked
from bench.store.schema import COST_FILE, COST_SCHEMA, Newer
from bench.store.store import Store, json_bytes

MOST_LAPS = 10_000  # of one round
Seconds = Annotated[float, Field(ge=0)]
Laps = Annotated[list[Seconds], Field(min_length=1, max_length=MOST_LAPS)]


class Round(Strict):
    """One process's measurement of a setting.

    Attributes:
        outer_step_seconds: of each timed outer step, its data included; device time on a GPU.
        adapt_seconds: of each timed adaptation to one task, with all test steps.
        timed_seconds: wall seconds of all that was timed.
        timed_cpu_seconds: processor seconds of the same.
        busy_elsewhere: processors that other processes kept busy meanwhile.
        cpus: processors that the process could use.
        threads: of the process.
        baseline_mib: resident memory of a process that has imported everything and loaded the data.
        rise_mib: how far training and testing raised it.
        device_mib: the most device memory that tensors had; None on a CPU.
        numerics: the versions of the numerics that were measured.
    """

    outer_step_seconds: Laps
    adapt_seconds: Laps
    timed_seconds: Seconds
    timed_cpu_seconds: Seconds
    busy_elsewhere: Seconds
    cpus: int = Field(ge=1, lt=LARGEST)
    threads: int = Field(ge=1, lt=LARGEST)
    baseline_mib: float = Field(ge=0)
    rise_mib: float = Field(ge=0)
    device_mib: float | None = Field(ge=0)
    numerics: dict[Text, Annotated[int, Field(ge=1, lt=LARGEST)]]


class CostRow(Strict):
    """The cost of one setting of an algorithm on a dataset and shape.

    Attributes:
        algorithm: its name.
        dataset: its name.
        shape: as in ``Cell.shape``.
        setting: SHA-256 of the setting; see ``setting_digest``.
        failure: how measuring ended, where it gave nothing.
        message: the same in one line.
        rounds: in the order in which they were measured; none where it failed.
    """

    algorithm: Text
    dataset: Text
    shape: Text
    setting: Text
    failure: FailureKind | None = None
    message: Text = ""
    rounds: list[Round] = Field(default_factory=list)


class Machine(Strict):
    """The machine on which costs were measured; only those of one machine compare."""

    processor: Text
    cpus: int = Field(ge=1, lt=LARGEST)
    gpus: list[Text]
    torch: Text | None


class Measurement(Strict):
    """Settings that were measured together, their rounds in a random order.

    Attributes:
        command: how it was asked for.
        time: of its beginning, in ISO 8601.
        order_seed: of the order of the rounds.
        machine: where.
        rows: what was measured.
    """

    command: Text
    time: Text
    order_seed: int = Field(ge=0, lt=LARGEST)
    machine: Machine
    rows: list[CostRow]


class Costs(Strict):
    """The contents of ``cost.json``."""

    schema_version: int = COST_SCHEMA
    measurements: list[Measurement] = Field(default_factory=list)


class UnreadableCosts(Exception):
    """``cost.json`` is damaged, or of a newer version; the message says which and how.

    Attributes:
        newer: whether a newer version wrote it.
    """

    def __init__(self, message: str, newer: bool) -> None:
        super().__init__(message)
        self.newer = newer


def setting_digest(setting: str) -> str:
    """Return the SHA-256 of a setting as it stands in the column ``SETTING`` of ``Store.rows``."""
    return hashlib.sha256(setting.encode()).hexdigest()


def read_costs(store: Store) -> Costs | None:
    """Return the costs that are stored with an experiment; None where none are.

    Raises:
        UnreadableCosts: the file is there, and cannot be read.
    """
    try:
        return checked(store.root / COST_FILE, Costs)[1]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Newer as error:
        raise UnreadableCosts(str(error), newer=True) from None
    except Damaged as error:
        raise UnreadableCosts(f"damaged: {error}", newer=False) from None


def write_costs(store: Store, costs: Costs) -> None:
    """Store the costs in the place of those that are there; raise CannotWrite where the disk does not take them."""
    with disk_errors_explained(store.root):
        replace_file(store.root / COST_FILE, json_bytes(costs.model_dump(mode="json")))
