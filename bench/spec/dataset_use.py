"""A dataset as a grid asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from algorithms import ALGORITHMS
from bench.spec.model import MOST_EXAMPLES, Model
from bench.spec.network import NetworkSpec
from bench.spec.own_data import FolderSpec, FolderSplit, TableSpec
from bench.spec.problems import first_problem, shortened
from bench.spec.tokens import TextSpec
from datasets import DATASETS, DatasetEntry, UserError
from datasets.core.entry import GROUPS, across_domains, within_one

OWN: dict[str, type[FolderSpec] | type[TableSpec]] = {"image-folder": FolderSpec, "table": TableSpec}
"""The fields of a dataset of the user's own, by its ``kind``."""


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Say of a UserError which field of the grid is wrong."""
    try:
        yield
    except UserError as error:
        raise UserError(error.message, field) from None


class DatasetUse(Model):
    """One dataset of a grid, with the shapes of its episodes; the other fields replace the grid's for this dataset.

    Where ``algorithms`` is given, this entry is for those alone, and the same dataset and shape may stand again for
    others. With a ``kind`` it is the user's own: ``image-folder`` takes the fields of ``own_data.FolderSpec``,
    ``table`` those of ``own_data.TableSpec``. ``text`` is for datasets of texts.

    ``test_on: B`` on dataset A is short for ``name: A-to-B``, and ``episodes: {within: alphabet}`` for
    ``name: A-within-alphabet``, likewise for scripts; see ``datasets.core.entry.DatasetRegistry``.
    """

    DERIVING: ClassVar = ("episodes", "test_on")  # fields that become a part of the name

    algorithms: tuple[str, ...] = ()
    kind: Literal["image-folder", "table"] | None = None
    name: str = Field(min_length=1)
    path: str | None = None
    size: int | None = None
    channels: int | None = None
    class_column: str | None = None
    task_column: str | None = None
    target_column: str | None = None
    features: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    split: FolderSplit | None = None
    split_column: str | None = None
    seed: int | None = None
    ways: tuple[int, ...] | None = Field(None, min_length=1)
    shots: tuple[int, ...] = Field(min_length=1)
    train: dict[str, Any] = Field(default_factory=dict)
    evaluation: dict[str, Any] = Field(default_factory=dict)
    text: TextSpec | None = None
    network: NetworkSpec = NetworkSpec()

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, content: object) -> object:
        """Turn ``episodes`` and ``test_on`` into the name of the derived dataset."""
        if not isinstance(content, dict) or not set(DatasetUse.DERIVING) & content.keys():
            return content
        fields = dict(content)
        episodes, test_on = fields.pop("episodes", None), fields.pop("test_on", None)
        if fields.get("kind") is not None:
            raise ValueError("`test_on` and `episodes` are for registered datasets, not for a `kind` of your own")
        if not isinstance(fields.get("name"), str):
            return fields  # which is refused for it
        with _about("name"):
            trained = DATASETS[fields["name"]]
        if episodes is not None:
            if trained.kind != "classification":
                raise UserError(f"{trained.name} is for {trained.kind}, which has no classes; leave it out", "episodes")
            if episodes not in [{"within": what} for what in GROUPS]:
                allowed = " or ".join(f"{{within: {what}}}" for what in GROUPS)
                raise UserError(f"got {shortened(episodes)}; allowed is {allowed}", "episodes")
            with _about("episodes.within"):
                trained = within_one(episodes["within"], trained)
        with _about("test_on"):
            fields["name"] = (trained if test_on is None else across_domains(trained, DATASETS[str(test_on)])).name
        return fields

    @field_validator("network")
    @classmethod
    def _complete(cls, network: NetworkSpec) -> NetworkSpec:
        return network.complete()

    @field_validator("name")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("kind") is None:
            return DATASETS[name].name
        if name in DATASETS:
            raise ValueError(f"'{name}' is the name of a dataset that comes with the benchmark; choose another")
        return name

    @field_validator("algorithms")
    @classmethod
    def _known_algorithms(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(ALGORITHMS[name].name for name in names)

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        for name in dict.fromkeys([*FolderSpec.model_fields, *TableSpec.model_fields]):
            kinds = [kind for kind, model in OWN.items() if name in model.model_fields]
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ValueError(f"`{name}` is for datasets with {' or '.join(f'`kind: {kind}`' for kind in kinds)}")
        if self.kind is not None and self.path is None:
            raise ValueError(f"`kind: {self.kind}` needs `path`")
        _ = self.own_data  # raises where a value is not allowed
        if self.text is not None and "text" not in self.entry.traits:
            raise ValueError(f"`text` is for datasets of texts, which {self.name} is not; leave it out")
        return self

    @property
    def own_data(self) -> FolderSpec | TableSpec | None:
        """The folder or table, where the dataset is one."""
        if self.kind is None:
            return None
        model = OWN[self.kind]
        values = {name: getattr(self, name) for name in model.model_fields}
        try:
            return model.model_validate({name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise ValueError(first_problem(error, model)) from None

    @field_validator("ways", "shots")
    @classmethod
    def _positive(cls, values: tuple[int, ...] | None) -> tuple[int, ...] | None:
        for value in values or ():
            if not 1 <= value <= MOST_EXAMPLES:
                raise ValueError(f"{shortened(value)} is not allowed; use whole numbers from 1 to {MOST_EXAMPLES:,}")
        return values

    @property
    def entry(self) -> DatasetEntry:
        """The dataset as the registry describes it."""
        return self.own_data.entry(self.name) if self.own_data else DATASETS[self.name]

    @property
    def all_ways(self) -> tuple[int, ...]:
        """The ways asked for: 5 by default, always 1 for regression and control."""
        if self.entry.kind != "classification":
            if self.ways not in (None, (1,)):
                raise UserError(f"{self.name}: {self.entry.kind} has no ways; leave `ways` out")
            return (1,)
        if self.ways and min(self.ways) < 2:
            raise UserError(f"{self.name}: ways: {min(self.ways)} is not allowed; classification needs at least 2")
        return self.ways or (5,)
