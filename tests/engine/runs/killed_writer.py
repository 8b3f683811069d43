"""Does the work of one fit, and is killed at one moment after another: argument 1 is the folder of the runs.

In run k the k-th call of a boundary function ends the process by SIGKILL, before or after the call. The last run is
not killed. Prints where each one ended.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd  # noqa: F401 - which pyarrow loads; once here, not in every forked process
import scipy.stats  # noqa: F401

from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.engine.runs import RunDirectory

MANIFEST = {"seed": 0}
OLD, NEW = {"epoch": np.int64(1), "w": np.zeros(300)}, {"epoch": np.int64(2), "w": np.ones(300)}


def work(path):
    with RunDirectory(path) as run:
        run.open(MANIFEST)
        run.event("start")
        if run.result("r0f0") is None:
            store = run.checkpoints("r0f0")
            if store.load() is None:
                store.save(OLD)
            store.save(NEW)
            run.save_result("r0f0", NEW)
        run.event("done")
        run.save_table(ScoreTable.of("el2n", np.linspace(0, 1, 9), direction="harder"))
        run.save_coreset(Coreset(ids=np.array([4, 7]), indices=np.array([4, 7]), n=9))


def killed_at(moment):
    """Patch the boundary functions; returns nothing, the process dies."""
    count = 0

    def patched(name, call):
        def boundary(*args, **kwargs):
            nonlocal count
            for when in ("before", "after"):
                count += 1
                if count == moment:
                    print(f"{when} {name} {Path(str(args[0])).name}", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
                if when == "before":
                    result = call(*args, **kwargs)
            return result

        return boundary

    for module, name in [
        (os, "replace"),
        (os, "fsync"),
        (os, "write"),
        (np.lib.format, "write_array"),
        (Path, "unlink"),
    ]:
        setattr(module, name, patched(name, getattr(module, name)))


def main():
    moment, status = 0, signal.SIGKILL
    while status == signal.SIGKILL:
        moment += 1
        pid = os.fork()
        if pid == 0:
            killed_at(moment)
            work(Path(sys.argv[1]) / str(moment))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        status = -status
    assert status == 0


if __name__ == "__main__":
    main()
