"""A user's examples and labels as the tensors of an episode; each mistake is one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from bench.learner.rows import rows, standardized_targets
from bench.learner.trained import DataForm
from bench.spec.problems import shortened
from datasets import UserError
from datasets.core.printable import first_line_of
from datasets.storage import decode
from datasets.storage.reading import reading, require_file
from datasets.text.normal_form import checked
from datasets.text.tokens import UNKNOWN, Counted

Labels = npt.NDArray[Any]


def examples(given: Any, form: DataForm, field: str) -> Tensor:
    """Return examples [n, *input_shape] float32; of texts, a sequence of strings, their token ids as int64.

    Images are files or PIL images, converted to the trained size and channels (drawings inverted, so that ink is 1), or
    arrays and tensors with channels first: uint8 in 0..255, or numbers in [0, 1].

    Rows of a table are given in its units; see ``bench.learner.rows``.

    Args:
        given: an array, a tensor, or a sequence of paths, PIL images, arrays or tensors; a data frame for a table.
        form: of the data.
        field: what messages call it.

    Raises:
        UserError: another shape, type or range, or values that are not finite.
    """
    if form.text is not None:
        return _texts(given, form, field)
    if form.table is not None:
        return rows(given, form.table, field)
    if isinstance(given, str | Path | Image.Image):
        raise UserError(f"got one {type(given).__name__}; give a list of examples, such as [{shortened(given)}]", field)
    if isinstance(given, Tensor | np.ndarray) and np.asarray(_plain(given)).dtype.kind not in "OUS":
        return _checked(_array(given, field), form, field)
    try:
        items = list(given)
    except TypeError:
        raise UserError(f"got {type(given).__name__}; give an array, or a list of examples", field) from None
    if not items:
        raise UserError("got no examples; give at least one", field)
    if any(isinstance(item, str | Path | Image.Image) for item in items):
        pictures = [_picture(item, form, f"{field}[{i}]") for i, item in enumerate(items)]
        return _checked(np.stack(pictures), form, field)
    arrays = [_array(item, f"{field}[{i}]") for i, item in enumerate(items)]
    if len({(array.shape, array.dtype.kind) for array in arrays}) > 1:
        seen = ", ".join(sorted({f"{array.dtype} {array.shape}" for array in arrays})[:3])
        raise UserError(f"the examples have different shapes or types: {seen}; each must be {form.input_shape}", field)
    return _checked(np.stack(arrays), form, field)


def _texts(given: Any, form: DataForm, field: str) -> Tensor:
    if isinstance(given, str):
        raise UserError(f"got one string; give a list of texts, such as [{shortened(given)}]", field)
    try:
        texts = list(given)
    except TypeError:
        raise UserError(f"got {type(given).__name__}; give a list of texts", field) from None
    if not texts:
        raise UserError("got no texts; give at least one", field)
    for i, one in enumerate(texts):
        if not isinstance(one, str):
            raise UserError(f"got {type(one).__name__}; this learner takes texts, as strings", f"{field}[{i}]")
    places = ((one, f"{field}[{i}]") for i, one in enumerate(texts))
    assert form.tokenizer is not None
    return torch.from_numpy(form.tokenizer(checked(places)))


def without_known_tokens(texts: Sequence[str], form: DataForm) -> int:
    """Return the number of texts none of whose tokens the vocabulary has; 0 for data without a vocabulary."""
    if not isinstance(form.tokenizer, Counted):
        return 0
    return int((form.tokenizer(texts) <= UNKNOWN).all(axis=1).sum())


def pixels_of(content: bytes, where: str, form: DataForm) -> npt.NDArray[np.uint8]:
    """Return an image file as [channels, height, width] uint8 as the network was trained on it.

    Raises:
        UserError: it is no such image, or the network does not take square images.
    """
    return _oriented(decode.pixels(content, where, size=_side(form), channels=form.input_shape[0]), form)


def _picture(item: Any, form: DataForm, where: str) -> npt.NDArray[np.uint8]:
    if isinstance(item, Image.Image):
        try:
            item.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"is not a whole image ({first_line_of(error)}); give another", where) from None
        pixels = decode.converted(item, where, size=_side(form), channels=form.input_shape[0])
        return _oriented(pixels, form)
    if not isinstance(item, str | Path):
        raise UserError(f"got {type(item).__name__} among paths and images; give all examples in one form", where)
    path = Path(item).expanduser()
    require_file(path)
    with reading(path):
        return pixels_of(path.read_bytes(), str(path), form)


def _side(form: DataForm) -> int:
    if not form.is_image or form.input_shape[1] != form.input_shape[2]:
        raise UserError(f"files and PIL images are for networks of square images; this one takes {form.input_shape}")
    return form.input_shape[1]


def _oriented(pixels: npt.NDArray[np.uint8], form: DataForm) -> npt.NDArray[np.uint8]:
    return 255 - pixels if form.drawings else pixels


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _array(value: Any, field: str) -> npt.NDArray[Any]:
    try:
        array = np.asarray(_plain(value))
    except (ValueError, TypeError):
        raise UserError(f"got {shortened(value)}, which is no array of numbers", field) from None
    if array.dtype.kind not in "fiub":
        raise UserError(f"holds {array.dtype}, not numbers", field)
    return array


def _checked(array: npt.NDArray[Any], form: DataForm, field: str) -> Tensor:
    if array.ndim == 0 or array.shape[1:] != form.input_shape:
        expected = ", ".join(map(str, form.input_shape))
        raise UserError(
            f"has shape {array.shape}, but must be [n, {expected}]{' (channels first)' if form.is_image else ''}", field
        )
    if not len(array):
        raise UserError("got no examples; give at least one", field)
    if form.is_image and array.dtype == np.uint8:
        return torch.from_numpy(array.copy()).to(torch.float32).div_(255.0)
    values = torch.from_numpy(np.array(array, dtype=np.float32))
    if not bool(torch.isfinite(values).all()):
        raise UserError("holds NaN or infinite values", field)
    if form.is_image and (float(values.min()) < 0 or float(values.max()) > 1):
        raise UserError(
            f"holds values in [{float(values.min()):g}, {float(values.max()):g}]; images are in [0, 1], or uint8 in "
            "0..255",
            field,
        )
    return values


def labels(given: Any, n_examples: int, field: str) -> Labels:
    """Return labels [n], of any values that can be compared.

    Raises:
        UserError: another number of labels than of examples, missing values, or values that cannot be sorted.
    """
    given = _plain(given)
    if isinstance(given, str) or not hasattr(given, "__len__"):
        raise UserError(f"got {shortened(given)}; give a label for each example", field)
    values = list(given)
    try:
        array = np.asarray(given) if not isinstance(given, Sequence) or _one_type(values) else _objects(values)
    except ValueError:
        raise UserError("holds lists of different lengths; give one label for each example", field) from None
    if array.ndim != 1 or len(array) != n_examples:
        raise UserError(f"has shape {array.shape} for {n_examples} examples; give one label for each", field)
    if any(value is None or value != value for value in array.tolist()):
        raise UserError("holds missing labels (None or NaN)", field)
    return array


def _one_type(values: Sequence[Any]) -> bool:
    return len({type(value) for value in values}) < 2


def _objects(values: Sequence[Any]) -> Labels:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def classes_of(given: Labels, n_way: int, field: str) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Return the sorted classes [n_way] of a support set and the place of each label among them [n].

    Raises:
        UserError: there are not ``n_way`` classes, or not equally many examples of each.
    """
    try:
        classes, places = np.unique(given, return_inverse=True)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in given.tolist()}))
        raise UserError(f"holds labels that cannot be sorted ({kinds}); give labels of one type", field) from None
    if len(classes) != n_way:
        shown = ", ".join(shortened(value) for value in classes[:8].tolist())
        raise UserError(f"holds {len(classes)} classes ({shown}), but this learner is for {n_way}", field)
    counts = Counter(places.tolist())
    fewest, most = (pick(counts, key=lambda place: (counts[place], -place)) for pick in (min, max))
    if counts[fewest] != counts[most]:
        few, many = (shortened(classes.tolist()[place]) for place in (fewest, most))
        raise UserError(
            f"holds {counts[fewest]} of class {few} and {counts[most]} of {many}; an episode has equally many of each",
            field,
        )
    return classes, places.astype(np.int64)


def targets(given: Any, n_examples: int, form: DataForm, field: str) -> npt.NDArray[np.float32]:
    """Return the values [n] or [n, 1] of a regression, standardized where those of meta-train were.

    Raises:
        UserError: another shape, or values that are not finite numbers.
    """
    array = _array(given, field)
    if array.shape not in ((n_examples,), (n_examples, 1)):
        raise UserError(f"has shape {array.shape} for {n_examples} examples; give [{n_examples}] values", field)
    if not np.isfinite(array).all():
        raise UserError("holds NaN or infinite values", field)
    if form.table is not None and form.table.target is not None:
        return standardized_targets(array, form.table.target, field)
    return array.astype(np.float32)
