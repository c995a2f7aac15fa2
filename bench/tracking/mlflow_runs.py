"""Runs of MLflow, in an SQLite file, or where ``MLFLOW_TRACKING_URI`` says."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.tracking.tracker import INTERRUPTED, OK, PRUNED, Parameter
from datasets import UserError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "mlflow"
DATABASE = "mlflow.db"
ELSEWHERE = "MLFLOW_TRACKING_URI"
AT_ONCE = 100  # parameters of one call, at most
STATUSES = {OK: "FINISHED", PRUNED: "FINISHED", INTERRUPTED: "KILLED"}  # MLflow's, of ours; all others have failed
LONGEST = 6000  # characters of a parameter


def open_tracker(folder: Path) -> MLflow:
    """Return the tracker of an experiment's folder, whose name MLflow's experiment gets.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        UserError: its database or server cannot be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read at the import
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    place = (folder / FOLDER).absolute()
    uri = os.environ.get(ELSEWHERE)
    if uri is None:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write to {place}: {error.strerror}", "track") from None
        uri = f"sqlite:///{place / DATABASE}"
    name = folder.absolute().name
    with _explained(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        files = None if ELSEWHERE in os.environ else (place / "artifacts").as_uri()
        number = experiment.experiment_id if experiment else client.create_experiment(name, artifact_location=files)
    return MLflow(client, uri, number)


class MLflow:
    """An experiment of MLflow."""

    def __init__(self, client: MlflowClient, uri: str, experiment: str) -> None:
        self.view = f"mlflow ui --backend-store-uri {uri}"
        self._client, self._uri, self._experiment = client, uri, experiment

    def begin(self, name: str, parameters: Mapping[str, Parameter]) -> MLflowRun:
        """Begin a run with its parameters."""
        from mlflow.entities import Param

        values = [Param(key, str(value)[:LONGEST]) for key, value in parameters.items()]
        with _explained(self._uri):
            run = self._client.create_run(self._experiment, run_name=name).info.run_id
            for start in range(0, len(values), AT_ONCE):
                self._client.log_batch(run, params=values[start : start + AT_ONCE])
        return MLflowRun(self._client, self._uri, run)


class MLflowRun:
    """One run of MLflow."""

    def __init__(self, client: MlflowClient, uri: str, run: str) -> None:
        self._client, self._uri, self._run = client, uri, run

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        with _explained(self._uri):
            self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def end(self, status: str, message: str, values: Mapping[str, float]) -> None:
        """Log the last metrics, and end the run as finished, failed or killed, with the status as a tag."""
        self.numbers(values, 0)
        with _explained(self._uri):
            self._client.set_tag(self._run, "status", status)
            if message:
                self._client.set_tag(self._run, "message", message)
            self._client.set_terminated(self._run, STATUSES.get(status, "FAILED"))


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Around calls of MLflow, whose errors become a line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"MLflow at {uri}: {reason}", "track") from None
