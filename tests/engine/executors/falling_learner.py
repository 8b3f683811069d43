"""A learner of which one worker dies, or raises, when the test wants it to."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

from unseen.engine.runs.directory import DirectoryCheckpoints
from unseen.errors import DataError
from unseen.learners.torch import TorchLearner


class FallingLearner(TorchLearner):
    """Trains as the torch learner does; once, after epoch `after` (0: before any), the worker of rank 1 falls."""

    def falling(self, folder, after, *, how):
        self.folder, self.after, self.how = str(folder), after, how
        return self

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        from torch import distributed

        DirectoryCheckpoints.spacing = 0.0  # epochs of these tests take less than a second
        reached, fallen = (Path(self.folder) / name for name in ("reached", "fallen"))
        if distributed.is_initialized() and distributed.get_rank() == 1 and not fallen.exists():
            if self.how == "raises":
                raise DataError(f"cannot read sample {7}")
            Thread(target=_fall, args=(reached, fallen), daemon=True).start()

        def tell(kind, **fields):
            report(kind, **fields)
            if fields["epoch"] == self.after and not reached.exists() and self.workers > 1:
                reached.touch()
                _wait(fallen)

        super().fit(data, fit, sink, checkpoints, seed=seed, report=tell)


def _fall(reached, fallen):
    _wait(reached)
    fallen.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
