from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import pytest
import typer.main
from threadpoolctl import ThreadpoolController

MUCH = 4 * 2**30


def pytest_configure(config: pytest.Config) -> None:
    _keep_to_own_processors(getattr(config, "workerinput", None))
    _write_to_memory()
    gc.disable()  # while tests are collected; see below
    # The key that signs commands is the user's; tests have one of their own.
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="unseen-tests-")
    # Programs that tests start shall hear Ctrl-C, which processes of a run in the background inherit as ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now, which stays to the end, out of every later search for garbage."""
    gc.enable()
    gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)


def _keep_to_own_processors(worker: dict[str, Any] | None) -> None:
    """Give each of several test processes its share of the processors: threads of all on all of them would wait."""
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    usable, number = sorted(os.sched_getaffinity(0)), int(worker["workerid"].removeprefix("gw"))
    if own := usable[number % worker["workercount"] :: worker["workercount"]]:
        os.sched_setaffinity(0, own)


def _write_to_memory() -> None:
    """Let folders of tests be in memory where there is plenty: their thousands of fsyncs wait for a disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MUCH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture(scope="session", autouse=True)
def _made_once() -> Iterator[None]:
    """Make once for all tests what is the same for all: commands, the page's template, versions, pools of threads."""
    compiled, look_for_pools = jinja2.Environment.compile, ThreadpoolController.__init__
    codes: dict[Any, Any] = {}
    pools: dict[int, Any] = {}

    def compile_once(self: jinja2.Environment, source: Any, name: Any = None, filename: Any = None, **more: Any) -> Any:
        if filename is None or more:
            return compiled(self, source, name, filename, **more)
        key = source, self.autoescape  # all by which environments differ here
        if key not in codes:
            codes[key] = compiled(self, source, name, filename)
        return codes[key]

    def pools_known(self: ThreadpoolController) -> None:
        loaded = len(sys.modules)  # libraries come with modules
        if loaded not in pools:
            look_for_pools(self)
            pools.clear()
            pools[loaded] = self.lib_controllers
        self.lib_controllers = pools[loaded]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadpoolController, "__init__", pools_known)
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        patch.setattr(jinja2.Environment, "compile", compile_once)
        patch.setattr(metadata, "version", cache(metadata.version))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("UNSEEN_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()
    if not (folder / "cifar10-train.parquet").exists():
        pytest.skip(f"no real data in {folder}; set UNSEEN_DATA to the folder that holds cifar10-train.parquet")
    return folder
