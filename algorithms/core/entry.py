"""The registry of algorithms, and ``@register``, which stands above an algorithm's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from algorithms.core.presets import Preset, paper_settings
from datasets.core.registry import ImportedWhenRead, Registry

if TYPE_CHECKING:
    from algorithms.core.algorithm import Algorithm
    from algorithms.core.hyperparameters import HyperParameters
    from datasets.core.episodes import Kind


Bound = Literal["floor", "ceiling"]


def nothing_missing() -> str | None:
    """Return None: an algorithm needs nothing but what this package needs."""
    return None


@dataclass(frozen=True)
class AlgorithmEntry(ImportedWhenRead):
    """One algorithm of the registry.

    Attributes:
        name: what grids call it.
        factory: its class.
        hparams: the model of its hyper-parameters.
        presets: its paper's settings by problem, later ones winning.
        paper: where it is described.
        summary: one line for ``bench list``.
        kinds: the kinds of dataset that it can learn.
        missing: what must be installed before it can run, in one line; None where nothing is missing.
        requires: the traits that a dataset must declare (see ``datasets.DatasetEntry``).
        bound: ``floor`` or ``ceiling`` for what bounds the others' results; it is shown without a rank.
        numerics: the version of its numerics, raised by hand where a change moves the bits of its results.
        anneals: whether an outer step depends on how many there will be (``Problem.n_outer``), so that a state within
            training is not the end of a shorter one.
    """

    name: str
    factory: type[Algorithm[Any]]
    hparams: type[HyperParameters]
    paper: str
    summary: str
    presets: tuple[Preset, ...] = ()
    kinds: tuple[Kind, ...] = ("classification", "regression")
    missing: Callable[[], str | None] = nothing_missing
    requires: tuple[str, ...] = ()
    bound: Bound | None = None
    numerics: int = 1
    anneals: bool = False

    def reason_against(self, kind: Kind, traits: Sequence[str]) -> str | None:
        """Return why it cannot learn a dataset of that kind with those traits; None where it can."""
        if kind not in self.kinds:
            return f"it does not do {kind}"
        lacking = [trait for trait in self.requires if trait not in traits]
        return f"it is for datasets with the trait '{lacking[0]}'" if lacking else None

    def settings(
        self, family: str, n_way: int, n_shot: int, changes: Mapping[str, Any] | None = None
    ) -> HyperParameters:
        """Return the paper's settings for this problem with ``changes`` on top.

        Raises:
            pydantic.ValidationError: a change has an unknown name or a value that is not allowed.
        """
        return self.hparams.model_validate(paper_settings(self.presets, family, n_way, n_shot) | dict(changes or {}))


ALGORITHMS: Registry[AlgorithmEntry] = Registry("algorithm", "bench.algorithms", AlgorithmEntry, "algorithms")

C = TypeVar("C", bound="type[Algorithm[Any]]")


def register(
    name: str,
    *,
    hparams: type[HyperParameters],
    paper: str,
    summary: str,
    presets: tuple[Preset, ...] = (),
    kinds: tuple[Kind, ...] = ("classification", "regression"),
    missing: Callable[[], str | None] = nothing_missing,
    requires: tuple[str, ...] = (),
    bound: Bound | None = None,
    numerics: int = 1,
    anneals: bool = False,
) -> Callable[[C], C]:
    """Declare the class below as an algorithm; the arguments are the other fields of an ``AlgorithmEntry``.

    In this package they are read without importing the module, so each is a literal or the name of something in the
    module.
    """

    def declare(factory: C) -> C:
        entry = AlgorithmEntry(
            name, factory, hparams, paper, summary, presets, kinds, missing, requires, bound, numerics, anneals
        )
        ALGORITHMS.register(entry)
        return factory

    return declare
