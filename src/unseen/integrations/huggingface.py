"""The `Trainer` of transformers: a callback that records the logits of its evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from unseen.errors import ArgumentError
from unseen.integrations.recorder import Recorder
from unseen.integrations.watching import TrainingWatch, check_evaluation_mode, check_monitor, make_callback

Metrics = Callable[[Any], dict[str, float]]


def held_out(recorder: Recorder, *, compute_metrics: Metrics | None = None) -> Any:
    """Make a `transformers.TrainerCallback` that is also the Trainer's `compute_metrics`, which receives the logits.

        record = held_out(recorder)
        Trainer(..., train_dataset=Subset(dataset, fit.train), eval_dataset=Subset(dataset, fit.unseen),
                compute_metrics=record, callbacks=[record])

    `dataset` may be one of `datasets`. With `eval_strategy="epoch"`, every epoch that a score reads is recorded;
    without it, only the last one, by `trainer.evaluate()` after `trainer.train()`.

    One callback serves all fits, inside `for fit in recorder:`. Your own `compute_metrics` are computed too.

    During training, the callback raises

    - `ExposureError` if the model must not see a training sample, if it continues an earlier fit, or if the held-out
      samples choose it or stop its training;
    - `ArgumentError` or `DataError` if the evaluation is reordered, partial, or in several processes.

    >>> import numpy as np, unseen
    >>> held_out(unseen.Recorder(np.arange(9) % 3))
    HeldOut()
    """
    callback = make_callback(_TrainerHooks, "TrainerCallback", "transformers", "transformers")
    return callback(recorder, compute_metrics)


class _TrainerHooks:
    """The hooks of the callback, which the Trainer calls."""

    def __init__(self, recorder: Recorder, compute_metrics: Metrics | None) -> None:
        self._watch, self._metrics = TrainingWatch(recorder), compute_metrics
        self._evaluating = False
        self._model: Any = None
        self._state: Any = None
        self._over = False

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: Any, train_dataloader: Any, **more: Any
    ) -> None:
        _check_arguments(args)
        self._over = self._evaluating = False
        epochs = math.ceil(args.num_train_epochs) if args.max_steps <= 0 else None
        # The last epoch can be recorded after training, so starting it again does not harm its scores.
        self._watch.begin(epochs=epochs, first=math.floor(state.epoch or 0) + 1)
        if self._watch.every_epoch and args.eval_strategy != "epoch":
            raise ArgumentError(
                f"the scores read every epoch, so eval_strategy must be 'epoch', got {str(args.eval_strategy.value)!r}"
            )
        self._watch.check_start(model, resumed=bool(state.epoch))
        use = "train on torch.utils.data.Subset(dataset, fit.train)"
        self._watch.check_training_loader(train_dataloader, use=use)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        # The Trainer evaluates after on_epoch_end, so the logits of an epoch are recorded when the next one begins.
        if state.global_step:
            self._end_epoch(state)

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, *, model: Any, eval_dataloader: Any, **more: Any
    ) -> None:
        if not self._watch.is_training:
            return
        self._state, self._model = state, model
        if not self._evaluating:
            use = "evaluate torch.utils.data.Subset(dataset, fit.unseen)"
            self._watch.begin_evaluation_of(eval_dataloader, use=use)
            self._evaluating = True
        check_evaluation_mode(model)

    def __call__(self, prediction: Any) -> dict[str, float]:
        """Take the logits of a whole evaluation, in the order of its data set, and return the metrics."""
        metrics = {} if self._metrics is None else self._metrics(prediction)
        if not self._evaluating:
            return metrics
        self._evaluating = False
        self._watch.add_batch(prediction.predictions, self._model)
        if self._state.global_step:  # 0 for the evaluation before training, by eval_on_start
            self._watch.end_evaluation(epoch=_epoch(self._state), step=self._state.global_step)
            if self._over:
                self._finish(self._state)
        return metrics

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._over = True
        if args.eval_strategy != "no":
            self._finish(state)

    def _end_epoch(self, state: Any) -> None:
        if self._evaluating:
            raise ArgumentError(
                "the logits of the evaluation did not arrive: pass compute_metrics=, too, with the same held_out() as "
                "callbacks="
            )
        self._watch.end_epoch(_epoch(state), step=state.global_step)

    def _finish(self, state: Any) -> None:
        self._end_epoch(state)
        self._watch.end(step=state.global_step)


def _epoch(state: Any) -> int:
    """Return the current epoch, or the one that has just ended, from 1."""
    return max(1, math.ceil(round(state.epoch or 0, 6)))


def _check_arguments(args: Any) -> None:
    if args.world_size > 1:
        raise ArgumentError(f"a fit must be trained in one process, got {args.world_size}; train one fit a device")
    needed = {"prediction_loss_only": False, "batch_eval_metrics": False, "eval_do_concat_batches": True}
    for name, value in needed.items():
        if getattr(args, name) != value:
            raise ArgumentError(f"{name} must be {value}, so that the logits of an evaluation arrive; leave it out")
    metric = args.metric_for_best_model or "loss"
    monitor = metric if metric.startswith("eval_") else f"eval_{metric}"  # the name in the Trainer
    if args.lr_scheduler_type == "reduce_lr_on_plateau":
        check_monitor("reduce_lr_on_plateau", monitor)
    if args.load_best_model_at_end or args.metric_for_best_model is not None:
        check_monitor("the choice of the best model", monitor)
