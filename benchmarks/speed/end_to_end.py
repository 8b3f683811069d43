"""A whole image data set through `unseen prune`, as a user runs it: wall time, peak memory, held-out accuracy.

    python benchmarks/speed/end_to_end.py --data cifar10-train.parquet

Goal for CIFAR-10 (50,000 images, 5 folds, the small convnet, 2 CPU cores): held-out accuracy of the scoring models at
least 70 %, under 30 minutes, peak memory under 4 GiB. The test set is not touched. Writes
benchmarks/results/end_to_end.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--learner", default="convnet")
    parser.add_argument("--keep", default="0.7")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--run", type=Path, help="where the run is kept; a temporary folder if not given")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = (given.run or Path(folder) / "run").absolute()
        command = [
            "unseen", "prune", given.data.name, "--keep", given.keep, "--folds", "5", "--learner", given.learner,
            "--seed", given.seed, "--out", str(run), "--json",
        ]  # fmt: skip
        start = time.perf_counter()
        program = [str(Path(sys.executable).with_name("unseen")), *command[1:]]
        done = subprocess.run(program, cwd=given.data.parent, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - start
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    epochs = [e for e in events if e["kind"] == "epoch"]
    result = {
        "command": " ".join(command[:-3]),
        "summary": {k: v for k, v in json.loads(done.stdout).items() if k not in ("run", "scores", "coreset")},
        "wall_seconds": seconds,
        "training_seconds": sum(e["seconds"] for e in epochs),
        "observing_seconds": sum(e["observe_seconds"] for e in epochs),
        # The largest single process: worker processes of the first decode are counted one by one.
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
    print(json.dumps(result, indent=2))
    write("end_to_end", result, given.out)


if __name__ == "__main__":
    main()
