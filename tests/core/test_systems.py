"""Systems that lack what Linux has: the names are hidden here, as Windows and macOS do not have them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# After the libraries are loaded, which look for these names themselves.
HIDDEN = """
import os, signal, sys
import numpy, pandas, pyarrow.parquet, scipy.sparse, sklearn.ensemble, sklearn.linear_model, joblib
sys.modules["fcntl"] = None
for name in {os}:
    delattr(os, name)
for name in {signal}:
    delattr(signal, name)
"""
WINDOWS = HIDDEN.format(
    os=["register_at_fork", "fork", "getuid", "sysconf", "sched_getaffinity", "pwrite", "sync", "O_DIRECTORY"],
    signal=["pthread_sigmask", "SIGKILL"],
)
IN_MEMORY = """
import pathlib, tempfile, unseen
from sklearn.datasets import load_digits
x, y = load_digits(return_X_y=True)
table, coreset = unseen.prune(x, y, keep=0.5, learner="logistic", plan=unseen.folds(2))
with tempfile.TemporaryDirectory() as folder:
    saved = coreset.save(pathlib.Path(folder) / "coreset.parquet")
    assert len(unseen.load(saved)) == 899
    for refused in ({"out": f"{folder}/run"}, {"jobs": 2}):
        try:
            unseen.prune(x, y, keep=0.5, learner="logistic", **refused)
        except unseen.UnseenError as error:
            print(error)
"""
EVERY_MODULE = """
import importlib, pkgutil, unseen
for found in pkgutil.walk_packages(unseen.__path__, "unseen."):
    if found.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(found.name)
    except ImportError as error:
        assert error.name != "fcntl" and "fcntl" not in str(error), (found.name, error)
print("imported")
"""


def said(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_what_windows_lacks_results_stay_in_memory():
    lines = said(WINDOWS + IN_MEMORY).splitlines()
    assert "cannot be locked, as this system has no flock (Windows); use Linux, macOS or WSL, or leave out=" in lines[0]
    assert lines[1].startswith("jobs must be 1 on this system (Windows), got 2")


@pytest.mark.slow
def test_every_module_can_be_imported_without_what_windows_lacks():
    assert said("import torch\n" + WINDOWS + EVERY_MODULE).endswith("imported\n")


@pytest.mark.parametrize("system", ["macOS", "Windows"])
def test_memory_where_the_system_says_little(monkeypatch, system):
    """Without /proc; macOS does not know how many pages are free, Windows does not say how many there are."""
    from unseen.core.machine import free_memory
    from unseen.data.formats import ReadOptions

    def no_proc(path, *_, **__):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", no_proc)
    monkeypatch.delitem(os.sysconf_names, "SC_AVPHYS_PAGES")
    if system == "Windows":
        monkeypatch.delattr(os, "sysconf")
    free, limit = free_memory(), ReadOptions().bytes_in_memory
    assert free == 2 * limit
    assert (limit == 2 << 30) == (system == "Windows")
