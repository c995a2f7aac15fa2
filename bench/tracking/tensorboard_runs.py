"""Runs as event files of TensorBoard, a folder each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorboard  # noqa: F401 (its absence is reported in its own name)
from torch.utils.tensorboard import SummaryWriter

from bench.tracking.tracker import Parameter
from datasets import UserError

FOLDER = "tensorboard"
FLUSH_SECONDS = 5  # so that a page that is open follows


def open_tracker(folder: Path) -> TensorBoard:
    """Return the tracker of an experiment's folder."""
    return TensorBoard(folder / FOLDER)


class TensorBoard:
    """Event files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.view = f"tensorboard --logdir {folder}"
        self._folder = folder

    def begin(self, name: str, parameters: Mapping[str, Parameter]) -> EventFile:
        """Begin a run in a folder of its own."""
        try:
            return EventFile(SummaryWriter(str(self._folder / name), flush_secs=FLUSH_SECONDS), parameters)
        except OSError as error:
            raise UserError(f"cannot write to {self._folder}: {error.strerror}", "track") from None


class EventFile:
    """The event file of one run."""

    def __init__(self, writer: SummaryWriter, parameters: Mapping[str, Parameter]) -> None:
        self._writer = writer
        self._parameters = parameters

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self, status: str, message: str, values: Mapping[str, float]) -> None:
        """Log the last scalars with a row of the table of hyper-parameters, and the status as a text."""
        self._writer.add_text("status", f"{status}: {message}" if message else status)
        self._writer.add_hparams(dict(self._parameters) | {"status": status}, dict(values), run_name=".", global_step=0)
        self._writer.close()
