"""The `Trainer` of transformers: a callback that records what its evaluation says of the held-out samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import (
    Watching,
    callback_of,
    check_evaluation_mode,
    check_monitor,
    check_order,
    first_of,
    rows_of,
)

__all__ = ["held_out"]

Metrics = Callable[[Any], dict[str, float]]


def held_out(recorder: Recorder, *, compute_metrics: Metrics | None = None) -> Any:
    """A `transformers.TrainerCallback` that is its Trainer's `compute_metrics` too, where the logits arrive.

        record = held_out(recorder)
        Trainer(..., train_dataset=Subset(dataset, fit.train), eval_dataset=Subset(dataset, fit.unseen),
                compute_metrics=record, callbacks=[record])

    `dataset` may be one of `datasets`. With `eval_strategy="epoch"`, every epoch is recorded where a score reads it;
    without, the last one, by `trainer.evaluate()` after `trainer.train()`.

    Args:
        recorder: whose fits are trained, inside `for fit in recorder:`.
        compute_metrics: your own, which is then called too.

    Raises:
        MissingDependencyError: transformers is not installed.

    While it trains: `ExposureError` if a training sample must not be seen, or if the model is chosen or stopped by the
    held-out samples; `ArgumentError` and `DataError` if the evaluation is reordered, partial, or in several processes.

    Example:
        >>> import numpy as np, unseen
        >>> held_out(unseen.Recorder(np.arange(9) % 3))
        HeldOut()

    """
    callback = callback_of(_Hooks, "TrainerCallback", "transformers", "transformers")
    return callback(recorder, compute_metrics)


class _Hooks:
    """The hooks of the callback, which the Trainer calls."""

    def __init__(self, recorder: Recorder, compute_metrics: Metrics | None) -> None:
        self._watching = Watching(recorder)
        self._recorder, self._metrics = recorder, compute_metrics
        self._evaluating = False
        self._model: Any = None
        self._state: Any = None
        self._over = False

    def __repr__(self) -> str:
        return "HeldOut()"

    def on_train_begin(self, args: Any, state: Any, control: Any, *, train_dataloader: Any, **more: Any) -> None:
        _check_arguments(args)
        self._over = self._evaluating = False
        epochs = math.ceil(args.num_train_epochs) if args.max_steps <= 0 else None
        # The last epoch can be recorded afterwards, so one that is begun again is no harm to its scores.
        self._watching.begin(epochs=epochs, first=math.floor(state.epoch or 0) + 1)
        if self._watching.every_epoch and args.eval_strategy != "epoch":
            raise ArgumentError(
                f"the scores read every epoch, so eval_strategy must be 'epoch', got {str(args.eval_strategy.value)!r}"
            )
        dataset = train_dataloader.dataset
        rows = rows_of(dataset, self._recorder, use="train on torch.utils.data.Subset(dataset, fit.train)")
        self._watching.trains_on(rows)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        # The Trainer evaluates an epoch after on_epoch_end, so what it said is handed in when the next one begins.
        if state.global_step:
            self._epoch_over(state)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, *, model: Any, eval_dataloader: Any, **more: Any
    ) -> None:
        if not self._watching.under_way:
            return
        self._state, self._model = state, model
        if not self._evaluating:
            check_order(eval_dataloader)
            use = "evaluate torch.utils.data.Subset(dataset, fit.unseen)"
            self._watching.listen(rows_of(eval_dataloader.dataset, self._recorder, use=use))
            self._evaluating = True
        check_evaluation_mode(model)

    def __call__(self, prediction: Any) -> dict[str, float]:
        """The logits of a whole evaluation, in the order of its data set."""
        metrics = {} if self._metrics is None else self._metrics(prediction)
        if not self._evaluating:
            return metrics
        self._evaluating = False
        self._watching.take(first_of(prediction.predictions), self._model)
        if self._state.global_step:  # else it was asked for before training, with eval_on_start
            self._watching.heard(epoch=_epoch(self._state), step=self._state.global_step)
            if self._over:
                self._finish(self._state)
        return metrics

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._over = True
        if args.eval_strategy != "no":
            self._finish(state)

    def _epoch_over(self, state: Any) -> None:
        self._watching.epoch_ends(_epoch(state), step=state.global_step)

    def _finish(self, state: Any) -> None:
        self._epoch_over(state)
        self._watching.end(step=state.global_step)


def _epoch(state: Any) -> int:
    """The epoch under way, or the one that has just ended, from 1."""
    return max(1, math.ceil(round(state.epoch or 0, 6)))


def _check_arguments(args: Any) -> None:
    if args.world_size > 1:
        raise ArgumentError(f"a fit must be trained in one process, got {args.world_size}; train one fit a device")
    needed = {"prediction_loss_only": False, "batch_eval_metrics": False, "eval_do_concat_batches": True}
    for name, value in needed.items():
        if getattr(args, name) != value:
            raise ArgumentError(f"{name} must be {value}, so that the logits of an evaluation arrive; leave it out")
    metric = args.metric_for_best_model or "loss"
    monitor = metric if metric.startswith("eval_") else f"eval_{metric}"  # as the Trainer names it
    if args.lr_scheduler_type == "reduce_lr_on_plateau":
        check_monitor("reduce_lr_on_plateau", monitor)
    if args.load_best_model_at_end or args.metric_for_best_model is not None:
        check_monitor("the choice of the best model", monitor)
