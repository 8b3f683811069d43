"""skorch: a callback that records the logits of the validation of each epoch."""

from __future__ import annotations

from typing import Any

from unseen.core.arrays import Array
from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import TrainingWatch, check_monitor, find_logits, make_callback
from unseen.learners.base import look_like_probabilities


def held_out(recorder: Recorder) -> Any:
    """Make a `skorch.callbacks.Callback` that passes the logits of a net's validation batches to a recorder.

        net = NeuralNetClassifier(..., train_split=predefined_split(Subset(dataset, fit.unseen)),
                                  callbacks=[held_out(recorder)])
        net.fit(Subset(dataset, fit.train), None)

    A `NeuralNetClassifier` with the default criterion `NLLLoss` ends in probabilities. Their logarithm is then
    recorded, because skorch trains on it. One callback serves all fits, inside `for fit in recorder:`.

    During training, the callback raises

    - `ExposureError` if the net must not see a training sample, if it continues an earlier fit (as by `warm_start`), or
      if the held-out samples choose a model or stop the training;
    - `ArgumentError` or `DataError` if the validation is shuffled or partial or gives no logits, or if training was
      interrupted.

    >>> import numpy as np, unseen
    >>> held_out(unseen.Recorder(np.arange(9) % 3))
    HeldOut()
    """
    return make_callback(_SkorchHooks, "Callback", "skorch", "skorch.callbacks")(recorder)


class _SkorchHooks:
    """The hooks of the callback, which skorch calls."""

    def __init__(self, recorder: Recorder) -> None:
        self._watch = TrainingWatch(recorder)
        self.recorder = recorder  # named like the argument, because scikit-learn's get_params reads it by that name
        self._epoch = 0

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **more: Any) -> None:
        self._epoch = len(net.history)  # not empty where partial_fit continues
        self._watch.begin(epochs=self._epoch + net.max_epochs, first=self._epoch + 1)
        self._watch.check_start(net.module_)
        self._checked = False
        for _, callback in net.callbacks_:
            if _reads_metric(callback):
                monitor = callback.monitor
                name = monitor if isinstance(monitor, str) else getattr(monitor, "__name__", None)
                check_monitor(type(callback).__name__, name)

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **more: Any) -> None:
        self._watch.check_training_set(dataset_train, use="fit the net on Subset(dataset, fit.train)")
        use = "pass train_split=predefined_split(Subset(dataset, fit.unseen))"
        if dataset_valid is None:
            raise ArgumentError(f"nothing would be evaluated: {use}")
        self._watch.begin_evaluation_of(net.get_iterator(dataset_valid, training=False), use=use)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool | None = None, y_pred: Any = None, **more: Any
    ) -> None:
        predicted = find_logits(y_pred)
        if not self._checked and _takes_logarithm(net):
            _check_probabilities(predicted)
        self._checked = True  # by the first batch, before the logarithm of a negative output makes the weights NaN
        if not training:
            self._watch.add_batch(_logits(net, predicted), net.module_)

    def on_epoch_end(self, net: Any, **more: Any) -> None:
        self._epoch += 1
        self._watch.end_evaluation(epoch=self._epoch, step=self._epoch)
        self._watch.end_epoch(self._epoch, step=self._epoch)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **more: Any) -> None:
        stopped = any(type(callback).__name__ == "EarlyStopping" for _, callback in net.callbacks_)
        if not stopped and self._epoch < self._watch.epochs:
            # skorch treats Ctrl-C as the end of training.
            raise ArgumentError(
                f"fit {self._watch.fit.name} was interrupted after epoch {self._epoch} of {self._watch.epochs}, "
                "and is not recorded; train it again"
            )
        self._watch.end(step=self._epoch)


def _takes_logarithm(net: Any) -> bool:
    """Return whether skorch takes the logarithm of the outputs: it does for a classifier with NLLLoss."""
    import torch

    classifies = any(base.__name__ == "NeuralNetClassifier" for base in type(net).__mro__)
    return classifies and isinstance(net.criterion_, torch.nn.NLLLoss)


def _check_probabilities(predicted: Any) -> None:
    if predicted.ndim == 2 and not look_like_probabilities(predicted):
        raise ArgumentError(
            "skorch takes the logarithm of the outputs of a NeuralNetClassifier with NLLLoss, the default, so the net "
            "must end in a softmax, but its rows do not sum to 1; or pass criterion=torch.nn.CrossEntropyLoss and "
            "end in logits"
        )


def _logits(net: Any, predicted: Any) -> Array:
    """Return what the criterion reads."""
    import torch

    return (predicted + torch.finfo(predicted.dtype).eps).log() if _takes_logarithm(net) else predicted


def _reads_metric(callback: Any) -> bool:
    """Return whether a callback stops training, restores a model or lowers the learning rate by a metric."""
    name = type(callback).__name__
    if name == "LRScheduler":
        policy = callback.policy
        return (policy if isinstance(policy, str) else policy.__name__) == "ReduceLROnPlateau"
    return name == "EarlyStopping" or (name == "Checkpoint" and callback.load_best)
