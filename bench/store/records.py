"""The contents of a cell's folder, read and checked: nothing of another form gets past the store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.numpy import load

from bench.spec.cell import Cell
from bench.spec.problems import first_problem
from bench.store.integrity import Damaged, read_all, read_described, read_regular
from bench.store.schema import Newer, read_json
from bench.store.tables import BUDGETS, CURVE, EPISODES, read_budgets, read_curve, read_episodes
from bench.store.tensors import weights_of
from datasets import UserError
from datasets.core.printable import printable

if TYPE_CHECKING:
    from algorithms.core.meta_state import State

ROW = ("cell", "algorithm", "dataset", "shape", "n_way", "n_shot", "seed")
SETTING = "setting"  # column: all of the specification but the seed, as JSON; see ``bench.store.settings``
UNKNOWN: Mapping[str, Any] = dict(zip((*ROW[1:], SETTING), ("?", "?", "?", 1, 1, -1, None), strict=True))
WEIGHTS = "weights.safetensors"
LEFT_OUT = "weights.left-out"  # an empty file in the place of the weights of a cell that was published without them
ALWAYS = ("cell.json", EPISODES, CURVE, WEIGHTS)  # of the files that a result describes
EXTERNAL = "external"  # column: the source of predictions that were made elsewhere; missing for other cells
NUMERICS = "numerics"  # column: the versions of ``bench.protocol.numerics`` as JSON; none where they are not known
RESERVED = frozenset(
    (*ROW, SETTING, EXTERNAL, NUMERICS, "status", "message", "schema_version", "experiment")
)  # no summary may have these
LONGEST_NAME = 200  # characters of what a newer specification calls its algorithm and dataset
LARGEST = 2**63  # whole numbers are below, so that they fit into a table
UNREADABLE = ("damaged", "newer", "unknown")  # statuses of cells that cannot be read here
FailureKind = Literal["error", "nan", "timeout", "oom", "killed", "skipped"]


class Unknown(Exception):
    """Raised for an undamaged cell that names something that is not registered here."""


@dataclass(frozen=True)
class Failure:
    """The failure of a cell. Its texts are made printable.

    Attributes:
        kind: error (an exception), nan (diverged), timeout, oom (out of memory), killed (by a signal), skipped.
        message: one line.
        traceback: the exception's, or empty.
        attempt: the number of this attempt, from 1.
        elapsed_seconds: wall seconds from the start of the cell's process.
        peak_mib: peak resident memory of the cell's process, where it could still be read.
        log: the last lines that the cell's process printed.
    """

    kind: FailureKind
    message: str
    traceback: str = ""
    attempt: int = 1
    elapsed_seconds: float = 0.0
    peak_mib: float | None = None
    log: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "traceback", "log"):
            object.__setattr__(self, name, printable(getattr(self, name)))


def _fits_a_table(value: int | float | None) -> int | float | None:
    if value is not None and not (abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)):
        raise ValueError("must be finite, and below 2^63 where it is whole")
    return value


Number = Annotated[int | float | None, AfterValidator(_fits_a_table)]
Text = Annotated[str, Field(max_length=10_000)]


class Strict(BaseModel):
    """A part of a stored file: nothing but the fields that it names, of their types, and finite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _File(Strict):
    bytes: int = Field(ge=0, lt=LARGEST)
    sha256: str


class _Environment(Strict):
    """The parts of ``bench.process.environment.environment`` that are read again; older results lack some."""

    model_config = ConfigDict(extra="allow")

    commit: Text | None = None
    uncommitted: Text | None = None
    packages: dict[str, Text | None] = Field(default_factory=dict)
    variables: dict[str, Text] = Field(default_factory=dict)


class _Digests(Strict):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Text] = Field(init=False)

    test: Text


class _Budget(Strict):
    """The numbers of a result at an earlier budget; the means are missing where adaptation diverged."""

    budget: int = Field(ge=1, lt=LARGEST)
    outer_steps: int = Field(ge=0, lt=LARGEST)
    selected_outer_step: int = Field(ge=0, lt=LARGEST)
    train_seconds: float = Field(ge=0)
    test_mse: float | None = None
    test_return: float | None = None
    test_accuracy_transductive: float | None = None
    test_accuracy_inductive: float | None = None


class Result(Strict):
    """The contents of ``result.json``.

    Attributes:
        schema_version: of the present form.
        summary: numbers of the whole cell by name.
        digests: SHA-256 of the episode lists, that of the test episodes among them, and the dataset's fingerprint.
        environment: where it was made.
        files: size and digest of each other file of the cell; None of the first version, which described none.
        numerics: the versions of the numerics that made it; None for the first two versions, which recorded none.
        budgets: numbers by name at each earlier budget, ascending; see ``bench.protocol.outcome.AtBudget``.
    """

    schema_version: int
    summary: dict[str, Number]
    digests: _Digests
    environment: _Environment
    files: dict[str, _File] | None
    numerics: dict[Text, Annotated[int, Field(ge=1, lt=LARGEST)]] | None
    budgets: list[_Budget]

    @field_validator("summary")
    @classmethod
    def _names_no_identity(cls, summary: dict[str, Any]) -> dict[str, Any]:
        for name in summary:
            if name in RESERVED or name.startswith("digest."):
                raise ValueError(f"'{name}' is no number of a summary; what a cell is stands in cell.json alone")
        return summary

    @field_validator("files")
    @classmethod
    def _are_a_cells(cls, files: dict[str, Any] | None) -> dict[str, Any] | None:
        if files is not None:
            if missing := [name for name in ALWAYS if name not in files]:
                raise ValueError(f"{missing[0]} is not described")
            if strange := [name for name in files if name not in (*ALWAYS, BUDGETS, "log.txt")]:
                raise ValueError(f"{strange[0]!r} is no file of a cell")
        return files


class _Failed(Strict):
    """The contents of ``failure.json``; see ``Failure``."""

    schema_version: int
    kind: FailureKind
    message: str
    traceback: str
    attempt: int = Field(ge=1, lt=LARGEST)
    elapsed_seconds: float = Field(ge=0)
    peak_mib: float | None
    log: str


class _Asked(BaseModel):
    """The fields that every grid in ``experiment.json`` has; the rest is read as a grid is."""

    model_config = ConfigDict(strict=True, extra="allow")

    name: str
    description: str = ""


class _Command(BaseModel):
    """A run that the experiment was asked for."""

    model_config = ConfigDict(strict=True, extra="allow")

    command: str
    time: str
    cells: int


class Experiment(BaseModel):
    """The contents of ``experiment.json``; see ``bench.store.requested``."""

    model_config = ConfigDict(extra="allow")

    grids: tuple[_Asked, ...] = ()
    commands: tuple[_Command, ...] = ()


R = TypeVar("R", bound=BaseModel)


def checked(path: Path, model: type[R]) -> tuple[dict[str, Any], R]:
    """Return what a stored file holds, as it is and as the model says.

    Raises:
        Newer: a newer version wrote it.
        FileNotFoundError: it is not there.
        Damaged: it is not what was written.
    """
    content = read_json(path)
    try:
        return content, model.model_validate(content)
    except ValidationError as error:
        raise Damaged(f"{path.name}: {' '.join(first_problem(error, model).split())}") from None


def read_cell(folder: Path) -> Cell:
    """The specification in a cell's folder; raises what ``checked`` raises."""
    return checked(folder / "cell.json", Cell)[1]


def read_failure(folder: Path) -> Failure | None:
    """Return how the cell ended without a result, where it did; raises Newer and Damaged."""
    try:
        failed = checked(folder / "failure.json", _Failed)[1]
    except FileNotFoundError:
        return None
    return Failure(**{field.name: getattr(failed, field.name) for field in fields(Failure)})


def read_environment(folder: Path) -> dict[str, Any]:
    """Return the recorded environment of a finished cell's result; raises what ``checked`` raises."""
    return dict(checked(folder / "result.json", Result)[0]["environment"])


def read_numerics(folder: Path) -> dict[str, int] | None:
    """Return the versions of the numerics that made a finished cell's result, where it states them; raises what
    ``checked`` raises."""
    return checked(folder / "result.json", Result)[1].numerics


def has_weights(folder: Path) -> bool:
    """Return whether a finished cell has its weights: results may be published without them."""
    return (folder / WEIGHTS).exists() or not (folder / LEFT_OUT).exists()


def read_state(folder: Path) -> State:
    """Return the selected meta-state in a finished cell's folder.

    Raises:
        UserError: its results were published without weights.
    """
    if not has_weights(folder):
        raise UserError(
            f"the weights of {folder.name} were left out when its results were published; run its grid in a folder of "
            "your own to have them"
        )
    return weights_of(read_regular(folder / WEIGHTS))


@dataclass(frozen=True)
class Record:
    """A cell that was read.

    Attributes:
        row: specification, status, summary, digests and failure, with dots in nested names.
        cell: its specification; None where that cannot be read.
        tables: its tables by the names of their files; empty where it ended without a result.
        budgets: numbers by name at each earlier budget, as ``Result`` has them.
    """

    row: dict[str, Any]
    cell: Cell | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    budgets: tuple[Mapping[str, Any], ...] = ()


def read_record(folder: Path) -> Record:
    """Return all that a cell's folder holds, checked.

    Raises:
        Newer: a newer version wrote it.
        Unknown: its dataset is not registered here.
        FileNotFoundError: a file was just replaced.
        Damaged: it is not what was written.
    """
    if printable(folder.name) != folder.name:
        raise Damaged("the name of its folder is not valid text")
    cell = read_cell(folder)
    row = {"cell": folder.name} | _identity(cell)
    failure = read_failure(folder)
    if failure is not None:
        return Record(row | {"status": failure.kind, "message": failure.message}, cell)
    content, result = checked(folder / "result.json", Result)
    kept = {WEIGHTS} if has_weights(folder) else set()
    if result.files is None:
        files = read_all(folder, [name for name in ALWAYS if name != WEIGHTS or name in kept])
    else:
        there = {name: file for name, file in result.files.items() if name != WEIGHTS or name in kept}
        files = read_described(folder, there)
    tables = {name: table_of(name, files[name], cell) for name in (EPISODES, CURVE, BUDGETS) if name in files}
    if WEIGHTS in kept:
        _check_weights(files[WEIGHTS])
    budgets = tuple(budget.model_dump() for budget in result.budgets)
    if any(map(has_episodes, budgets)) != (BUDGETS in files):
        raise Damaged(f"result.json and {BUDGETS} do not speak of the same budgets")
    digests = {f"digest.{name}": value for name, value in content["digests"].items()}
    numerics = None if result.numerics is None else json.dumps(result.numerics)
    version = {"schema_version": result.schema_version, NUMERICS: numerics}
    row = row | {"status": "ok", "message": "", **version, **result.summary, **digests}
    return Record(row, cell, tables, budgets)


def table_of(name: str, content: bytes, cell: Cell) -> pa.Table:
    """Return a table of a cell from the contents of its file; raise Damaged where it is none."""
    if name == CURVE:
        return read_curve(content)
    if name == BUDGETS:
        return read_budgets(content, cell.entry.kind)
    return read_episodes(content, cell.entry.kind, cell.external)


def has_episodes(budget: Mapping[str, Any]) -> bool:
    """Return whether the numbers at an earlier budget have episodes beside them: nothing diverged there."""
    return any(budget[name] is not None for name in ("test_mse", "test_return", "test_accuracy_transductive"))


def record_of(folder: Path) -> Record:
    """``read_record``, or a record whose row says why the cell cannot be read: newer, unknown or damaged.

    Raises:
        FileNotFoundError: a file was just replaced.
    """
    try:
        return read_record(folder)
    except Newer as error:
        why = {"status": "newer", "message": str(error)}
    except Unknown as error:
        why = {"status": "unknown", "message": str(error)}
    except Damaged as error:
        why = damaged(str(error))
    return Record(_known_of(folder) | why)


def damaged(reason: str) -> dict[str, str]:
    """Status and message of a cell that is."""
    return {
        "status": "damaged",
        "message": f"damaged: {printable(reason)}; `python -m bench run` sets it aside and runs it again",
    }


def _identity(cell: Cell) -> dict[str, Any]:
    """The columns that say what a cell is, from its specification alone."""
    setting = json.dumps(cell.setting, sort_keys=True, separators=(",", ":"))
    try:
        source = {EXTERNAL: cell.external.source} if cell.external else {}
        return {name: getattr(cell, name) for name in ROW[1:]} | {SETTING: setting} | source
    except UserError:
        raise Unknown(
            f"unknown: no dataset '{cell.dataset}' is registered here; import the module that registers it"
        ) from None


def _known_of(folder: Path) -> dict[str, Any]:
    """The columns of a cell that cannot be read whole, as far as its specification says."""
    known: dict[str, Any] = {"cell": printable(folder.name), **UNKNOWN}
    try:
        cell = read_cell(folder)
        known |= {name: getattr(cell, name) for name in ROW[1:] if name != "shape"}
        return known | _identity(cell)
    except Newer as error:
        return known | {name: value for name, value in error.content.items() if _names_a_cell(name, value)}
    except (Damaged, Unknown, FileNotFoundError):  # damaged too
        return known


def _names_a_cell(name: str, value: object) -> bool:
    """Return whether an unchecked field of a newer specification can stand in a row."""
    return name in ("algorithm", "dataset") and isinstance(value, str) and len(value) <= LONGEST_NAME


def _check_weights(content: bytes) -> None:
    try:
        load(content)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"{WEIGHTS} cannot be read ({(str(error).splitlines() or ['no reason'])[0]})") from None
