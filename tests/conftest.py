from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Let the programs that tests start hear Ctrl-C, which processes of a run in the background inherit as ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("UNSEEN_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()
    if not (folder / "cifar10-train.parquet").exists():
        pytest.skip(f"no real data in {folder}; set UNSEEN_DATA to the folder that holds cifar10-train.parquet")
    return folder
