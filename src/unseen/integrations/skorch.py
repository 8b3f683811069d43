"""skorch: a callback that records what the validation of each epoch says of the held-out samples."""

from __future__ import annotations

from typing import Any

from unseen.core.arrays import Array, IntArray
from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import Watching, callback_of, check_monitor, check_order, first_of, rows_of

__all__ = ["held_out"]


def held_out(recorder: Recorder) -> Any:
    """A `skorch.callbacks.Callback` that hands the logits of a net's validation batches to a recorder.

        net = NeuralNetClassifier(..., train_split=predefined_split(Subset(dataset, fit.unseen)),
                                  callbacks=[held_out(recorder)])
        net.fit(Subset(dataset, fit.train), None)

    A `NeuralNetClassifier` whose criterion is `NLLLoss` (the default) ends in probabilities; their logarithm is then
    recorded, which is what skorch trains on.

    Args:
        recorder: whose fits are trained, inside `for fit in recorder:`.

    Raises:
        MissingDependencyError: skorch is not installed.

    While it trains: `ExposureError` if a training sample must not be seen, or if training is stopped or a model
    chosen by the held-out samples; `ArgumentError` and `DataError` if the validation is shuffled, partial or gives
    no logits, and where training was interrupted.

    Example:
        >>> import numpy as np, unseen
        >>> held_out(unseen.Recorder(np.arange(9) % 3))
        HeldOut()

    """
    return callback_of(_Hooks, "Callback", "skorch", "skorch.callbacks")(recorder)


class _Hooks:
    """The hooks of the callback, which skorch calls."""

    def __init__(self, recorder: Recorder) -> None:
        self._watching = Watching(recorder)
        self.recorder = recorder  # under the name of the argument, as scikit-learn's get_params reads it
        self._rows: IntArray | None = None  # of the validation set, in its order
        self._epoch = 0

    def __repr__(self) -> str:
        return "HeldOut()"

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **more: Any) -> None:
        self._epoch = len(net.history)  # not empty where partial_fit goes on
        self._rows = None
        self._watching.begin(epochs=self._epoch + net.max_epochs, first=self._epoch + 1)
        for _, callback in net.callbacks_:
            if _chooses(callback):
                check_monitor(type(callback).__name__, _monitor(callback))

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **more: Any) -> None:
        if self._rows is None:  # the same data sets in every epoch
            rows = rows_of(dataset_train, self.recorder, use="fit the net on Subset(dataset, fit.train)")
            self._watching.trains_on(rows)
            if dataset_valid is None:
                raise ArgumentError(
                    "nothing would be evaluated: pass train_split=predefined_split(Subset(dataset, fit.unseen))"
                )
            check_order(net.get_iterator(dataset_valid, training=False))
            use = "pass train_split=predefined_split(Subset(dataset, fit.unseen))"
            self._rows = rows_of(dataset_valid, self.recorder, use=use)
        self._watching.listen(self._rows)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool | None = None, y_pred: Any = None, **more: Any
    ) -> None:
        if not training:
            self._watching.take(_logits(net, first_of(y_pred)), net.module_)

    def on_epoch_end(self, net: Any, **more: Any) -> None:
        self._epoch += 1
        self._watching.heard(epoch=self._epoch, step=self._epoch)
        self._watching.epoch_ends(self._epoch, step=self._epoch)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **more: Any) -> None:
        stopped = any(type(callback).__name__ == "EarlyStopping" for _, callback in net.callbacks_)
        if not stopped and self._epoch < self._watching.epochs:
            # skorch takes Ctrl-C for the end of training.
            raise ArgumentError(
                f"fit {self._watching.fit.name} was interrupted after epoch {self._epoch} of {self._watching.epochs}, "
                "and is not recorded; train it again"
            )
        self._watching.end(step=self._epoch)


def _logits(net: Any, predicted: Any) -> Array:
    """What the criterion reads: skorch takes the logarithm of what a classifier gives to NLLLoss."""
    import torch

    classifies = any(base.__name__ == "NeuralNetClassifier" for base in type(net).__mro__)
    if classifies and isinstance(net.criterion_, torch.nn.NLLLoss):
        return (predicted + torch.finfo(predicted.dtype).eps).log()
    return predicted


def _chooses(callback: Any) -> bool:
    """Whether a callback stops training, restores a model or lowers the learning rate by a metric."""
    name = type(callback).__name__
    if name == "LRScheduler":
        policy = callback.policy
        return (policy if isinstance(policy, str) else policy.__name__) == "ReduceLROnPlateau"
    return name == "EarlyStopping" or (name == "Checkpoint" and callback.load_best)


def _monitor(callback: Any) -> str | None:
    return callback.monitor if isinstance(callback.monitor, str) else getattr(callback.monitor, "__name__", None)
