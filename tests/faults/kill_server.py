"""Forks one `unseen` process after another from a warm interpreter, and kills it at the moment that is asked for.

Each request is a line of JSON on stdin, each answer one on stdout. The library gets no hook: the child wraps
`os.replace` and `os.fsync`, the boundaries of every write, and ends itself by SIGKILL at the k-th of them; kills at a
time are sent from outside.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

PHASES = {
    "manifest.json": "manifest write",
    "command.json": "command write",
    "checkpoint.npz": "checkpoint write",
    "result.npz": "result write",
    "scores.parquet": "table write",
    "coreset.parquet": "coreset write",
    "outputs.json": "outputs write",
}


def warm():
    """Import what a run imports, so that a child starts at once. Nothing is computed: there are no threads to lose."""
    import pyarrow.parquet  # noqa: F401
    import sklearn.datasets
    import sklearn.ensemble  # noqa: F401

    import unseen.cli._app
    import unseen.learners.torch.loop
    import unseen.learners.torch.runtime
    import unseen.pruning  # noqa: F401
    from unseen.engine.runs.directory import DirectoryCheckpoints

    DirectoryCheckpoints.spacing = 0.0  # epochs of these tests take less than a second


class Boundaries:
    """Counts the calls of `os.replace` and `os.fsync`, names them, and kills this process at one of them."""

    def __init__(self, journal, kill):
        self.journal = journal
        self.kill = kill
        self.count = 0
        self.file = "nothing"
        for name in ("replace", "fsync"):
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, call):
        def boundary(*args, **kwargs):
            index, self.count = self.count, self.count + 1
            phase = self.phase(name, args)
            self.pass_by(index, "before", phase)
            result = call(*args, **kwargs)
            self.pass_by(index, "after", phase)
            return result

        return boundary

    def phase(self, name, args):
        if name == "replace":
            self.file = Path(args[1]).name
        else:
            path = Path(f"/proc/self/fd/{args[0]}").readlink()
            if path.suffix == ".tmp":  # ".checkpoint.npz.1a2b.tmp"; else it is the folder of the file just replaced
                self.file = ".".join(path.name.split(".")[1:-2])
        return PHASES.get(self.file, self.file)

    def pass_by(self, index, when, phase):
        fatal = self.kill is not None and self.kill == {"boundary": index, "when": when}
        if when == "before" or fatal:
            with open(self.journal, "a") as journal:  # noqa: PTH123
                journal.write(json.dumps({"index": index, "when": when, "phase": phase}) + "\n")
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def plant(fault):
    """Break what a checkpoint holds: a fault that only a kill can bring to light."""
    from unseen.engine.runs.directory import DirectoryCheckpoints

    save = DirectoryCheckpoints.save
    earlier = {}

    def stale_sink(self, arrays):
        old = earlier.get(self.path, arrays)
        earlier[self.path] = {name: value.copy() for name, value in arrays.items()}
        save(self, {name: old[name] if name.startswith("sink/") else value for name, value in arrays.items()})

    def forgotten_optimiser(self, arrays):
        save(self, {name: 0 * value if name.startswith("optim/") else value for name, value in arrays.items()})

    DirectoryCheckpoints.save = {"stale_sink": stale_sink, "forgotten_optimiser": forgotten_optimiser}[fault]


def child(request):
    """Run the program in this process, as from its console script; does not return."""
    code = 70
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        Boundaries(request["journal"], request["kill"] if "boundary" in (request["kill"] or {}) else None)
        if request["plant"]:
            plant(request["plant"])
        sys.argv = ["unseen", *request["argv"]]
        from unseen.cli import main

        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def watched(pid, kill):
    """Wait for the child; kill it so many seconds after its first training began."""
    ended, status = 0, 0
    until = None
    while not ended:
        if kill is None or "seconds" not in kill:
            return os.waitpid(pid, 0)[1]
        if until is None and "fit_start" in _text(kill["events"]):
            until = time.monotonic() + kill["seconds"]
        if until is not None and time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]
        time.sleep(0.002)
        ended, status = os.waitpid(pid, os.WNOHANG)
    return status


def _text(path):
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""


def serve():
    warm()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(request)
        status = watched(pid, request["kill"])
        signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        print(json.dumps({"signal": signal_number, "code": code}), flush=True)


if __name__ == "__main__":
    serve()
