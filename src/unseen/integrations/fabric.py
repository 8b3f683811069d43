"""Lightning Fabric, and plain PyTorch: the loop is the user's, and calls what is here once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unseen.core.arrays import Array
from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import BatchIds, Watching, check_order, first_of, ids_in, rows_of

__all__ = ["held_out"]

Logits = Callable[[Any, Any], Array]


def held_out(recorder: Recorder, *, ids: BatchIds | None = None, logits: Logits | None = None) -> HeldOut:
    """What a loop with Fabric (or with plain PyTorch) calls once an epoch, by itself or through `fabric.call`.

    Args:
        recorder: whose fits are trained, inside `for fit in recorder:`.
        ids: where a batch of the evaluation loader holds the ids of its samples: a key, a place, or a function of the
            batch; None: samples are known by their place in a `Subset` of the data set.
        logits: from (model, batch) to logits (m, C); None: `model(batch[0])`.

    Example:
        >>> import numpy as np, unseen
        >>> held_out(unseen.Recorder(np.arange(9) % 3))
        HeldOut()

    """
    return HeldOut(recorder, ids, logits or _of_the_first)


class HeldOut:
    """Evaluates the held-out samples and hands what the model says of them to a recorder."""

    def __init__(self, recorder: Recorder, ids: BatchIds | None, logits: Logits) -> None:
        self._watching = Watching(recorder)
        self._recorder, self._ids, self._logits = recorder, ids, logits
        self._epoch, self._epochs = 0, 0

    def __repr__(self) -> str:
        return "HeldOut()"

    def on_train_start(self, *, train_loader: Any, epochs: int) -> None:
        """Before the first epoch.

        Args:
            train_loader: of `Subset(dataset, fit.train)`; with `ids`, of a data set whose items hold their ids.
            epochs: how many there will be.

        Raises:
            ExposureError: the loader holds samples that the model must not see.
            ArgumentError: it does not say which samples it holds; a score needs more epochs.
        """
        if epochs < 1:
            raise ArgumentError(f"epochs must be at least 1, got {epochs}")
        self._watching.begin(epochs=epochs)
        self._epoch, self._epochs = 0, epochs
        if self._ids is None:
            rows = rows_of(train_loader.dataset, self._recorder, use="train on Subset(dataset, fit.train)")
            self._watching.trains_on(rows)

    def on_train_batch_start(self, *, batch: Any) -> None:
        """With `ids`, before each step: check what is trained on."""
        if self._ids is None:
            raise ArgumentError("on_train_batch_start reads ids, so ids= must say where they are in a batch, got None")
        self._watching.trains_on(self._recorder.rows(ids_in(batch, self._ids)))

    def on_train_epoch_end(self, *, model: Any, loader: Any) -> None:
        """After each epoch: the watch sets are evaluated, if a score reads what the model says now.

        Args:
            model: put into evaluation mode here, and back into the modes that its modules had.
            loader: of `Subset(dataset, fit.unseen)`, unshuffled.

        Raises:
            ExposureError: the loader holds samples that are in no watch set.
            ArgumentError: it is shuffled, drops samples, or does not say which samples it holds; no logits come out.
            DataError: it lacks samples of the watch sets.
        """
        self._epoch += 1
        if self._epoch > self._epochs:
            raise ArgumentError(f"on_train_start announced {self._epochs} epochs, but this is number {self._epoch}")
        if self._epoch == self._epochs or self._watching.every_epoch:
            modes = [(module, module.training) for module in model.modules()]
            model.eval()
            try:
                self._evaluate(model, loader)
            finally:
                for module, mode in modes:
                    module.training = mode
            self._watching.heard(epoch=self._epoch, step=self._epoch)
            self._watching.epoch_ends(self._epoch, step=self._epoch)
        if self._epoch == self._epochs:
            self._watching.end(step=self._epoch)

    def _evaluate(self, model: Any, loader: Any) -> None:
        import torch

        order = None
        if self._ids is None:
            check_order(loader)
            order = rows_of(loader.dataset, self._recorder, use="evaluate Subset(dataset, fit.unseen)")
        self._watching.listen(order)
        with torch.no_grad():
            for batch in loader:
                ids = None if self._ids is None else ids_in(batch, self._ids)
                self._watching.take(first_of(self._logits(model, batch)), model, ids=ids)


def _of_the_first(model: Any, batch: Any) -> Array:
    if not isinstance(batch, (tuple, list)):
        raise ArgumentError(
            f"logits= must say how a batch becomes logits where it is no tuple, got a {type(batch).__name__}; pass "
            "logits=lambda model, batch: ..."
        )
    return model(batch[0])
