"""How long a step of `grow` takes in closed form, and how far updated sums are off when they are summed anew.

    python benchmarks/speed/growing.py --features CIFAR10.npz           # arrays X (n, d) and y (n,)

`ridge` grows half of the data in five steps, five folds each; lambda and temperature are chosen anew for each of the
25 fits. Prints and writes benchmarks/results/growing.json. Goal: seconds a step at 50,000 x 512.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/growing.json")
    given = parser.parse_args()
    with np.load(given.features) as arrays:
        x, y = arrays["X"], arrays["y"]
    seconds: dict[str, float] = {}
    drifts: list[float] = []

    def report(kind: str, **fields: object) -> None:
        if kind == "fit_end":
            step = str(fields["fit"]).partition("/")[0]
            seconds[step] = seconds.get(step, 0.0) + float(str(fields["seconds"]))
        elif kind == "drift":
            drifts.append(float(str(fields["relative"])))

    start = time.perf_counter()
    unseen.grow(x, y, keep=0.5, steps=5, learner="ridge", report=report)
    wall = time.perf_counter() - start
    print(f"{wall:.1f} s in all; steps {', '.join(f'{s:.1f}' for s in seconds.values())} s; drift {drifts}")
    write("growing", {"n": len(y), "d": x.shape[1], "wall_seconds": wall, "step_seconds": seconds, "drift": drifts},
          given.out)  # fmt: skip


if __name__ == "__main__":
    main()
