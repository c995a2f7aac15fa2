"""The network and the tokens behind the numbers of a dataset and shape, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.analysis.experiments import Experiments, Section
from bench.report.summary import listed
from bench.spec.cell import Cell
from bench.spec.network import usual_conv4
from bench.spec.tokens import TextSpec
from bench.store.store import read_cell
from datasets import DATASETS

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKENS = {
    "ngrams": "n-grams of 1 to 3 characters, hashed",
    "words": "words of the meta-train texts",
    "characters": "characters of the meta-train texts",
}


def networks(experiments: Experiments, section: Section) -> list[str]:
    """Return a sentence on the network, and tokens, of the cells of a dataset and shape; several where they differ.

    External results are left out, and cells of datasets that are not registered here.
    """
    algorithms: dict[str, list[str]] = {}
    for name in section.algorithms:
        cell = read_cell(experiments.first_folder(section, name))
        if cell.external is None and (cell.own_data is not None or cell.dataset in DATASETS):
            algorithms.setdefault(_words(cell), []).append(name)
    if len(algorithms) < 2:
        return [f"{words}." for words in algorithms]
    return [f"{listed(names)}: {words[0].lower()}{words[1:]}." for words, names in algorithms.items()]


def _words(cell: Cell) -> str:
    tokens = "" if cell.text is None else f"; tokens: {_tokens(cell.text)}"
    return f"Network: {network_of(cell)}{tokens}"


def network_of(cell: Cell) -> str:
    """Return the network of a cell with its options.

    >>> from bench.spec.grid import load_grid
    >>> cells = load_grid("smoke").cells()
    >>> sorted({network_of(cell) for cell in cells})
    ['conv4 (channels 64, downsample stride, reduce mean)', 'mlp (hidden 40-40)']
    """
    network, entry = cell.network, cell.entry
    if network.is_other:
        return _with_options(network.module or str(network.name), network.args or {})
    changes = network.model_dump(exclude_none=True)
    changes.pop("name", None)
    if entry.input_shape is not None and len(entry.input_shape) == 3:
        return _with_options("conv4", usual_conv4(entry.family) | changes)
    from algorithms.networks.mlp import MLP
    from algorithms.networks.policy import POLICY_HIDDEN

    is_policy = entry.kind == "control"
    hidden = {"hidden": POLICY_HIDDEN if is_policy else MLP.hidden}
    return _with_options("mlp as a policy" if is_policy else "mlp", hidden | changes)


def _with_options(name: str, options: Mapping[str, Any]) -> str:
    words = ", ".join(f"{option.replace('_', ' ')} {_value(value)}" for option, value in options.items())
    return f"{name} ({words})" if words else name


def _value(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _tokens(text: TextSpec) -> str:
    form = text.form
    return f"{TOKENS[form.kind]}, the first {form.length:,} of a text, {form.vocabulary:,} ids"
