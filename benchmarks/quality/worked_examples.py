"""The worked examples on text and tables as one result: every command, what it printed, and every arm of its verdict.

    python benchmarks/quality/worked_examples.py --data DATA --folder FOLDER [--out FILE]

Runs examples/text_and_tables.sh on all its data sets and writes benchmarks/results/worked_examples.json, from which
benchmarks/quality/tables.py makes text_and_tables.md beside this file. FOLDER takes vectors and runs, and has to be
empty, so that the times are those of the work.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from unseen.evaluating.result import FILE, Evaluation

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import ROOT, write

SCRIPT = ROOT / "examples" / "text_and_tables.sh"
SETS = ("sst2", "emoji", "adult", "kdd")
PROMPT = "$ "
PROGRESS = re.compile(
    r"(fit \S+: |(train|test): [\d,]+ of |\S+: accuracy |(budget|plan|scores|memory|time|arms|needs|near) )"
)


def ran(name: str, data: Path, folder: Path) -> list[dict[str, Any]]:
    """The commands of one data set, in turn."""
    done = subprocess.run(
        ["bash", SCRIPT, data, folder, name], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed = done.stdout.replace(f"{data}/", "DATA/").replace(f"{folder}/", "")
    commands = [part.splitlines() for part in printed.split(f"\n{PROMPT}")[1:]]
    return [entry(command, shown, folder) for command, *shown in commands]


def entry(command: str, shown: list[str], folder: Path) -> dict[str, Any]:
    """One command, and what its evaluation holds if it makes one."""
    found: dict[str, Any] = {"command": command, "shown": [line.rstrip() for line in shown if not PROGRESS.match(line)]}
    evaluation = folder / command.split()[-1] / FILE
    if evaluation.exists():
        arms = Evaluation.load(evaluation).summary()["arms"]
        found["arms"] = json.loads(json.dumps(arms), parse_constant=lambda _: None)  # JSON has no NaN
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="with text/ and tabular/, as the script says")
    parser.add_argument("--folder", type=Path, required=True, help="for vectors and runs")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/worked_examples.json")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        sys.exit(f"{options.folder} is not empty")
    options.folder.mkdir(parents=True, exist_ok=True)
    sets = {name: ran(name, options.data, options.folder) for name in SETS}
    write("worked_examples", {"sets": sets}, options.out)


if __name__ == "__main__":
    main()
