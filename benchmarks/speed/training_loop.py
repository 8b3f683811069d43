"""Our training loop against the one that the field's public code uses, and against the floor of both.

Same network, same epochs, same batches, same optimiser and schedule, float32 on both sides; three loops:

- ours: `TorchLearner`, whole data set as one tensor, shifts and flips of a whole batch at once;
- public: a DataLoader with 2 persistent workers, and for each image Pillow to crop (padding 4) and flip, NumPy to
  normalise;
- floor: the public loop on a tensor in memory, without any transform: what is left is the network.

Rows: the small convnet on the CPU (with the accuracy of all three on samples held out), ResNet-18 on the CPU (a few
steps), and ResNet-18 on a CUDA device if there is one. Ours runs in bfloat16, too, where the device has units for it.
Goals: convnet at least 1.5 times faster on the CPU, ResNet-18 at least 5 times on CUDA, equal accuracy within noise.

    python benchmarks/speed/training_loop.py --data cifar10-train.parquet [--train 10000] [--epochs 3] [--seeds 3]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

# For all loops alike, before torch is loaded: threads that spin long make the figures those of whatever else runs.
# TorchLearner asks for it by itself; GOMP_SPINCOUNT=300000 measures all of them with torch's own default.
os.environ["GOMP_SPINCOUNT"] = os.environ.get("GOMP_SPINCOUNT", "1000")

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset

from unseen.core.exposure import Fit
from unseen.core.protocols import Data
from unseen.data import from_arrays
from unseen.learners.torch import Recipe, TorchLearner
from unseen.learners.torch.networks import build
from unseen.learners.torch.runtime import has_bf16_units

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

CROP = 4


def load(path: Path, count: int) -> Data:
    """Read the first `count` images of a parquet file with an image column."""
    table = pq.read_table(path).slice(0, count)
    column = table.column("image").combine_chunks().field("bytes")
    images = [np.asarray(Image.open(io.BytesIO(value.as_py())).convert("RGB")) for value in column]
    return from_arrays(np.stack(images), table.column("label").to_numpy())


class Transformed(Dataset):
    """One image at a time: Pillow to crop and flip, NumPy to normalise, as torchvision does it."""

    def __init__(self, data: Data, rows: np.ndarray) -> None:
        self.images, self.labels = data.take(rows), data.labels[rows]
        flat = self.images.reshape(-1, 3) / 255.0
        self.mean, self.deviation = flat.mean(0).astype("f4"), flat.std(0).astype("f4")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index]), border=CROP)
        height, width = self.images.shape[1:3]
        down, right = torch.randint(2 * CROP + 1, (2,)).tolist()
        image = image.crop((right, down, right + width, down + height))
        if torch.rand(1).item() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scaled = (np.asarray(image, dtype=np.float32) / 255 - self.mean) / self.deviation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1))), int(self.labels[index])

    def plain(self, images: np.ndarray) -> torch.Tensor:
        """Whole arrays, normalised, without any transform."""
        scaled = (images.astype(np.float32) / 255 - self.mean) / self.deviation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def loaded(data: Transformed, batch: int, device: torch.device) -> Callable[[], Batches]:
    loader = DataLoader(
        data, batch, shuffle=True, num_workers=2, persistent_workers=True, pin_memory=device.type == "cuda"
    )

    def batches() -> Batches:
        for x, y in loader:
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    return batches


def in_memory(data: Transformed, batch: int, device: torch.device) -> Callable[[], Batches]:
    x, y = data.plain(data.images).to(device), torch.from_numpy(data.labels).to(device)

    def batches() -> Batches:
        for rows in torch.randperm(len(x), device=device).split(batch):
            yield x[rows], y[rows]

    return batches


def public(
    make: Callable[[Transformed, int, torch.device], Callable[[], Batches]],
    data: Data,
    fit: Fit,
    recipe: Recipe,
    device: torch.device,
    seed: int,
) -> tuple[list[float], float]:
    """The loop as public code writes it; seconds of each epoch, and accuracy held out."""
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    transformed = Transformed(data, fit.train)
    batches = make(transformed, recipe.batch_size, device)
    network = build(recipe.network, classes=10, channels=3, image_size=data.sample_shape[:2]).to(device)
    optimiser = torch.optim.SGD(
        network.parameters(),
        recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    steps = recipe.epochs * -(-len(fit.train) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: recipe.rate(step, steps) / recipe.lr)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    seconds = []
    for _ in range(recipe.epochs):
        start = time.perf_counter()
        network.train()
        total, right = 0.0, 0
        for x, y in batches():
            optimiser.zero_grad()
            out = network(x)
            loss = criterion(out, y)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(x)
            right += (out.argmax(1) == y).sum().item()
        seconds.append(time.perf_counter() - start)
    network.eval()
    with torch.no_grad():
        chunks = np.array_split(fit.unseen, max(1, len(fit.unseen) // 512))
        predicted = [network(transformed.plain(data.take(rows)).to(device)).argmax(1).cpu() for rows in chunks]
    return seconds, float((torch.cat(predicted).numpy() == data.labels[fit.unseen]).mean())


class Last:
    """A sink and checkpoint store that keeps the final predictions only."""

    def __init__(self) -> None:
        self.predicted: list[np.ndarray] = []

    def wants(self, side: str, epoch: int, last: int) -> frozenset[str]:
        """The logits of the last epoch."""
        return frozenset({"logits"}) if epoch == last else frozenset()

    def observe(self, side: str, observation: object) -> None:
        """Keep the classes predicted."""
        self.predicted.append(observation.logits.argmax(1).cpu().numpy())

    def state(self) -> dict[str, np.ndarray]:
        """Nothing to resume."""
        return {}

    def load(self) -> None:
        """Nothing to resume from."""

    def save(self, arrays: object) -> None:
        """Nothing is written."""


def ours(data: Data, fit: Fit, recipe: Recipe, device: torch.device, seed: int) -> tuple[list[float], float]:
    sink, seconds = Last(), []
    learner = TorchLearner(recipe, device=str(device))
    learner.fit(data, fit, sink, sink, seed=seed, report=lambda _, **fields: seconds.append(fields["seconds"]))
    return seconds, float((np.concatenate(sink.predicted) == data.labels[fit.unseen]).mean())


def row(name: str, data: Data, fit: Fit, recipe: Recipe, device: torch.device, seeds: int) -> dict[str, object]:
    """All loops in turn, seed by seed, so that a busy machine disturbs them alike."""
    loops: dict[str, Callable[[int], tuple[list[float], float]]] = {
        "ours": lambda seed: ours(data, fit, recipe, device, seed),
        "public": lambda seed: public(loaded, data, fit, recipe, device, seed),
        "floor": lambda seed: public(in_memory, data, fit, recipe, device, seed),
    }
    if has_bf16_units(device):  # what `precision="auto"` of the presets is there
        fast = replace(recipe, precision="bf16")
        loops["ours bf16"] = lambda seed: ours(data, fit, fast, device, seed)
    epochs: dict[str, list[float]] = {loop: [] for loop in loops}
    accuracies: dict[str, list[float]] = {loop: [] for loop in loops}
    for seed in range(seeds):
        for loop, call in loops.items():
            seconds, accuracy = call(seed)
            # The first epoch starts workers and tunes kernels; it counts only where it is the only one.
            epochs[loop] += seconds[1:] or seconds
            accuracies[loop].append(accuracy)
    result: dict[str, object] = {
        "row": name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "train": len(fit.train),
        "held_out": len(fit.unseen),
        "recipe": recipe.describe(),
        "seeds": list(range(seeds)),
    }
    for loop in loops:
        result[loop] = {
            "seconds_per_epoch": statistics.median(epochs[loop]),
            "images_per_second": len(fit.train) / statistics.median(epochs[loop]),
            "all_seconds": epochs[loop],
            "accuracies": accuracies[loop],
        }
        if loop != "public":
            result[f"public / {loop}"] = statistics.median(epochs["public"]) / statistics.median(epochs[loop])
    show(result, list(loops))
    return result


def show(result: dict[str, object], loops: list[str]) -> None:
    print(f"\n{result['row']}: {result['train']} images an epoch")
    print(f"  {'loop':<10} {'s/epoch':>9} {'images/s':>9} {'against public':>15}   accuracy held out")
    for loop in loops:
        measured = result[loop]
        ratio = result.get(f"public / {loop}", 1.0)
        shown = ", ".join(f"{a:.3f}" for a in measured["accuracies"])
        print(
            f"  {loop:<10} {measured['seconds_per_epoch']:>9.2f} {measured['images_per_second']:>9.0f} "
            f"{ratio:>14.2f}x   {shown}",
            flush=True,
        )


def parts(n: int, train: int) -> Fit:
    rows = np.random.default_rng(0).permutation(n)
    return Fit(train=rows[:train], unseen=rows[train:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10's training set as parquet")
    parser.add_argument("--train", type=int, default=10_000, help="images an epoch for the convnet on the CPU")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resnet-steps", type=int, default=4, help="steps an epoch of ResNet-18 on the CPU")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/training_loop.json")
    given = parser.parse_args()
    cuda = torch.cuda.is_available()
    data = load(given.data, 50_000 if cuda else given.train + 2_000)
    host = torch.device("cpu")
    changes = {"epochs": given.epochs, "flip": True, "crop": CROP, "cutout": 0, "precision": "fp32"}
    convnet = Recipe.named("convnet", **changes)
    resnet = Recipe.named("resnet18", **changes)
    few = replace(resnet, epochs=2)
    rows = [
        row("convnet, CPU", data, parts(len(data), given.train), convnet, host, given.seeds),
        row("ResNet-18, CPU", data, _few(data, given.resnet_steps * few.batch_size), few, host, 1),
    ]
    if cuda:
        device = torch.device("cuda", torch.cuda.current_device())
        rows.append(row("ResNet-18, CUDA", data, parts(len(data), 45_000), resnet, device, given.seeds))
    setting = {"data": given.data.name, "gomp_spincount": os.environ["GOMP_SPINCOUNT"]}
    write("training_loop", {**setting, "rows": rows}, given.out)


def _few(data: Data, train: int) -> Fit:
    fit = parts(len(data), train)
    return Fit(train=fit.train, unseen=fit.unseen[:256])


if __name__ == "__main__":
    main()
