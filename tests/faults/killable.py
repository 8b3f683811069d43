"""The program as a process that can be killed: the client of `kill_server`."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Ended:
    """How a process of the program ended."""

    code: int | None
    signal: int | None
    output: str
    journal: list[dict]


class Program:
    """Runs `unseen ARGV`, perhaps killed on the way; see `kill_server`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        script = Path(__file__).with_name("kill_server.py")
        self.server = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # a fork copies one thread only
        )

    def __call__(self, *argv: object, kill: dict | None = None, plant: str | None = None) -> Ended:
        number = next(self.numbers)
        output, journal = self.folder / f"{number}.out", self.folder / f"{number}.journal"
        request = {
            "argv": [str(a) for a in argv], "kill": kill, "plant": plant, "output": str(output), "journal": str(journal)
        }  # fmt: skip
        print(json.dumps(request), file=self.server.stdin)
        answer = json.loads(self.server.stdout.readline())
        lines = journal.read_text().splitlines() if journal.exists() else []
        return Ended(answer["code"], answer["signal"], output.read_text(), [json.loads(line) for line in lines])

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait(10)
        self.server.stdout.close()


servers: list[Program] = []  # at most one in this process: pytest has an imported fixture once for each module


@pytest.fixture(name="program", scope="session")
def program_fixture(tmp_path_factory):
    if not servers:
        servers.append(Program(tmp_path_factory.mktemp("program")))
    yield servers[0]
    if servers:  # the first module whose turn it is at the end of the session
        servers.pop().close()
