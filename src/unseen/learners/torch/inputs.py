"""Where batches of raw inputs come from, how they are put on one scale, and random changes of training images.

Data that fits is held as one tensor; larger data is read batch by batch by worker processes. Both give the same
batches in the same order, so the numbers do not depend on which it is.

Random changes are drawn by a CPU generator, so that the same seed means the same shifts and flips on every device. They
are made for a whole batch at once on its device.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unseen.core.arrays import FloatArray, IdArray, IntArray
from unseen.core.machine import free_memory
from unseen.core.protocols import Data
from unseen.errors import DataError, some, warn
from unseen.learners.torch.recipe import Recipe
from unseen.learners.torch.runtime import ALONE, Team

SHARED = Path("/dev/shm")  # where torch puts what worker processes send
_CHUNK = 2048  # rows at a time where all of them are passed over
_CHUNK_VALUES = 1 << 25  # and their values, counted as int32: 200 images of 224 x 224 pixels


class Held:
    """The whole data set as one tensor, on the device or, where that is too small, in host memory."""

    def __init__(self, data: Data, *, device: torch.device, place: torch.device) -> None:
        self.device = device
        whole = np.empty((len(data), *data.sample_shape), dtype=data.dtype)
        for rows in np.split(np.arange(len(data)), range(_CHUNK, len(data), _CHUNK)):
            whole[rows] = data.take(rows)
        self.tensor = torch.from_numpy(whole).to(place)

    def batches(self, batches: Sequence[IntArray]) -> Iterator[Tensor]:
        """Yield a tensor for each array of rows, on the device: images (m, H, W, C) or vectors (m, d), as stored."""
        for rows in batches:
            taken = self.tensor.index_select(0, torch.from_numpy(np.array(rows)).to(self.tensor.device))
            yield taken.to(self.device, non_blocking=True)


class Streamed:
    """Batches read by worker processes through `data.take`, in order.

    They come through shared memory, or through pipes where that is too small. Where there is none, no worker can start,
    so this process reads them. A warning says so.
    """

    def __init__(self, data: Data, *, device: torch.device, workers: int) -> None:
        self.device = device
        self._order: list[IntArray] = []  # of the epoch to come; the workers outlive an epoch, so it changes in place
        room = shutil.disk_usage(SHARED).free if os.access(SHARED, os.W_OK) else 0
        values = min(_CHUNK * int(np.prod(data.sample_shape)), _CHUNK_VALUES)  # of the largest batch
        wanted = (2 * workers + 1) * values * data.dtype.itemsize
        short = workers > 0 and room < wanted and sys.platform == "linux"  # other systems have no such folder
        if short:
            state = f"has {room / 1e6:,.0f} MB free: batches come through pipes, as {wanted / 1e6:,.0f} MB are needed"
            if not room:
                workers, state = 0, "cannot be written: one process reads"
            warn(f"shared memory ({SHARED}) {state}, which is slower; in a container, give it more (--shm-size)")
        self._loader: DataLoader[Any] = DataLoader(
            _Takes(data),
            batch_size=None,
            collate_fn=_keep if short else None,
            sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # or the loader would draw a number from the global one
        )

    def batches(self, batches: Sequence[IntArray]) -> Iterator[Tensor]:
        """Yield a tensor for each array of rows, as `Held` does."""
        self._order[:] = batches
        for taken in self._loader:
            yield torch.as_tensor(taken).to(self.device, non_blocking=True)


Inputs: TypeAlias = Held | Streamed


class _Takes(Dataset[npt.NDArray[Any]]):
    def __init__(self, data: Data) -> None:
        self.data = data

    def __getitem__(self, rows: IntArray) -> npt.NDArray[Any]:
        return np.ascontiguousarray(self.data.take(rows))


def _keep(taken: Any) -> Any:
    """Leave an array as it is; without this, the loader makes a tensor of it, which goes to shared memory."""
    return taken


def open_inputs(
    data: Data, device: torch.device, memory_limit: int | None, *, workers: int, sharers: int = 1
) -> Inputs:
    """Hold the data set if it takes at most `memory_limit` bytes, or stream it.

    By default that is half of the free memory; that of the host is divided among `sharers` processes.
    """
    size = len(data) * data.sample_bytes
    host = torch.device("cpu")
    for place in dict.fromkeys((device, host)):
        share = 2 * sharers if place == host else 2
        free = int(torch.cuda.mem_get_info(place)[0]) if place.type == "cuda" else free_memory()
        if size <= (free // share if memory_limit is None else memory_limit):
            return Held(data, device=device, place=place)
    return Streamed(data, device=device, workers=workers)


@dataclass(frozen=True)
class Normaliser:
    """Mean 0 and standard deviation 1 for each channel of an image, or for each feature of a vector."""

    mean: Tensor  # float32, one a channel or feature, on the device
    scale: Tensor  # float32, one over the standard deviation; 1 where that is 0

    def __call__(self, raw: Tensor) -> Tensor:
        """Return float32 values of the same shape."""
        return (raw.to(torch.float32) - self.mean).mul_(self.scale)  # never in place: it may be the data itself


def fit_normaliser(inputs: Inputs, ids: IdArray, train: IntArray, team: Team = ALONE) -> Normaliser:
    """Fit mean and deviation of each channel or feature on the training rows, whose order changes no bit.

    No other row is read. NaN and infinity are refused. The processes of a team share the reading.
    """
    rows = train[np.argsort(ids[train])]  # by id, so that rounding does not depend on the rows
    first = next(inputs.batches([rows[:1]]))
    exact = first.dtype == torch.uint8
    # Sums of floats depend on the chunks in their last bits, counts do not.
    step = max(1, min(_CHUNK, _CHUNK_VALUES // first.numel())) if exact else _CHUNK
    chunks = [rows[start : start + step] for start in range(0, len(rows), step)]
    mine, channels = team.mine(chunks), first.shape[-1]
    if exact:
        mean, deviation = _exact_moments(inputs, mine, channels, team)
    else:
        mean, deviation = _float_moments(inputs, ids, mine, channels, team)
    scale = 1 / np.where(deviation > 0, deviation, 1.0)
    return Normaliser(*(torch.from_numpy(values.astype(np.float32)).to(inputs.device) for values in (mean, scale)))


def _exact_moments(
    inputs: Inputs, chunks: Sequence[IntArray], channels: int, team: Team
) -> tuple[FloatArray, FloatArray]:
    """Compute mean and deviation from counts of the 256 values, in integers."""
    counts = np.zeros((channels, 256), np.int64)
    for raw in inputs.batches(chunks):
        values = raw.reshape(-1, channels).to(torch.int32)
        values += 256 * torch.arange(channels, dtype=torch.int32, device=raw.device)
        counts = counts + torch.bincount(values.flatten(), minlength=256 * channels).view(channels, 256).cpu().numpy()
    counts = team.sum(counts)
    value = np.arange(256)
    n = counts[0].sum()
    mean = (counts @ value) / n
    # n^2 var = n sum x^2 - (sum x)^2, in Python integers: no rounding, no overflow.
    spread = [int(n) * int(c @ value**2) - int(c @ value) ** 2 for c in counts]
    return mean, np.sqrt([float(s) for s in spread]) / n


def _float_moments(
    inputs: Inputs, ids: IdArray, chunks: Sequence[IntArray], channels: int, team: Team
) -> tuple[FloatArray, FloatArray]:
    """Compute mean and deviation in two passes of float64."""

    def average(centre: FloatArray | None) -> FloatArray:
        """Pass over the rows: average the values, or their squared distances from the centre."""
        total, n = np.zeros(channels), 0
        for rows, raw in zip(chunks, inputs.batches(chunks), strict=True):
            values = raw.cpu().numpy().astype(np.float64)
            flat = values.reshape(-1, channels)
            if centre is not None:
                flat -= centre
                flat *= flat
            elif not np.isfinite(values).all():
                bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
                raise DataError(
                    "features must be finite, but samples to train on hold NaN or infinity: ids "
                    f"{some(ids[rows][bad].tolist())}; remove these samples or fill in the missing values"
                )
            total = total + flat.sum(axis=0)
            n += len(flat)
        return np.asarray(team.sum(total) / team.sum(np.asarray(n)))

    mean = average(None)
    return mean, np.sqrt(average(mean))


@dataclass(frozen=True)
class Draws:
    """The random changes of m images; None for a change that is not made."""

    flips: Tensor | None  # bool (m,), mirrored left to right
    shifts: Tensor | None  # int64 (m, 2), where the crop begins (down, right) in the image with its border
    holes: Tensor | None  # int64 (m, 2), the centre (down, right) of the square cut out

    def __getitem__(self, part: slice) -> Draws:
        """Return the changes of some of the images."""
        return Draws(*(None if drawn is None else drawn[part] for drawn in (self.flips, self.shifts, self.holes)))


def draw(recipe: Recipe, m: int, size: tuple[int, int], generator: torch.Generator) -> Draws:
    """Draw for m images of `size` (height, width) from a CPU generator."""
    flips = torch.randint(2, (m,), generator=generator).bool() if recipe.flip else None
    shifts = torch.randint(2 * recipe.crop + 1, (m, 2), generator=generator) if recipe.crop else None
    holes = None
    if recipe.cutout:
        holes = torch.stack([torch.randint(side, (m,), generator=generator) for side in size], dim=1)
    return Draws(flips, shifts, holes)


def crop_and_flip(images: Tensor, draws: Draws, crop: int) -> Tensor:
    """Shift each image (m, H, W, C) inside its reflected border, `crop` wide, then mirror it where drawn.

    >>> image = torch.arange(3).view(1, 1, 3, 1)
    >>> crop_and_flip(image, Draws(torch.tensor([True]), None, None), 0).flatten().tolist()
    [2, 1, 0]
    """
    if draws.flips is None and draws.shifts is None:
        return images
    m, height, width, channels = images.shape
    shifts = torch.full((m, 2), crop) if draws.shifts is None else draws.shifts
    down = _reflected(shifts[:, :1] - crop + torch.arange(height), height)
    right = shifts[:, 1:] - crop + torch.arange(width)
    if draws.flips is not None:
        right = torch.where(draws.flips[:, None], right.flip(1), right)
    right = _reflected(right, width)
    base = torch.arange(m)[:, None] * height + down
    at = (base * width)[:, :, None] + right[:, None, :]
    flat = images.reshape(m * height * width, channels)
    return flat.index_select(0, at.flatten().to(images.device)).view(m, height, width, channels)


def cut_out(images: Tensor, draws: Draws, size: int) -> Tensor:
    """Set a square of each normalised image (m, H, W, C) to 0, the mean; the part of it outside the image is lost.

    A square of even size has its centre just below and right of the middle.

    >>> cut_out(torch.ones(1, 1, 4, 1), Draws(None, None, torch.tensor([[0, 1]])), 2).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    if draws.holes is None:
        return images
    first = (draws.holes - size // 2).to(images.device)
    inside = []
    for axis, side in enumerate(images.shape[1:3]):
        away = torch.arange(side, device=images.device) - first[:, axis : axis + 1]
        inside.append((away >= 0) & (away < size))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill(hole[..., None], 0.0)


def _reflected(at: Tensor, side: int) -> Tensor:
    at = at.abs()  # -1 is 1, and `side` is `side - 2`: the border itself is not repeated
    return torch.where(at >= side, 2 * (side - 1) - at, at)
