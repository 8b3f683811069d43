"""Lightning Fabric, and plain PyTorch: an object whose hooks the user's loop calls once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unseen.core.arrays import Array
from unseen.core.checks import at_least
from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import BatchIds, TrainingWatch

Logits = Callable[[Any, Any], Array]


def held_out(recorder: Recorder, *, ids: BatchIds | None = None, logits: Logits | None = None) -> HeldOut:
    """Make the hooks for a loop with Fabric or plain PyTorch; the loop calls them itself or by `fabric.call`.

    Args:
        recorder: the recorder whose fits are trained, inside `for fit in recorder:`.
        ids: where a batch of the evaluation loader holds the ids of its samples: a key, a position, or a function of
            the batch; None: the ids follow from the positions in a `Subset` of the data set.
        logits: a function from (model, batch) to logits (m, C); None: `model(batch[0])`.

    >>> import numpy as np, unseen
    >>> held_out(unseen.Recorder(np.arange(9) % 3))
    HeldOut()
    """
    return HeldOut(recorder, ids, logits or _call_on_first)


class HeldOut:
    """Evaluates the held-out samples, and passes their logits to a recorder."""

    def __init__(self, recorder: Recorder, ids: BatchIds | None, logits: Logits) -> None:
        self._watch, self._logits = TrainingWatch(recorder, ids), logits
        self._epoch, self._epochs = 0, 0
        self._told = False  # of a batch of this epoch

    def __repr__(self) -> str:
        return "HeldOut()"

    def on_train_start(self, *, train_loader: Any, epochs: int, model: Any = None) -> None:
        """Check the training set; call this before the first of `epochs` epochs.

        The loader is one of `Subset(dataset, fit.train)` or, with `ids`, of a data set whose items hold ids. Pass
        `model`, too, to have it checked for the weights of an earlier fit.

        Raises:
            ExposureError: the loader holds samples that the model must not see, or the model has the weights of an
                earlier fit, which was trained on samples that this fit judges.
            ArgumentError: the samples of the loader cannot be known, or a score needs more epochs.
        """
        at_least("epochs", epochs, 1)
        self._watch.begin(epochs=epochs)
        self._epoch, self._epochs, self._told = 0, epochs, False
        if model is not None:
            self._watch.check_start(model)
        self._watch.check_training_loader(train_loader)

    def on_train_batch_start(self, *, batch: Any) -> None:
        """Check the ids of a training batch; with `ids`, call this before each step."""
        if self._watch.ids is None:
            raise ArgumentError("on_train_batch_start reads ids, so ids= must say where they are in a batch, got None")
        self._told = True
        self._watch.check_training_batch(batch)

    def on_train_epoch_end(self, *, model: Any, loader: Any) -> None:
        """Evaluate the watch sets if a score reads this epoch; call this after each epoch.

        The model is evaluated in evaluation mode, and gets its modes back. The loader is one of
        `Subset(dataset, fit.unseen)`, unshuffled.

        Raises:
            ExposureError: the loader holds samples that are in no watch set.
            DataError: the loader lacks samples of a watch set.
            ArgumentError: the loader is shuffled or drops samples, its samples cannot be known, the model gives no
                logits, or with `ids` the loop did not say what it trained on.
        """
        if self._watch.ids is not None and not self._told:
            raise ArgumentError(
                "with ids= the loop says what it trains on, but no batch of this epoch was told; call "
                "on_train_batch_start(batch=batch) before each step"
            )
        self._epoch, self._told = self._epoch + 1, False
        if self._epoch > self._epochs:
            raise ArgumentError(
                f"on_train_start announced {self._epochs} epochs, but this is number {self._epoch}; call it when each "
                "fit begins"
            )
        if self._epoch == self._epochs or self._watch.every_epoch:
            from unseen.learners.torch.loop import evaluating

            self._watch.check_other(model)
            with evaluating(model):
                self._watch.begin_evaluation_of(loader)
                for batch in loader:
                    self._watch.add_batch(self._logits(model, batch), model, batch=batch)
            self._watch.end_evaluation(epoch=self._epoch, step=self._epoch)
            self._watch.end_epoch(self._epoch, step=self._epoch)
        if self._epoch == self._epochs:
            self._watch.end(step=self._epoch)


def _call_on_first(model: Any, batch: Any) -> Array:
    if not isinstance(batch, (tuple, list)):
        raise ArgumentError(
            f"logits= must say how a batch becomes logits where it is no tuple, got a {type(batch).__name__}; pass "
            "logits=lambda model, batch: ..."
        )
    return model(batch[0])
