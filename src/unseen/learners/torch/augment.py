"""Random changes of training images, for a whole batch at once on the device of the batch.

What is drawn is apart from what is done with it: the draws come from a CPU generator, so that the same seed means
the same shifts and flips on every device, and one gather then crops and flips all images of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unseen.learners.torch.recipe import Recipe

__all__ = ["Draws", "crop_and_flip", "cut_out", "draw"]


@dataclass(frozen=True)
class Draws:
    """What happens to each of m images; None where nothing does.

    Args:
        flips: bool (m,), mirrored left to right.
        shifts: int64 (m, 2), where the crop begins (down, right) in the image padded by `crop` on each side.
        holes: int64 (m, 2), the centre (down, right) of the square cut out.

    """

    flips: Tensor | None
    shifts: Tensor | None
    holes: Tensor | None

    def __getitem__(self, part: slice) -> Draws:
        """Those of some of the images."""
        return Draws(*(None if drawn is None else drawn[part] for drawn in (self.flips, self.shifts, self.holes)))


def draw(recipe: Recipe, m: int, size: tuple[int, int], generator: torch.Generator) -> Draws:
    """Draw for m images of `size` (height, width) from a CPU generator.

    >>> draws = draw(Recipe(flip=True, crop=2), 3, (8, 8), torch.Generator().manual_seed(0))
    >>> draws.flips.shape, draws.shifts.shape, draws.holes
    (torch.Size([3]), torch.Size([3, 2]), None)
    """
    flips = torch.randint(2, (m,), generator=generator).bool() if recipe.flip else None
    shifts = torch.randint(2 * recipe.crop + 1, (m, 2), generator=generator) if recipe.crop else None
    holes = None
    if recipe.cutout:
        holes = torch.stack([torch.randint(side, (m,), generator=generator) for side in size], dim=1)
    return Draws(flips, shifts, holes)


def crop_and_flip(images: Tensor, draws: Draws, crop: int) -> Tensor:
    """Shift each image inside its reflected border, then mirror it where drawn.

    Args:
        images: (m, H, W, C) of any dtype.
        draws: what to do with each.
        crop: width of the reflected border, below H and W.

    Returns:
        (m, H, W, C), the same dtype and device.

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
    """Set a square of each normalised image to 0, the mean; the part of it outside the image is lost.

    Args:
        images: float (m, H, W, C).
        draws: the centres of the squares.
        size: their side; one of even size has its centre just below and right of the middle.

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
