"""Few-shot learners with scikit-learn's interface: ``fit`` adapts a trained meta-state to a support set."""

from __future__ import annotations

from typing import Any, NoReturn, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from algorithms.core.modes import Mode
from bench.learner.inputs import classes_of, examples, labels, targets
from bench.learner.trained import Trained
from bench.spec.problems import shortened
from datasets import UserError
from datasets.core.episodes import Support

LARGEST_SEED = 2**63


class _FewShotLearner(BaseEstimator):  # type: ignore[misc]
    """Adaptation and prediction, as classifiers and regressors share them.

    Args:
        trained: the meta-state and how it was made; it is never changed.
        mode: how batch norm treats queries. ``inductive``: each by itself, with the support set's statistics.
            ``transductive``: all queries of a call together, with their own statistics. The same without batch norm.
        exact: whether a support or query set of the size that the cell tested is computed as the cell did, in as many
            copies as there were episodes at once. On a stored test episode that gives the bits which the cell recorded
            (but for a last, smaller batch of episodes), for several times the work; else they differ by rounding.
        random_state: what methods whose adaptation draws (new heads, minibatches) draw from: an episode's seed.
    """

    def __init__(
        self, trained: Trained, *, mode: Mode = "inductive", exact: bool = True, random_state: int = 0
    ) -> None:
        self.trained = trained
        self.mode = mode
        self.exact = exact
        self.random_state = random_state

    @property
    def partial_fit(self) -> NoReturn:
        """Raise AttributeError: adaptation starts anew from the meta-state, with the whole support set."""
        raise AttributeError(
            "a few-shot learner has no partial_fit: it adapts to a whole support set at once; call fit with all of it"
        )

    def _adapt(self, x: Tensor, y: Tensor) -> Self:
        """Adapt to a support set x [n, ...] and y [n] or [n, 1], class by class."""
        self._check_parameters()
        cell = self.trained.cell
        copies = self.trained.tested_together if self.exact and len(x) == cell.n_way * cell.n_shot else 1
        seeds = np.full(copies, self.random_state, dtype=np.int64)
        self.support_ = Support(torch.stack([x] * copies), torch.stack([y] * copies), seeds, cell.n_way)
        self.weights_ = self.trained.adapt(self.support_)
        return self

    def _outputs(self, x: Any) -> Tensor:
        """Return the outputs [n, n_outputs] for queries."""
        check_is_fitted(self, "weights_")
        self._check_parameters()
        query_x = examples(x, self.trained.form, "X")
        weights, support, cell = self.weights_, self.support_, self.trained.cell
        if not self.exact or len(query_x) != cell.n_way * cell.evaluation.n_query:
            weights, support = {name: value[:1] for name, value in weights.items()}, support[:1]
        return self.trained.outputs(weights, support, query_x, self.mode)

    def _check_parameters(self) -> None:
        if not isinstance(self.exact, bool):
            raise UserError(f"got {shortened(self.exact)}; use True or False", "exact")
        if self.mode not in get_args(Mode):
            raise UserError(f"got {shortened(self.mode)}; use one of {', '.join(get_args(Mode))}", "mode")
        seed = self.random_state
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < LARGEST_SEED:
            raise UserError(f"got {shortened(seed)}; use a whole number from 0 below 2^63", "random_state")


class FewShotClassifier(ClassifierMixin, _FewShotLearner):  # type: ignore[misc]
    """A few-shot classifier: ``fit`` adapts to a support set, ``predict`` labels queries.

    The labels may be of any values; the sorted classes are the network's outputs in their order. ``fit`` takes as many
    classes as the network was trained on, with equally many examples of each.

    Attributes:
        trained: see the arguments.
        mode: see the arguments.
        exact: see the arguments.
        random_state: see the arguments.
        classes_: [n_way] the classes, sorted, after ``fit``.
    """

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Adapt to a support set.

        Args:
            X: n examples: an array or tensor [n, *input_shape], or a list of paths, PIL images, arrays or tensors.
            y: n labels.

        Raises:
            UserError: another shape, range or number of classes, or a setting that there is not.
        """
        x = examples(X, self.trained.form, "X")
        classes, places = classes_of(labels(y, len(x), "y"), self.trained.cell.n_way, "y")
        by_class = np.argsort(places, kind="stable")
        self._adapt(x[torch.from_numpy(by_class)], torch.from_numpy(places[by_class]))
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """Return the label [n] of each query."""
        places = self._outputs(X).argmax(dim=-1).numpy()
        return np.asarray(self.classes_[places])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return probabilities [n, n_way], in the order of ``classes_``."""
        return np.asarray(self._outputs(X).double().softmax(dim=-1).numpy())

    def predict_log_proba(self, X: Any) -> npt.NDArray[np.float64]:  # noqa: N803
        """Return the logarithms of ``predict_proba``, exact where those are 0."""
        return np.asarray(self._outputs(X).double().log_softmax(dim=-1).numpy())


class FewShotRegressor(RegressorMixin, _FewShotLearner):  # type: ignore[misc]
    """A few-shot regressor: ``fit`` adapts to points of a function, ``predict`` gives its values elsewhere.

    Attributes:
        trained: see the arguments.
        mode: see the arguments.
        exact: see the arguments.
        random_state: see the arguments.
    """

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Adapt to n points.

        Args:
            X: an array or tensor [n, *input_shape].
            y: [n] or [n, 1] values.

        Raises:
            UserError: another shape, or a setting that there is not.
        """
        x = examples(X, self.trained.form, "X")
        values = targets(y, len(x), self.trained.form, "y")
        self._adapt(x, torch.from_numpy(values.reshape(-1, 1)))
        self.target_shape_ = values.shape[1:]
        return self

    def predict(self, X: Any) -> npt.NDArray[np.float32 | np.float64]:  # noqa: N803
        """Return a value for each query, in the shape that ``y`` had; for a table float64, in the target's units."""
        outputs = self._outputs(X).numpy()
        if (table := self.trained.form.table) is not None and table.target is not None:
            outputs = outputs.astype(np.float64) * table.target.deviation + table.target.mean
        return np.asarray(outputs.reshape(len(outputs), *self.target_shape_))


def learner_of(trained: Trained, mode: Mode, exact: bool) -> FewShotClassifier | FewShotRegressor:
    """Return the learner for the kind of data that the meta-state was trained on."""
    kind = FewShotRegressor if trained.form.kind == "regression" else FewShotClassifier
    return kind(trained, mode=mode, exact=exact)
