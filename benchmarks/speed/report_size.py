"""The report of a data set of ImageNet's size: how large the file gets, and how long it takes.

    python benchmarks/speed/report_size.py --folder FOLDER             # 1,281,167 files of 1,000 classes
    python benchmarks/speed/report_size.py --folder FOLDER --n 20000   # a quick look

FOLDER takes a tree of images as ImageNet has it, a folder a class: JPEGs of 500 x 375 pixels of noise over colours,
far fewer than the tree has names, each linked many times. A few numbers of each image are scored by `ridge` under two
plans, held out and in-sample, and half is kept. Then, in a process of its own, `unseen report RUN --data FOLDER`
shows the images, with as many in a gallery as it takes. Goals: under a minute, under 15 MB. Prints and writes
benchmarks/results/report_size.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

import unseen

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

IMAGES, COLUMNS, MOST = 1000, 16, 200  # different files, numbers an image, samples in a gallery


def picture(path: Path, rng: np.random.Generator) -> None:
    """As costly to decode, and to show, as a photograph: colours that change slowly, and noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-20, 21, (375, 500, 3), dtype=np.int16)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=90)


def tree(folder: Path, n: int, classes: int) -> list[str]:
    """The names below it, made where they are not there."""
    sources = folder / "sources"
    names = [f"n{i % classes:08}/{i:08}.jpeg" for i in range(n)]
    images = folder / "images"
    if not (images / names[-1]).exists():
        sources.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for i in range(IMAGES):
            picture(sources / f"{i}.jpeg", rng)
        for c in range(classes):
            (images / f"n{c:08}").mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(names):
            os.link(sources / f"{i % IMAGES}.jpeg", images / name)
    return sorted(names)


def runs(folder: Path, names: list[str], classes: int) -> tuple[Path, Path]:
    """The same samples scored held out and in-sample, half of them kept."""
    rng = np.random.default_rng(1)
    y = np.array([int(name[1:9]) for name in names])
    x = (rng.standard_normal((classes, COLUMNS))[y] + 2 * rng.standard_normal((len(y), COLUMNS))).astype(np.float32)
    data = unseen.data.from_arrays(x, y, ids=names)
    held_out, in_sample = folder / "run", folder / "run-seen"
    unseen.prune(data, keep=0.5, learner="ridge", out=held_out, plan=unseen.folds(2))
    unseen.score(data, learner="ridge", out=in_sample, plan=unseen.seen())
    return held_out, in_sample


def watched(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory, MiB, of a process."""
    start, peak = time.perf_counter(), 0.0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max([peak, *(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))])
            time.sleep(0.05)
    if process.returncode:
        sys.exit(process.returncode)
    return time.perf_counter() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the images and the runs")
    parser.add_argument("--n", type=int, default=1_281_167)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/report_size.json")
    options = parser.parse_args()
    held_out, in_sample = runs(options.folder, tree(options.folder, options.n, options.classes), options.classes)
    page = options.folder / "report.html"
    command = [
        sys.executable, "-m", "unseen", "report", str(held_out), "--data", str(options.folder / "images"),
        "--beside", str(in_sample), "--images", str(MOST), "--out", str(page),
    ]  # fmt: skip
    seconds, peak = watched(command)
    text = page.read_text()
    found = {
        "seconds": seconds, "bytes": page.stat().st_size, "cards": text.count('<li class="card'),
        "pictures": text.count('<img src="data:image/jpeg'),
        "peak_mib": peak,
    }  # fmt: skip
    print(found)
    write("report_size", {"n": options.n, "classes": options.classes, "images": MOST, **found}, options.out)


if __name__ == "__main__":
    main()
