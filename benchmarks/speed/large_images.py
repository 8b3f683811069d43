"""A folder of large JPEG files, 5 folds x 5 epochs: decoded once, against the loop that decodes in each epoch.

Same network, epochs, batches and optimiser, float32 on both sides; images of 12 megapixels brought to 224 pixels:

- ours: `unseen.score` of the folder with `out`; the folder is moved away while models train, so that nothing can be
  decoded a second time;
- public: a Dataset that decodes by Pillow (in full, as torchvision does), resizes, crops the centre and flips, behind a
  DataLoader with 2 persistent workers.

Of the public loop `--public-folds` of the 5 folds are timed, and the time is multiplied. Images are synthetic, and
`--bases` of them are written again and again, so exact copies do not stay together here. Goal: at least 3 times the
public loop.

    python benchmarks/speed/large_images.py [--images 3003] [--public-folds 1] [--folder /somewhere/with/10/GB]

Writes benchmarks/results/large_images.json.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["GOMP_SPINCOUNT"] = os.environ.get("GOMP_SPINCOUNT", "1000")  # for both, as in training_loop.py

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

import unseen
from unseen.core.machine import default_threads
from unseen.data import from_folder
from unseen.learners.torch import Recipe, TorchLearner
from unseen.learners.torch.networks import build

sys.path.append(str(Path(__file__).resolve().parents[1]))
from setting import write

SHAPE = (3000, 4000)
FOLDS, EPOCHS, CLASSES = 5, 5, 3


def made(seed: int) -> bytes:
    """A JPEG file of some 3 MB: colours that change slowly, and texture."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize(SHAPE[::-1], Image.Resampling.BICUBIC)).astype(np.int16)
    texture = np.kron(draw.integers(-20, 21, (SHAPE[0] // 4, SHAPE[1] // 4, 3)), np.ones((4, 4, 1))).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(smooth + texture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_images(folder: Path, images: int, bases: int) -> None:
    contents = [made(seed) for seed in range(min(bases, images))]
    for number in range(images):
        path = folder / str(number % CLASSES) / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)])


class Decoded(Dataset):
    """One image at a time, decoded whenever it is asked for."""

    def __init__(self, paths: list[Path], labels: np.ndarray, side: int, *, flips: bool) -> None:
        self.paths, self.labels, self.side, self.flips = paths, labels, side, flips

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as image:
            short = min(image.size)
            size = tuple(round(length * self.side / short) for length in image.size)
            image = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        left, top = (image.size[0] - self.side) // 2, (image.size[1] - self.side) // 2
        image = image.crop((left, top, left + self.side, top + self.side))
        if self.flips and torch.rand(1).item() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scaled = (np.asarray(image, dtype=np.float32) / 255 - 0.5) / 0.25
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1))), int(self.labels[index])


def public(paths: list[Path], labels: np.ndarray, fits: list, recipe: Recipe, side: int) -> float:
    """Seconds of these fits: train, then predict what was held out."""
    start = time.perf_counter()
    for fit in fits:
        torch.manual_seed(0)
        train, held = (
            DataLoader(
                Decoded([paths[row] for row in rows], labels[rows], side, flips=flips),
                recipe.batch_size,
                shuffle=flips,
                num_workers=2,
                persistent_workers=True,
            )
            for rows, flips in ((fit.train, True), (fit.unseen, False))
        )
        network = build(recipe.network, classes=CLASSES, channels=3, image_size=(side, side))
        optimiser = torch.optim.SGD(
            network.parameters(),
            recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        steps = recipe.epochs * len(train)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step, of=steps: recipe.rate(step, of) / recipe.lr
        )
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        for _ in range(recipe.epochs):
            network.train()
            for x, y in train:
                optimiser.zero_grad()
                criterion(network(x), y).backward()
                optimiser.step()
                schedule.step()
        network.eval()
        with torch.no_grad():
            for x, _ in held:
                network(x).argmax(1)
    return time.perf_counter() - start


def ours(folder: Path, run: Path, recipe: Recipe, side: int) -> dict[str, float | bool]:
    """Seconds of opening and of training."""
    start = time.perf_counter()
    data = from_folder(folder, image_size=side, cache=run)
    opened = time.perf_counter()
    away = folder.rename(folder.with_name("away"))
    try:
        unseen.score(
            data,
            scores="el2n",
            plan=unseen.folds(FOLDS),
            learner=TorchLearner(recipe, device="cpu"),
            groups=None,
            seed=0,
            out=run,
        )
    finally:
        away.rename(folder)
    trained = time.perf_counter()
    kept = bool(list(run.glob("pixels-*.npy")))
    return {"opening": opened - start, "training": trained - opened, "seconds": trained - start, "kept_in_file": kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3003)
    parser.add_argument("--bases", type=int, default=40)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--public-folds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the images and the run go; a temporary folder if not given")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    recipe = Recipe.named("convnet", epochs=EPOCHS, flip=True, crop=0, cutout=0, precision="fp32")
    torch.set_num_threads(default_threads())
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place) / "images"
        write_images(folder, given.images, given.bases)
        paths = sorted(folder.rglob("*.jpg"))
        labels = np.array([int(path.parent.name) for path in paths])
        mine = ours(folder, Path(place) / "run", recipe, given.size)
        print({name: round(value, 1) for name, value in mine.items()}, flush=True)
        fits = list(unseen.folds(FOLDS).fits(np.arange(len(paths)), labels, groups=None, seed=0))
        theirs = public(paths, labels, fits[: given.public_folds], recipe, given.size) * FOLDS / given.public_folds
    ratio = theirs / mine["seconds"]
    print(
        f"public loop {theirs:.0f} s (of {given.public_folds} folds), ours {mine['seconds']:.0f} s: {ratio:.1f} times"
    )
    result = {
        "images": given.images,
        "different_images": min(given.bases, given.images),
        "pixels": SHAPE,
        "size": given.size,
        "folds": FOLDS,
        "epochs": EPOCHS,
        "public_folds": given.public_folds,
        "ours": mine,
        "public_seconds": theirs,
        "public / ours": ratio,
    }
    write("large_images", result, given.out)


if __name__ == "__main__":
    main()
