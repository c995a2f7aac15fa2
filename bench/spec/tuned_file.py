"""The file that a search leaves: the hyper-parameters it selected, and where they come from.

``tuned/<algorithm>--<dataset>-<shape>.yaml``. A grid's ``settings: [{tuned: FOLDER}]`` puts its values into cells.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from bench.spec.model import Model
from bench.spec.network import NetworkSpec
from bench.spec.problems import first_problem
from bench.spec.yaml_file import read_yaml
from datasets import UserError

TUNED_SCHEMA = 1
LONGEST = 240  # characters of a name, which files of several endings have
AGAIN = "run `python -m bench tune` again"


class Search(Model):
    """The search that selected the values.

    Attributes:
        study: its name in the storage.
        storage: the kind of storage.
        settings: SHA-256 of what the study tunes: cell, space, sampler, pruner, objective.
        objective: what was optimized, the first one selecting.
        sampler: what proposed hyper-parameters.
        pruner: what ended trials early.
        seed: of training and of the sampler, in every trial.
        trial: the number of the selected trial.
    """

    study: str
    storage: Literal["sqlite", "postgresql"]
    settings: str
    objective: str
    sampler: str
    pruner: str
    seed: int
    trial: int


class Spent(Model):
    """The cost of the search.

    Attributes:
        trials: that ended, each slot of the budget counted once.
        complete: of these, trained to the end.
        pruned: of these, ended by the pruner, or diverged.
        failed: of these, ended without a value.
        repeated: attempts in addition, because a worker died or was interrupted.
        episodes: meta-train episodes of all attempts.
        seconds: wall seconds of all attempts, added up.
    """

    trials: int = Field(ge=0)
    complete: int = Field(ge=0)
    pruned: int = Field(ge=0)
    failed: int = Field(ge=0)
    repeated: int = Field(ge=0)
    episodes: int = Field(ge=0)
    seconds: float = Field(ge=0)


class Validation(Model):
    """The selected trial on the meta-validation list.

    Attributes:
        metric: ``accuracy_transductive``, ``accuracy_inductive`` or ``mse``.
        value: of the selected meta-state.
        episodes: in the list.
        digest: SHA-256 of the list.
    """

    metric: str
    value: float
    episodes: int
    digest: str


class Tuned(Model):
    """One search's result; ``values`` are the hyper-parameters that it selected."""

    schema_version: int = TUNED_SCHEMA
    algorithm: str
    dataset: str
    shape: str
    network: NetworkSpec
    values: dict[str, Any]
    validation: Validation
    search: Search
    budget: Spent

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it, in canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def plain_shape(kind: str, n_way: int, n_shot: int) -> str:
    """``5-way 1-shot``, or ``10-shot`` for regression."""
    return f"{n_way}-way {n_shot}-shot" if kind == "classification" else f"{n_shot}-shot"


def tuned_name(algorithm: str, dataset: str, shape: str) -> str:
    """The file's name without its ending, and part of the study's: safe whatever the names in it and however long."""
    words = f"{algorithm}--{dataset}-{shape.replace(' ', '-')}"
    name = re.sub(r"[^A-Za-z0-9@._-]", "_", words).lstrip(".")
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 14]}--{hashlib.sha256(words.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"


def write_tuned(folder: Path, tuned: Tuned) -> Path:
    """Write the file whole or not at all; its path."""
    place = folder / f"{tuned_name(tuned.algorithm, tuned.dataset, tuned.shape)}.yaml"
    content = {**tuned.model_dump(mode="json", exclude_none=True), "digest": tuned.digest}
    folder.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}~")
    temporary.write_text(yaml.safe_dump(content, sort_keys=False, width=120), encoding="utf-8")
    temporary.replace(place)
    return place


def read_tuned(path: Path) -> Tuned:
    """The result in a file.

    Raises:
        UserError: it is missing, damaged, of another version, or was changed by hand.
    """
    if not path.is_file():
        raise UserError(f"no tuned hyper-parameters in {path}; `python -m bench tune` writes them")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a file of tuned hyper-parameters; {AGAIN}")
    if (version := content.get("schema_version")) != TUNED_SCHEMA:
        raise UserError(f"{path}: of version {version!r}, but this bench reads version {TUNED_SCHEMA}; {AGAIN}")
    digest = content.pop("digest", None)
    try:
        tuned = Tuned.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error, Tuned)}; {AGAIN}") from None
    if tuned.digest != digest:
        raise UserError(
            f"{path}: its content does not match its digest; {AGAIN}, or put values of your own into the grid's `set`"
        )
    return tuned


def tuned_values(folder: Path, algorithm: str, dataset: str, shape: str, network: NetworkSpec) -> dict[str, Any]:
    """The values selected for that algorithm, dataset, shape and network.

    Raises:
        UserError: the file is missing, cannot be used, or is for something else.
    """
    path = folder / f"{tuned_name(algorithm, dataset, shape)}.yaml"
    tuned = read_tuned(path)
    for what, tuned_for, requested in (
        ("algorithm", tuned.algorithm, algorithm),
        ("dataset", tuned.dataset, dataset),
        ("shape", tuned.shape, shape),
        ("network", _in_words(tuned.network), _in_words(network)),
    ):
        if tuned_for != requested:
            raise UserError(
                f"{path}: tuned for {what} '{tuned_for}', but the grid asks for '{requested}'; tune that as well"
            )
    return tuned.values


def _in_words(network: NetworkSpec) -> str:
    changes = network.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{name}={value}" for name, value in changes.items()) or "usual"
