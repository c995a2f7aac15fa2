"""What the user asked for: a grid, validated, and the cells it expands to. The only reader of YAML."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from algorithms import ALGORITHMS
from algorithms.networks import MLP, Conv4, HeadInit, Network
from datasets import DATASETS, Dataset, DatasetEntry, UserError
from datasets.episodes import Kind
from datasets.image_folder import load_folder
from datasets.registry import suggest

GRIDS = Path(__file__).parent / "grids"
CELL_SCHEMA = 1


class Model(BaseModel):
    """Frozen, and strict about names; numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(Model):
    """The training budget, equal for every algorithm.

    Attributes:
        episodes: meta-train episodes consumed (plain batches: as many images as these episodes hold).
        seconds: a wall-clock budget instead of ``episodes``; exactly one of the two is given.
        n_query: queries a class in training episodes.
        eval_every: outer steps between two measurements on the meta-validation episodes.
    """

    episodes: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    n_query: int = Field(15, ge=1)
    eval_every: int = Field(500, ge=1)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.episodes is None) == (self.seconds is None):
            raise ValueError(
                f"exactly one of `episodes` and `seconds` must be given, "
                f"but got episodes={self.episodes}, seconds={self.seconds}"
            )
        return self


class Evaluation(Model):
    """How a trained meta-state is measured.

    Attributes:
        val_episodes: episodes of the fixed meta-validation list.
        test_episodes: episodes of the fixed meta-test list.
        n_query: queries a class in both lists.
        select_by: which accuracy picks the checkpoint that is tested (the same for regression).
    """

    val_episodes: int = Field(100, ge=1)
    test_episodes: int = Field(600, ge=2)
    n_query: int = Field(15, ge=1)
    select_by: Literal["transductive", "inductive"] = "transductive"


class NetworkSpec(Model):
    """Changes to the family's network: Conv4-64 with strides, Conv4-32 with max-pooling, or an MLP 40-40."""

    channels: int | None = Field(None, ge=1)
    downsample: Literal["stride", "max-pool"] | None = None
    reduce: Literal["mean", "flatten"] | None = None
    norm_scale: bool | None = None
    head_init: HeadInit | None = None
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, min_length=1)

    def check(self, dataset: str, kind: Kind) -> None:
        """Raises UserError where a change does not fit the network for that kind of dataset."""
        allowed = (
            ["hidden"] if kind == "regression" else ["channels", "downsample", "head_init", "norm_scale", "reduce"]
        )
        if wrong := sorted(set(self.model_dump(exclude_none=True)) - set(allowed)):
            raise UserError(f"network.{wrong[0]} does not apply to {dataset}; allowed there: {', '.join(allowed)}")

    def build(self, family: str, input_shape: tuple[int, ...], n_outputs: int) -> Network:
        """The network for a dataset family, with changes that ``check`` has passed."""
        changes = self.model_dump(exclude_none=True)
        if len(input_shape) == 1:
            return MLP(input_shape[0], n_outputs, **changes)
        usual: dict[str, Any] = {}
        if family == "mini-imagenet":
            usual = {"channels": 32, "downsample": "max-pool", "reduce": "flatten"}
        channels, height, width = input_shape
        return Conv4((channels, height, width), n_outputs, **(usual | changes))


class FolderSplit(Model):
    """The parts of a folder's classes that validate and test."""

    val: float = Field(gt=0, lt=1)
    test: float = Field(gt=0, lt=1)


class Folder(Model):
    """A dataset of the user's own: images in class folders; see ``datasets.image_folder``.

    Attributes:
        path: a folder, zip or tar with train, val and test folders of class folders, or of class folders alone.
        size: height and width to which images are resized.
        channels: 1 for grey (networks and settings as for Omniglot) or 3 for RGB (as for mini-ImageNet).
        split: how to split the classes of a folder that is not split.
        seed: of that split.
    """

    path: str
    size: int = Field(84, ge=1, le=1024)
    channels: Literal[1, 3] = 3
    split: FolderSplit | None = None
    seed: int = 0

    def entry(self, name: str) -> DatasetEntry:
        """The folder as the registry's datasets are described."""

        def load(root: Path) -> Dataset:
            val, test = (self.split.val, self.split.test) if self.split else (None, None)
            return load_folder(name, self.path, self.size, self.channels, val, test, self.seed, root)

        family = "omniglot" if self.channels == 1 else "mini-imagenet"
        return DatasetEntry(name, "classification", family, f"images in {self.path}", "", load)


class DatasetUse(Model):
    """One dataset of a grid, with the shapes of its episodes; the other fields replace the grid's for this dataset.

    With ``kind: image-folder`` it is the user's own, and ``path``, ``size``, ``channels``, ``split`` and ``seed`` say
    what ``Folder`` says.
    """

    kind: Literal["image-folder"] | None = None
    name: str = Field(min_length=1)
    path: str | None = None
    size: int | None = None
    channels: int | None = None
    split: FolderSplit | None = None
    seed: int | None = None
    ways: tuple[int, ...] | None = Field(None, min_length=1)
    shots: tuple[int, ...] = Field(min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)
    network: NetworkSpec = NetworkSpec()

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, others: ValidationInfo) -> str:
        if others.data.get("kind") is None:
            return DATASETS[name].name
        if name in DATASETS:
            raise ValueError(f"'{name}' is the name of a dataset that comes with the benchmark; choose another")
        return name

    @model_validator(mode="after")
    def _a_whole_folder_or_none(self) -> Self:
        given = [name for name in Folder.model_fields if getattr(self, name) is not None]
        if self.kind is None and given:
            raise ValueError(f"`{given[0]}` is for datasets with `kind: image-folder`")
        if self.kind is not None and self.path is None:
            raise ValueError("`kind: image-folder` needs `path`")
        _ = self.folder  # raises where a value is not allowed
        return self

    @property
    def folder(self) -> Folder | None:
        """The folder, where the dataset is one."""
        if self.kind is None:
            return None
        values = {name: getattr(self, name) for name in Folder.model_fields}
        try:
            return Folder.model_validate({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise ValueError(first_problem(error, Folder)) from None

    @field_validator("ways", "shots")
    @classmethod
    def _positive(cls, values: tuple[int, ...] | None) -> tuple[int, ...] | None:
        for value in values or ():
            if value < 1:
                raise ValueError(f"{value} is not allowed; use whole numbers from 1")
        return values

    @property
    def entry(self) -> DatasetEntry:
        """The dataset as the registry describes it."""
        return self.folder.entry(self.name) if self.folder else DATASETS[self.name]

    @property
    def all_ways(self) -> tuple[int, ...]:
        """The ways asked for: 5 by default, always 1 for regression."""
        if self.entry.kind == "regression":
            if self.ways not in (None, (1,)):
                raise UserError(f"{self.name}: regression has no ways; leave `ways` out")
            return (1,)
        if self.ways and min(self.ways) < 2:
            raise UserError(f"{self.name}: ways: {min(self.ways)} is not allowed; classification needs at least 2")
        return self.ways or (5,)


class Settings(Model):
    """Hyper-parameters put on top of the papers' for the cells that match; empty lists match all.

    Where ``algorithms`` is empty, ``set`` reaches every algorithm that has such a hyper-parameter.
    """

    algorithms: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    ways: tuple[int, ...] = ()
    shots: tuple[int, ...] = ()
    set: dict[str, Any]

    @field_validator("algorithms")
    @classmethod
    def _known_algorithms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(ALGORITHMS[name].name for name in names)

    def matches(self, algorithm: str, dataset: str, n_way: int, n_shot: int) -> bool:
        wanted: tuple[tuple[tuple[Any, ...], Any], ...] = (
            (self.algorithms, algorithm),
            (self.datasets, dataset),
            (self.ways, n_way),
            (self.shots, n_shot),
        )
        return all(not allowed or value in allowed for allowed, value in wanted)


class Cell(Model):
    """One run: an algorithm on a dataset and shape under a seed. Whatever changes its result is in here."""

    schema_version: int = CELL_SCHEMA
    algorithm: str
    hparams: dict[str, Any]
    dataset: str
    folder: Folder | None = None
    n_way: int
    n_shot: int
    train: Training
    evaluation: Evaluation
    network: NetworkSpec
    seed: int
    device: str = "cpu"

    @property
    def digest(self) -> str:
        """SHA-256 of the specification in canonical JSON: sorted keys, no spaces."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def shape(self) -> str:
        """``5-way 1-shot``, or ``10-shot`` for regression."""
        shots = f"{self.n_shot}-shot"
        return shots if self.entry.kind == "regression" else f"{self.n_way}-way {shots}"

    @property
    def entry(self) -> DatasetEntry:
        """The dataset as the registry describes it."""
        return self.folder.entry(self.dataset) if self.folder else DATASETS[self.dataset]

    @property
    def id(self) -> str:
        """The cell's folder: readable, and safe as a file name whatever the names in it."""
        words = f"{self.algorithm}--{self.dataset}-{self.shape.replace(' ', '-')}--seed{self.seed}"
        return f"{re.sub(r'[^A-Za-z0-9@._-]', '_', words).lstrip('.')}--{self.digest[:12]}"


class Grid(Model):
    """Algorithms by datasets by shapes by seeds."""

    name: str = "grid"
    description: str = ""
    algorithms: tuple[str, ...] = Field(min_length=1)
    datasets: tuple[DatasetUse, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    train: Training
    evaluation: Evaluation = Evaluation()
    settings: tuple[Settings, ...] = ()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not name.strip() or name.startswith(".") or re.search(r"[/\\\0\n]", name):
            raise ValueError(f"got {_shortened(name)}; it names the folder of the results: no slashes, no dot in front")
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

    def cells(self, device: str = "cpu") -> list[Cell]:
        """All cells, by dataset, shape, seed and algorithm; raises UserError where settings do not fit."""
        found: list[Cell] = []
        known = list(dict.fromkeys([*(use.name for use in self.datasets), *DATASETS.names()]))
        for position, settings in enumerate(self.settings):
            for name in settings.datasets:
                if name not in known:
                    raise UserError(f"settings.{position}.datasets: unknown dataset '{name}'{suggest(name, known)}")
        problems = [(use.name, ways, shots) for use in self.datasets for ways in use.all_ways for shots in use.shots]
        for problem in problems:
            if problems.count(problem) > 1:
                raise UserError(f"datasets: {problem[0]} with {problem[2]} shots is given more than once")
        for use in self.datasets:
            use.network.check(use.name, use.entry.kind)
            train = _merged(self.train, use.train, f"datasets ({use.name}): train")
            evaluation = _merged(self.evaluation, use.evaluation, f"datasets ({use.name}): evaluation")
            shapes = [(ways, shots) for ways in use.all_ways for shots in use.shots]
            for n_way, n_shot in shapes:
                for seed in self.seeds:
                    for algorithm in self.algorithms:
                        if use.entry.kind in ALGORITHMS[algorithm].kinds:
                            cell = Cell(
                                algorithm=algorithm,
                                hparams=self._hparams(algorithm, use.entry, n_way, n_shot),
                                dataset=use.name,
                                folder=use.folder,
                                n_way=n_way,
                                n_shot=n_shot,
                                train=train,
                                evaluation=evaluation,
                                network=use.network,
                                seed=seed,
                                device=device,
                            )
                            found.append(cell)
        return found

    def _hparams(self, algorithm: str, dataset: DatasetEntry, n_way: int, n_shot: int) -> dict[str, Any]:
        entry = ALGORITHMS[algorithm]
        fields = list(entry.hparams.model_fields)
        changes: dict[str, Any] = {}
        for position, settings in enumerate(self.settings):
            if not settings.matches(algorithm, dataset.name, n_way, n_shot):
                continue
            for name, value in settings.set.items():
                if name in fields:
                    changes[name] = value
                elif settings.algorithms:
                    raise UserError(
                        f"settings.{position}.set.{name}: {algorithm} has no such hyper-parameter"
                        f"{suggest(name, fields)}; allowed: {', '.join(fields)}"
                    )
                elif not any(name in other.hparams.model_fields for other in ALGORITHMS):
                    raise UserError(f"settings.{position}.set.{name}: no algorithm has such a hyper-parameter")
        try:
            return entry.settings(dataset.family, n_way, n_shot, changes).model_dump(mode="json")
        except ValidationError as error:
            raise UserError(f"settings: {algorithm}: {first_problem(error, entry.hparams)}") from None


M = TypeVar("M", bound=Model)


def _merged(base: M, changes: dict[str, Any], where: str) -> M:
    values = base.model_dump() | changes
    if "seconds" in changes and "episodes" not in changes:
        values["episodes"] = None
    if "episodes" in changes and "seconds" not in changes and "seconds" in values:
        values["seconds"] = None
    try:
        return type(base).model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error, type(base))}") from None


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """One of pydantic's complaints in one line: field, value, what is allowed; and how many more there are.

    An unknown field comes first: where it is a misspelt one, that one is reported as missing too.
    """
    problems = error.errors()
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    field = ".".join(str(part) for part in problem["loc"]) or "the grid"
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        message = f"unknown field{suggest(str(problem['loc'][-1]), known)}; allowed: {', '.join(known)}"
        text = f"{field}: {message}"
    elif kind == "missing":
        text = f"{field}: required, but not given"
    elif kind == "value_error":
        text = f"{field}: {problem['ctx']['error']!s}"
    else:
        text = f"{field}: got {_shortened(problem['input'])}; {message[0].lower()}{message[1:]}"
    return text + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _shortened(value: object) -> str:
    """``repr``, cut where it is long or deep: a few nested aliases in YAML can stand for billions of elements."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxlong, short.maxother = 2, 80, 80, 80
    return short.repr(value)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that ``path`` leads to from ``model``."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            inner = re.findall(r"bench\.spec\.(\w+)", repr(model.model_fields[part].annotation))
            if inner:
                model = globals()[inner[0]]
    return list(model.model_fields)


def grid_names() -> list[str]:
    """The grids that come with the package."""
    return sorted(path.stem for path in GRIDS.glob("*.yaml"))


class _Loader(yaml.SafeLoader):
    """YAML's plain types only, and no field given twice, of which PyYAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"'{repeated[0]}' is given more than once {str(node.start_mark).strip()}")
        return super().construct_mapping(node, deep)


def load_grid(name_or_path: str | Path) -> Grid:
    """A grid by its name in ``bench/grids`` or by the path of its file.

    Raises:
        UserError: one line with the file, the field, the value and what is allowed.
    """
    path = Path(name_or_path)
    if not path.suffix and str(name_or_path) in grid_names():
        path = GRIDS / f"{name_or_path}.yaml"
    elif not path.is_file():
        known = grid_names()
        raise UserError(
            f"no grid '{name_or_path}'{suggest(str(name_or_path), known) or ';'} grids: {', '.join(known)}, "
            "or the path of a YAML file"
        )
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    return parse_grid(content, str(path), default_name=path.stem)


def parse_grid(content: object, where: str = "grid", default_name: str = "grid") -> Grid:
    """A grid from what a YAML file holds; every mistake in it is a UserError that starts with ``where``."""
    if not isinstance(content, dict):
        raise UserError(f"{where}: a grid is a mapping of fields, but this is {type(content).__name__}")
    try:
        grid = Grid.model_validate({"name": default_name} | content)
        grid.cells()
    except ValidationError as error:
        raise UserError(f"{where}: {first_problem(error, Grid)}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    return grid
