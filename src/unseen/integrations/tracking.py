"""Callbacks that log a verb's work to TensorBoard, Weights & Biases or MLflow.

    unseen.prune(data, keep=0.7, out="runs/a", report=to_tensorboard("logs/a"))

Each is given as `report=` to `score`, `prune`, `grow` or `evaluate`. It logs

- the loss of each fit after each epoch, where the learner reports one (`loss/FIT`);
- the held-out accuracy of the models that scored (`held_out_accuracy`), or the accuracy of each arm (`accuracy/ARM`);
- the distribution of each score (`score/NAME`);
- how much was kept, or the verdict on each coreset, as text;
- the page of the run, where the run has a directory (`out=`).

A callback serves several calls, one after the other; `close()`, or the end of `with`, ends it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np

from unseen.core.arrays import FloatArray
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, UnknownNameError, import_optional

_BINS = 64  # of a histogram of scores
_PAGE = "report.html"


class Tracker(ABC):
    """A callback for `report=` that logs to one library."""

    @abstractmethod
    def scalar(self, name: str, value: float, step: int) -> None:
        """Log a number at a step."""

    @abstractmethod
    def histogram(self, name: str, values: FloatArray) -> None:
        """Log the distribution of finite values."""

    @abstractmethod
    def text(self, name: str, text: str) -> None:
        """Log a text."""

    @abstractmethod
    def artifact(self, path: Path) -> None:
        """Keep a copy of a file."""

    @abstractmethod
    def close(self) -> None:
        """End the log."""

    def flush(self) -> None:  # noqa: B027 - a library that sends by itself has nothing to do
        """Make sure that what was logged can be read."""

    def __call__(self, kind: str, **fields: Any) -> None:
        """Log one report; kinds that say nothing to log are passed over."""
        if kind == "epoch" and fields.get("loss") is not None:
            self.scalar(f"loss/{fields['fit']}", float(fields["loss"]), int(fields["epoch"]))
        elif kind == "result":
            self._log_result(fields["result"], fields.get("run"))
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _log_result(self, result: Any, run: str | Path | None) -> None:
        if hasattr(result, "arms"):
            self._log_evaluation(result)
        else:
            table = result if isinstance(result, ScoreTable) else result.scores
            self._log_scores(table)
            if (coreset := getattr(result, "coreset", None)) is not None:
                self.scalar("kept", len(coreset) / coreset.n, 0)
                self.text("coreset", repr(coreset))
        if run is not None:
            import unseen

            with TemporaryDirectory(prefix="unseen-") as folder:
                self.artifact(unseen.report(run, out=Path(folder) / _PAGE))

    def _log_scores(self, table: ScoreTable) -> None:
        if table.predictions is not None and (judged := table.predictions >= 0).any():
            in_sample = table.exposure == "in-sample"
            accuracy = float(np.mean(table.predictions[judged] == table.labels[judged]))
            self.scalar("in_sample_accuracy" if in_sample else "held_out_accuracy", accuracy, 0)
        for name in table.scores:
            values = table.column(name)
            if (known := values[np.isfinite(values)]).size:
                if np.ptp(known) <= 1e-12 * np.abs(known).max():  # equal up to rounding: no room for bins
                    known = np.full_like(known, known[0])
                self.histogram(f"score/{name}", known)

    def _log_evaluation(self, evaluation: Any) -> None:
        for arm in evaluation.arms:
            for replicate, accuracy in enumerate(arm.accuracy.tolist()):
                self.scalar(f"accuracy/{arm.name}", accuracy, replicate)
        for name in evaluation.coresets:
            verdicts = [f"{name} against {to}: {evaluation.verdict(name, to).text}" for to in evaluation[name].beside]
            if verdicts:
                self.text(f"verdict/{name}", "\n\n".join(verdicts))


def to_tensorboard(folder: str | Path) -> Tracker:
    """Log to a folder that TensorBoard reads, by tensorboardX; the page is copied into it as `report.html`."""
    return _TensorBoard(Path(folder), import_optional("tensorboardX", "logging to tensorboard", "tensorboard"))


def to_wandb(**options: Any) -> Tracker:
    """Log to Weights & Biases: to the run that is active, or to a new one, which `close()` finishes.

    A new run takes the options of `wandb.init`, such as `project=`, `name=` and `mode="offline"`; where a run is
    active, they are an `ArgumentError`.
    """
    wandb = import_optional("wandb", "logging to wandb", "wandb")
    _check_free("wandb", wandb.run, options, "wandb.finish()")
    return _Wandb(wandb, options)


def to_mlflow(**options: Any) -> Tracker:
    """Log to MLflow: to the run that is active, or to a new one, which `close()` ends.

    A new run takes the options of `mlflow.start_run`, such as `run_name=` and `experiment_id=`; where a run is active,
    they are an `ArgumentError`.
    """
    mlflow = import_optional("mlflow", "logging to mlflow", "mlflow")
    _check_free("mlflow", mlflow.active_run(), options, "mlflow.end_run()")
    return _Mlflow(mlflow, options)


def tracker_of(text: str) -> Tracker:
    """Make the callback that `--log` names: `"tensorboard:FOLDER"`, `"wandb:PROJECT"` or `"mlflow:RUN_NAME"`."""
    library, _, where = text.partition(":")
    makers: dict[str, tuple[str, Callable[[str], Tracker]]] = {
        "tensorboard": ("FOLDER", to_tensorboard),
        "wandb": ("PROJECT", lambda project: to_wandb(project=project)),
        "mlflow": ("RUN_NAME", lambda name: to_mlflow(run_name=name)),
    }
    if library not in makers:
        raise UnknownNameError("library to log to", library, makers)
    what, make = makers[library]
    if not where:
        raise ArgumentError(f"log must say where, as in '{library}:{what}', got {text!r}")
    return make(where)


class _TensorBoard(Tracker):
    """A folder of event files."""

    def __init__(self, folder: Path, library: Any) -> None:
        self._folder = folder
        self._writer = library.SummaryWriter(str(folder))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def histogram(self, name: str, values: FloatArray) -> None:
        self._writer.add_histogram(name, values, 0, bins=_BINS)

    def text(self, name: str, text: str) -> None:
        self._writer.add_text(name, text, 0)

    def artifact(self, path: Path) -> None:
        (self._folder / path.name).write_bytes(path.read_bytes())
        self.text("page", f"{path.name} in the folder of this log")

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _Wandb(Tracker):
    """A run of Weights & Biases."""

    def __init__(self, wandb: Any, options: dict[str, Any]) -> None:
        self._wandb = wandb
        self._own = wandb.run is None
        self._run = wandb.init(**options) if self._own else wandb.run
        # Fits are trained beside each other, so the order of reports is no step.
        for group in ("loss", "accuracy"):
            self._run.define_metric(f"{group}/*", step_metric=f"{group}_step")

    def scalar(self, name: str, value: float, step: int) -> None:
        group, slash, _ = name.partition("/")
        self._run.log({name: value, **({f"{group}_step": step} if slash else {})})

    def histogram(self, name: str, values: FloatArray) -> None:
        self._run.log({name: self._wandb.Histogram(np_histogram=np.histogram(values, _BINS))})

    def text(self, name: str, text: str) -> None:
        self._run.summary[name] = text

    def artifact(self, path: Path) -> None:
        artifact = self._wandb.Artifact(f"report-{self._run.id}", type="report")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        if self._own:
            self._run.finish()


class _Mlflow(Tracker):
    """A run of MLflow."""

    def __init__(self, mlflow: Any, options: dict[str, Any]) -> None:
        self._mlflow = mlflow
        self._own = mlflow.active_run() is None
        self._run = (mlflow.start_run(**options) if self._own else mlflow.active_run()).info.run_id

    def scalar(self, name: str, value: float, step: int) -> None:
        self._mlflow.log_metric(_plain(name), value, step=step, run_id=self._run)

    def histogram(self, name: str, values: FloatArray) -> None:
        for share in (5, 50, 95):
            self.scalar(f"{name}/{share}_percent", float(np.percentile(values, share)), 0)
        counts, edges = np.histogram(values, _BINS)
        content = {"counts": counts.tolist(), "edges": edges.tolist()}
        self._mlflow.log_dict(content, f"{_plain(name)}.json", run_id=self._run)

    def text(self, name: str, text: str) -> None:
        self._mlflow.log_text(text, f"{_plain(name)}.txt", run_id=self._run)

    def artifact(self, path: Path) -> None:
        self._mlflow.log_artifact(str(path), run_id=self._run)

    def flush(self) -> None:
        with suppress(AttributeError):  # versions that log at once have nothing to flush
            self._mlflow.flush_async_logging()

    def close(self) -> None:
        if self._own:
            self._mlflow.end_run()


def _plain(name: str) -> str:
    """Replace what MLflow does not take in a name.

    >>> _plain("accuracy/mine'")
    'accuracy/mine_'
    """
    return re.sub(r"[^\w\-./ ]", "_", name)


def _check_free(library: str, active: Any, options: dict[str, Any], end: str) -> None:
    """Refuse options for a new run where a run is active: they would have no effect."""
    if active is not None and options:
        raise ArgumentError(
            f"a run of {library} is active, which is logged to: leave out {', '.join(options)}, or call {end} before"
        )
