"""Grids: specifications of an experiment, validated, and the cells that they expand to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from algorithms import ALGORITHMS
from algorithms.core.hyperparameters import tuning_space
from algorithms.engines.names import EngineName, PrecisionName
from bench.spec.cell import Cell, Evaluation, TrainingBudget
from bench.spec.dataset_use import DatasetUse
from bench.spec.model import LARGEST_SEED, Model
from bench.spec.network import NetworkSpec
from bench.spec.own_data import FolderSpec, TableSpec
from bench.spec.problems import first_problem, shortened
from bench.spec.shipped_grids import GRIDS, grid_names
from bench.spec.tokens import TextSpec, usual_network, usual_text
from bench.spec.tuned_file import plain_shape, tuned_values
from bench.spec.yaml_file import read_yaml
from datasets import DATASETS, UserError
from datasets.core.registry import among, suggest

if TYPE_CHECKING:
    from datasets.core.episodes import Kind

LISTED = "`python -m bench list` lists them"

__all__ = ["GRIDS", "DatasetUse", "Grid", "Settings", "grid_names", "load_grid", "parse_grid"]


class Settings(Model):
    """Hyper-parameters put on top of the papers' for the cells that match, or their network; empty lists match all.

    Where ``algorithms`` is empty, ``set`` reaches every algorithm that has such a hyper-parameter. ``tuned`` stands
    for ``set``: a folder with the files that ``python -m bench tune`` wrote, one for each algorithm that is matched.
    ``network`` stands for the dataset's, alone or beside one of these.
    """

    algorithms: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    ways: tuple[int, ...] = ()
    shots: tuple[int, ...] = ()
    set: dict[str, Any] | None = None
    tuned: str | None = None
    network: NetworkSpec | None = None

    @field_validator("network")
    @classmethod
    def _complete(cls, network: NetworkSpec | None) -> NetworkSpec | None:
        return network and network.complete()

    @model_validator(mode="after")
    def _set_or_tuned(self) -> Self:
        if (self.set is None) == (self.tuned is None) and (self.network is None or self.set is not None):
            got = "both" if self.tuned is not None else "neither"
            raise ValueError(f"exactly one of `set` and `tuned` must be given, but got {got}")
        return self

    @field_validator("algorithms")
    @classmethod
    def _known_algorithms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(ALGORITHMS[name].name for name in names)

    def matches(self, algorithm: str, dataset: str, n_way: int, n_shot: int) -> bool:
        conditions: tuple[tuple[tuple[Any, ...], Any], ...] = (
            (self.algorithms, algorithm),
            (self.ways, n_way),
            (self.shots, n_shot),
        )
        reached = not self.datasets or any(name in self.datasets for name in DATASETS.origins(dataset))
        return reached and all(not allowed or value in allowed for allowed, value in conditions)


class Grid(Model):
    """Algorithms by datasets by shapes by seeds."""

    name: str = "grid"
    description: str = ""
    algorithms: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[DatasetUse, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, le=LARGEST_SEED)], ...] = Field((0, 1, 2), min_length=1)
    train: TrainingBudget
    evaluation: Evaluation = Evaluation()
    settings: tuple[Settings, ...] = ()
    network: NetworkSpec | None = None

    @field_validator("network")
    @classmethod
    def _complete(cls, network: NetworkSpec | None) -> NetworkSpec | None:
        return network and network.complete()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.strip() or name.startswith(".") or re.search(r"[/\\\0\n]", name):
            raise ValueError(f"got {shortened(name)}; it names the folder of the results: no slashes, no dot in front")
        return name

    @field_validator("algorithms")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(ALGORITHMS[name].name for name in names)

    @field_validator("algorithms", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]!r} is given more than once")
        return values

    def cells(
        self, device: str = "cpu", engine: EngineName | None = None, precision: PrecisionName | None = None
    ) -> list[Cell]:
        """All cells, by dataset, shape, seed and algorithm.

        Raises:
            UserError: settings, engine or precision do not fit.
        """
        cells: list[Cell] = []
        known = list(dict.fromkeys([*(use.name for use in self.datasets), *DATASETS.names()]))
        for position, settings in enumerate(self.settings):
            for name in settings.datasets:
                if name not in known and name not in DATASETS:
                    hint = among(name, known, elsewhere="`python -m bench list`")
                    raise UserError(f"settings.{position}.datasets: unknown dataset '{name}'{hint}")
        problems = [
            (use.name, shots, algorithm, ways)
            for use in self.datasets
            for ways in use.all_ways
            for shots in use.shots
            for algorithm in self._algorithms_of(use)
        ]
        for problem, count in Counter(problems).items():
            if count > 1:
                raise UserError(
                    f"datasets: {problem[0]} with {problem[1]} shots is given more than once for {problem[2]}; for "
                    "other tokens or networks run another grid to another folder, then: bench report A --compare B"
                )
        for use in self.datasets:
            train = merged(self.train, use.train, f"datasets ({use.name}): train")
            evaluation = merged(self.evaluation, use.evaluation, f"datasets ({use.name}): evaluation")
            shapes = [(ways, shots) for ways in use.all_ways for shots in use.shots]
            algorithms = [name for name in self._algorithms_of(use) if _reason_against(name, use) is None]
            for n_way, n_shot in shapes:
                networks = {algorithm: self._network(algorithm, use, n_way, n_shot) for algorithm in algorithms}
                hparams = {
                    algorithm: self._hparams(algorithm, use, n_way, n_shot, networks[algorithm])
                    for algorithm in algorithms
                }
                for algorithm, values in hparams.items():
                    _check_shape(algorithm, use.name, values, train.n_shot or n_shot, train.n_query)
                for seed in self.seeds:
                    for algorithm in algorithms:
                        cell = Cell(
                            algorithm=algorithm,
                            hparams=hparams[algorithm],
                            dataset=use.name,
                            folder=own if isinstance(own := use.own_data, FolderSpec) else None,
                            table=own if isinstance(own, TableSpec) else None,
                            text=_text(use, networks[algorithm]),
                            n_way=n_way,
                            n_shot=n_shot,
                            train=train,
                            evaluation=evaluation,
                            network=networks[algorithm],
                            seed=seed,
                            device=device,
                            engine=engine,
                            precision=precision,
                        )
                        cell.check_inputs(cell.entry.input_shape)
                        cell.check_budgets()
                        cells.append(cell)
        if not cells:
            use = self.datasets[0]
            for name in self._algorithms_of(use)[:1]:
                raise UserError(f"no cell is left: {name} cannot learn {use.name}: {_reason_against(name, use)}")
        return cells

    @property
    def left_out(self) -> list[str]:
        """Return what the grid asks for and cannot be learnt, in words.

        A line for the algorithms that do not do the kind of some datasets, then one per other algorithm and dataset.
        """
        of_kind: dict[tuple[str, Kind], list[str]] = {}
        others = []
        for use in self.datasets:
            for name in self._algorithms_of(use):
                reason = _reason_against(name, use)
                if use.entry.kind not in ALGORITHMS[name].kinds:
                    of_kind.setdefault((name, use.entry.kind), []).append(use.name)
                elif reason is not None:
                    others.append(f"{name} on {use.name}: {reason}")
        of_datasets: dict[tuple[Kind, tuple[str, ...]], list[str]] = {}
        for (name, kind), datasets in of_kind.items():
            of_datasets.setdefault((kind, tuple(dict.fromkeys(datasets))), []).append(name)
        lines = [
            f"{', '.join(names)} {'do' if len(names) > 1 else 'does'} not do {kind} ({', '.join(datasets)})"
            for (kind, datasets), names in of_datasets.items()
        ]
        return [*lines, *others]

    def _algorithms_of(self, use: DatasetUse) -> list[str]:
        return [name for name in self.algorithms if not use.algorithms or name in use.algorithms]

    def _network(self, algorithm: str, use: DatasetUse, n_way: int, n_shot: int) -> NetworkSpec:
        """Return the last network that settings give, or else the dataset's, or else the grid's."""
        for settings in reversed(self.settings):
            if settings.network is not None and settings.matches(algorithm, use.name, n_way, n_shot):
                return settings.network
        network = self.network if self.network is not None and use.network == NetworkSpec() else use.network
        return usual_network() if network == NetworkSpec() and "text" in use.entry.traits else network

    def _hparams(
        self, algorithm: str, use: DatasetUse, n_way: int, n_shot: int, network: NetworkSpec
    ) -> dict[str, Any]:
        entry, dataset = ALGORITHMS[algorithm], use.entry
        fields = list(entry.hparams.model_fields)
        changes: dict[str, Any] = {}
        known_to_all = list(dict.fromkeys(field for other in ALGORITHMS for field in other.hparams.model_fields))
        for position, settings in enumerate(self.settings):
            if not settings.matches(algorithm, dataset.name, n_way, n_shot):
                continue
            if settings.tuned is not None and tuning_space(entry.hparams):
                shape = plain_shape(dataset.kind, n_way, n_shot)
                changes |= tuned_values(Path(settings.tuned), algorithm, use.name, shape, network)
            for name, value in (settings.set or {}).items():
                if name in fields:
                    changes[name] = value
                elif settings.algorithms:
                    hint = among(name, fields, "allowed", f"`python -m bench list {algorithm}`")
                    raise UserError(f"settings.{position}.set.{name}: {algorithm} has no such hyper-parameter{hint}")
                elif name not in known_to_all:
                    hint = suggest(name, known_to_all)
                    raise UserError(f"settings.{position}.set.{name}: no algorithm has such a hyper-parameter{hint}")
        try:
            return entry.settings(dataset.family, n_way, n_shot, changes).model_dump(mode="json")
        except ValidationError as error:
            raise UserError(f"settings: {algorithm}: {first_problem(error, entry.hparams)}") from None


def _check_shape(algorithm: str, dataset: str, hparams: Mapping[str, Any], n_shot: int, n_query: int) -> None:
    """Raise UserError where a hyper-parameter asks for more than training episodes of these sizes hold."""
    try:
        ALGORITHMS[algorithm].hparams.model_validate(hparams).check_shape(n_shot, n_query)
    except ValueError as error:
        raise UserError(f"settings: {algorithm} on {dataset}: {error}") from None


def _text(use: DatasetUse, network: NetworkSpec) -> TextSpec | None:
    """Return the tokens that the network is given; None where the dataset holds no texts."""
    if "text" not in use.entry.traits:
        return None
    return usual_text(network) if use.text is None else use.text.complete()


def _reason_against(algorithm: str, use: DatasetUse) -> str | None:
    """Return why the algorithm cannot learn the dataset; None where it can."""
    return ALGORITHMS[algorithm].reason_against(use.entry.kind, use.entry.traits)


M = TypeVar("M", bound=Model)


def merged(base: M, changes: Mapping[str, Any], where: str) -> M:
    """Return ``base`` with ``changes``, of which a budget in episodes or seconds replaces the other.

    Raises:
        UserError: a field is unknown, or a value is not allowed; the message starts with ``where``.
    """
    values = base.model_dump() | dict(changes)
    if "seconds" in changes and "episodes" not in changes:
        values["episodes"] = None
    if "episodes" in changes and "seconds" not in changes and "seconds" in values:
        values["seconds"] = None
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error, type(base))}") from None


def load_grid(name_or_path: str | Path) -> Grid:
    """A grid by its name in ``bench/spec/grids`` or by the path of its file.

    Raises:
        UserError: one line with the file, the field, the value and what is allowed.
    """
    path = Path(name_or_path)
    if not path.suffix and str(name_or_path) in grid_names():
        path = GRIDS / f"{name_or_path}.yaml"
    elif not path.is_file():
        known = grid_names()
        if path.is_dir() and str(name_or_path):
            raise UserError(f"{name_or_path}: a folder, not a grid; give a YAML file, or the name of a grid ({LISTED})")
        if path.suffix in (".yaml", ".yml") or "/" in str(name_or_path):
            raise UserError(f"{name_or_path}: no such file; give another path, or the name of a grid ({LISTED})")
        near = suggest(str(name_or_path), known) or ";"
        raise UserError(f"no grid '{name_or_path}'{near} {LISTED}; a grid of your own is the path of a YAML file")
    return parse_grid(read_yaml(path), str(path), default_name=path.stem)


def parse_grid(content: object, where: str = "grid", default_name: str = "grid") -> Grid:
    """A grid from what a YAML file holds; every mistake in it is a UserError that starts with ``where``."""
    if not isinstance(content, dict):
        what = {type(None): "the file is empty", list: "this is a list"}.get(type(content), "this is one value")
        raise UserError(f"{where}: a grid is a mapping of fields, such as `algorithms: [maml]`, but {what}")
    try:
        grid = Grid.model_validate({"name": default_name} | content)
        grid.cells()
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error, Grid)}") from None
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {ascii(error.object)[:200]} is not valid text") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return grid
