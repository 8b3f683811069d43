"""Lightning: a callback that records the logits of `validation_step` for the held-out samples."""

from __future__ import annotations

from typing import Any

from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import BatchIds, TrainingWatch, check_monitor, find_logits, make_callback


def held_out(recorder: Recorder, *, ids: BatchIds | None = None, loader: int = 0) -> Any:
    """Make a `lightning.pytorch.Callback` that passes the logits of the validation loop to a recorder.

    `validation_step` must return the logits (m, C), or a dict with them as `"logits"`. Train on
    `Subset(dataset, fit.train)` and validate on `Subset(dataset, fit.unseen)`, unshuffled. Or put ids into the
    batches; then the data sets may be of any kind. One callback serves all fits, inside `for fit in recorder:`.

    Args:
        recorder: the recorder whose fits are trained.
        ids: where a batch of training or validation holds the ids of its samples: a key, a position, or a function of
            the batch; None: the ids follow from the positions in the `Subset`.
        loader: the number of the validation loader that holds the watch set, where there are several.

    While `trainer.fit` runs, the callback raises

    - `ExposureError` if the model must not see a training sample, if it continues an earlier fit, or if `EarlyStopping`
      or `ReduceLROnPlateau` reads the held-out samples;
    - `ArgumentError` or `DataError` if the validation is shuffled, partial, in training mode or in several processes,
      or gives no logits.

    >>> import numpy as np, unseen
    >>> held_out(unseen.Recorder(np.arange(9) % 3))
    HeldOut()
    """
    callback = make_callback(_LightningHooks, "Callback", "lightning", "lightning.pytorch", "pytorch_lightning")
    return callback(recorder, ids, loader)


class _LightningHooks:
    """The hooks of the callback, which Lightning calls."""

    def __init__(self, recorder: Recorder, ids: BatchIds | None, loader: int) -> None:
        self._watch, self._loader = TrainingWatch(recorder, ids), loader

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.world_size > 1:
            raise ArgumentError(f"a fit must be trained in one process, got {trainer.world_size}; pass devices=1")
        if not trainer.enable_validation:
            raise ArgumentError(
                "nothing would be evaluated: pass a validation loader of Subset(dataset, fit.unseen), write "
                "validation_step, and leave limit_val_batches out"
            )
        self._watch.begin(epochs=_epochs(trainer))
        if self._watch.every_epoch and trainer.check_val_every_n_epoch != 1:
            raise ArgumentError(
                "the scores read every epoch, so check_val_every_n_epoch must be 1, got "
                f"{trainer.check_val_every_n_epoch}"
            )
        for callback in trainer.callbacks:
            if type(callback).__name__ == "EarlyStopping" and not self._is_of_other_loader(callback.monitor):
                check_monitor("EarlyStopping", callback.monitor)
        for schedule in trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau and not self._is_of_other_loader(schedule.monitor):
                check_monitor("ReduceLROnPlateau", schedule.monitor)

    def _is_of_other_loader(self, monitor: str | None) -> bool:
        """Return whether a metric is of another validation loader than that of the watch set."""
        _, of, number = (monitor or "").partition("/dataloader_idx_")
        return bool(of) and number != str(self._loader)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch:
            self._watch.begin(epochs=_epochs(trainer), first=trainer.current_epoch + 1)
        self._watch.check_start(pl_module, resumed=trainer.current_epoch > 0)
        self._watch.check_training_loader(trainer.train_dataloader)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._watch.check_training_batch(batch)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self._watch.is_training:  # else by trainer.validate, after training
            loaders = trainer.val_dataloaders
            if hasattr(loaders, "values"):
                loaders = list(loaders.values())
            loader = loaders[self._loader] if isinstance(loaders, (list, tuple)) else loaders
            self._watch.begin_evaluation_of(loader, use="validate on Subset(dataset, fit.unseen)")

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not self._watch.is_training or dataloader_idx != self._loader:
            return
        if not getattr(find_logits(outputs), "shape", ()):  # nothing, or the loss alone
            raise ArgumentError("validation_step must return the logits, or a dict with them as 'logits'")
        self._watch.add_batch(outputs, pl_module, batch=batch)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self._watch.is_training and not trainer.sanity_checking:
            self._watch.end_evaluation(epoch=trainer.current_epoch + 1, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._watch.end_epoch(trainer.current_epoch + 1, step=trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._watch.end(step=trainer.global_step)


def _epochs(trainer: Any) -> int | None:
    """Return the number of epochs, or None where another limit may end the training earlier."""
    known = trainer.max_epochs is not None and trainer.max_epochs > 0 and trainer.max_steps < 1
    return trainer.max_epochs if known else None
