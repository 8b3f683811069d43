"""What the training loop spends an epoch of the convnet on, and which changes pay: one thread, processor time.

    python benchmarks/speed/loop_parts.py [--images 1024] [--epochs 6]

Random images of 32 pixels, recipe `convnet`, float32 unless named. Every arm trains an epoch in turn; the least
processor time of each is kept, which a busy machine changes little. The peak is that of a 1,024-square matrix product.
Writes benchmarks/results/loop_parts.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from unseen.core.exposure import Fit
from unseen.data import from_arrays
from unseen.learners.torch import Recipe
from unseen.learners.torch.inputs import open_inputs
from unseen.learners.torch.loop import TorchTraining

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

ARMS = {
    "float32": {},
    "channels first": {"channels_last": False},
    "bfloat16": {"precision": "bf16"},
    "no augmentation": {"flip": False, "crop": 0, "cutout": 0},
    "batches of 256": {"batch_size": 256},
}
PARTS = {
    "convolutions": ("mkldnn_convolution", "convolution_backward"),
    "batch normalisation": ("native_batch_norm", "native_batch_norm_backward"),
    "pooling": ("max_pool2d_with_indices", "max_pool2d_with_indices_backward", "fill_"),
}


def peak(dtype: torch.dtype, side: int = 1024, products: int = 10) -> float:
    """GFLOP a second of processor time; the best of three."""
    a, best = torch.randn(side, side).to(dtype), 0.0
    a @ a
    for _ in range(3):
        start = time.process_time()
        for _ in range(products):
            a @ a
        best = max(best, products * 2 * side**3 / (time.process_time() - start) / 1e9)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    draw, cpu = np.random.default_rng(0), torch.device("cpu")
    images = draw.integers(0, 256, (given.images, 32, 32, 3), dtype=np.uint8)
    data = from_arrays(images, np.arange(given.images) % 10)
    inputs = open_inputs(data, device=cpu, memory_limit=None, workers=0)
    fit = Fit(train=np.arange(given.images), unseen=np.arange(0))
    trainings = {
        name: TorchTraining(
            Recipe.named("convnet", **{"epochs": given.epochs + 1, "precision": "fp32", **options}),
            data,
            fit,
            inputs,
            cpu,
            0,
        )
        for name, options in ARMS.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    for epoch in range(1, given.epochs + 1):
        for name, training in trainings.items():
            start = time.process_time()
            training.epoch(epoch)
            seconds[name].append(time.process_time() - start)
    best = {name: min(values[1:]) for name, values in seconds.items()}
    usual = trainings["float32"]
    with FlopCounterMode(display=False) as counter:
        usual.model(torch.randn(64, 3, 32, 32)).sum().backward()
    with profile() as profiled:
        usual.epoch(given.epochs + 1)
    spent = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in profiled.key_averages()}
    whole = sum(spent.values())
    flop = counter.get_total_flops() / 64 * given.images / 1e9
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    result = {
        "images": given.images,
        "processor_seconds": best,
        "parts": {name: sum(spent.get(op, 0.0) for op in ops) / whole for name, ops in PARTS.items()},
        "gflop": flop,
        "peaks": peaks,
        "share_of_peak": flop / best["float32"] / peaks["float32"],
        "share_of_peak_bfloat16": flop / best["bfloat16"] / peaks["bfloat16"],
    }
    print(result)
    write("loop_parts", result, given.out)


if __name__ == "__main__":
    main()
