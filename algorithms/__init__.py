"""What is compared: a registry of algorithms, each in a file that reads like its paper's box.

>>> from algorithms import ALGORITHMS
>>> ALGORITHMS["maml"].paper
'Finn et al. 2017, arXiv 1703.03400'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from algorithms.anil import ANIL, ANIL_PRESETS, ANILHyperParameters
from algorithms.base import Algorithm, Problem
from algorithms.finetune import FINETUNE_PRESETS, Finetune, FinetuneHyperParameters
from algorithms.finetune_cosine import FinetuneCosine, FinetuneCosineHyperParameters
from algorithms.hyperparameters import HyperParameters
from algorithms.learn2learn import Learn2LearnFOMAML, Learn2LearnMAML, Learn2LearnMetaSGD, reason_to_skip
from algorithms.logreg import LogReg, LogRegHyperParameters
from algorithms.maml import FOMAML, MAML, MAML_PRESETS, MAMLHyperParameters
from algorithms.meta_sgd import META_SGD_PRESETS, MetaSGD, MetaSGDHyperParameters
from algorithms.oracle import Oracle, OracleHyperParameters
from algorithms.presets import Preset, paper_settings
from algorithms.protonet import PROTONET_PRESETS, ProtoNet, ProtoNetHyperParameters
from algorithms.reptile import REPTILE_PRESETS, Reptile, ReptileHyperParameters
from algorithms.scratch import SCRATCH_PRESETS, Scratch, ScratchHyperParameters
from datasets.episodes import Kind
from datasets.registry import Registry

__all__ = ["ALGORITHMS", "Algorithm", "AlgorithmEntry", "Bound", "HyperParameters", "Problem"]

Bound = Literal["floor", "ceiling"]


@dataclass(frozen=True)
class AlgorithmEntry:
    """One algorithm of the registry.

    Attributes:
        name: what grids call it.
        factory: its class.
        hparams: the model of its hyper-parameters.
        presets: its paper's settings by problem, later ones winning.
        paper: where it is described.
        summary: one line for ``bench list``.
        kinds: the kinds of dataset that it can learn.
        requires: the traits that a dataset must declare (see ``datasets.DatasetEntry``).
        bound: ``floor`` or ``ceiling`` for what bounds the others' results; it is shown without a rank.
        missing: what must be installed before it can run, in one line; None where nothing is missing.
    """

    name: str
    factory: type[Algorithm[Any]]
    hparams: type[HyperParameters]
    paper: str
    summary: str
    presets: tuple[Preset, ...] = ()
    kinds: tuple[Kind, ...] = ("classification", "regression")
    missing: Callable[[], str | None] = lambda: None
    requires: tuple[str, ...] = ()
    bound: Bound | None = None

    def reason_against(self, kind: Kind, traits: Sequence[str]) -> str | None:
        """Why it cannot learn a dataset of that kind with those traits; None where it can."""
        if kind not in self.kinds:
            return f"it is for {' and '.join(self.kinds)}"
        lacking = [trait for trait in self.requires if trait not in traits]
        return f"it is for datasets with the trait '{lacking[0]}'" if lacking else None

    def settings(
        self, family: str, n_way: int, n_shot: int, changes: Mapping[str, Any] | None = None
    ) -> HyperParameters:
        """The paper's settings for this problem with ``changes`` on top.

        Raises:
            pydantic.ValidationError: a change has an unknown name or a value that is not allowed.
        """
        return self.hparams.model_validate(paper_settings(self.presets, family, n_way, n_shot) | dict(changes or {}))


ALGORITHMS: Registry[AlgorithmEntry] = Registry("algorithm", "bench.algorithms", AlgorithmEntry)

ALGORITHMS.add(
    AlgorithmEntry(
        "maml",
        MAML,
        MAMLHyperParameters,
        "Finn et al. 2017, arXiv 1703.03400",
        "learn initial weights by the gradient through adaptation, second order",
        MAML_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "fomaml",
        FOMAML,
        MAMLHyperParameters,
        "Finn et al. 2017, arXiv 1703.03400, section 5.2",
        "MAML without second derivatives",
        MAML_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "anil",
        ANIL,
        ANILHyperParameters,
        "Raghu et al. 2020, arXiv 1909.09157",
        "MAML whose inner loop changes the head alone",
        ANIL_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "reptile",
        Reptile,
        ReptileHyperParameters,
        "Nichol et al. 2018, arXiv 1803.02999",
        "move the initial weights towards each task's adapted weights",
        REPTILE_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "meta-sgd",
        MetaSGD,
        MetaSGDHyperParameters,
        "Li et al. 2017, arXiv 1707.09835",
        "learn initial weights and an inner rate for each of them",
        META_SGD_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "finetune",
        Finetune,
        FinetuneHyperParameters,
        "Chen et al. 2019, arXiv 1904.04232 (Baseline); Finn et al. 2017 for sinusoids",
        "pre-train on all training classes, then fit a new head (all weights for sinusoids)",
        FINETUNE_PRESETS,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "finetune-cosine",
        FinetuneCosine,
        FinetuneCosineHyperParameters,
        "Chen et al. 2019, arXiv 1904.04232 (Baseline++)",
        "pre-train on all training classes, then fit a new cosine head",
        kinds=("classification",),
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "logreg",
        LogReg,
        LogRegHyperParameters,
        "Tian et al. 2020, arXiv 2003.11539",
        "pre-train on all training classes, then logistic regression on normalised features",
        kinds=("classification",),
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "protonet",
        ProtoNet,
        ProtoNetHyperParameters,
        "Snell et al. 2017, arXiv 1703.05175",
        "learn features in which the nearest class mean is right",
        PROTONET_PRESETS,
        kinds=("classification",),
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "scratch",
        Scratch,
        ScratchHyperParameters,
        "none: the floor",
        "adapt random initial weights, learn nothing before",
        SCRATCH_PRESETS,
        bound="floor",
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "oracle",
        Oracle,
        OracleHyperParameters,
        "none: the ceiling for sinusoids",
        "least squares for amplitude and phase",
        kinds=("regression",),
        requires=("sinusoids",),
        bound="ceiling",
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "maml@learn2learn",
        Learn2LearnMAML,
        MAMLHyperParameters,
        "Finn et al. 2017, arXiv 1703.03400; library: Arnold et al. 2020, arXiv 2008.12284",
        "MAML through learn2learn 0.2.0's inner loop",
        MAML_PRESETS,
        missing=reason_to_skip,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "fomaml@learn2learn",
        Learn2LearnFOMAML,
        MAMLHyperParameters,
        "Finn et al. 2017, arXiv 1703.03400, section 5.2; library: Arnold et al. 2020, arXiv 2008.12284",
        "first-order MAML through learn2learn 0.2.0's inner loop",
        MAML_PRESETS,
        missing=reason_to_skip,
    )
)
ALGORITHMS.add(
    AlgorithmEntry(
        "meta-sgd@learn2learn",
        Learn2LearnMetaSGD,
        MetaSGDHyperParameters,
        "Li et al. 2017, arXiv 1707.09835; library: Arnold et al. 2020, arXiv 2008.12284",
        "Meta-SGD through learn2learn 0.2.0's inner loop",
        META_SGD_PRESETS,
        missing=reason_to_skip,
    )
)
