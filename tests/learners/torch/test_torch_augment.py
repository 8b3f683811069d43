import numpy as np
import torch
from torch_stand_ins import pictures, quick, train

from unseen.learners.torch.inputs import Draws, crop_and_flip, cut_out, draw


def naive(image, flip, shift, crop):
    """One image by NumPy: reflect its border, cut out a window, mirror it."""
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="reflect")
    down, right = shift
    window = padded[down : down + image.shape[0], right : right + image.shape[1]]
    return window[:, ::-1] if flip else window


def test_crop_and_flip_equal_a_naive_loop():
    generator = torch.Generator().manual_seed(0)
    for crop, height, width in ((0, 5, 7), (1, 5, 7), (4, 5, 7), (3, 8, 4)):
        images = torch.randint(256, (40, height, width, 3), dtype=torch.uint8, generator=generator)
        draws = draw(quick(flip=True, crop=crop), 40, (height, width), generator)
        got = crop_and_flip(images, draws, crop)
        shifts = torch.zeros(40, 2, dtype=torch.int64) if draws.shifts is None else draws.shifts
        expected = [
            naive(i, f, s, crop) for i, f, s in zip(images.numpy(), draws.flips.tolist(), shifts.tolist(), strict=True)
        ]
        np.testing.assert_array_equal(got.numpy(), np.stack(expected))
        assert got.dtype == torch.uint8


def test_crop_without_flip_and_flip_without_crop():
    images = torch.arange(2 * 4 * 4).view(2, 4, 4, 1)
    shifts = torch.tensor([[0, 2], [1, 1]])
    got = crop_and_flip(images, Draws(None, shifts, None), 1)
    for i in range(2):
        np.testing.assert_array_equal(got[i].numpy(), naive(images[i].numpy(), False, shifts[i].tolist(), 1))
    got = crop_and_flip(images, Draws(torch.tensor([True, False]), None, None), 0)
    np.testing.assert_array_equal(got.numpy(), torch.stack([images[0].flip(1), images[1]]).numpy())


def test_cut_out_equals_a_naive_loop():
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 3, 6):
        images = torch.rand(50, 6, 5, 2, generator=generator) + 1
        draws = draw(quick(cutout=size), 50, (6, 5), generator)
        got = cut_out(images, draws, size).numpy()
        expected = images.numpy().copy()
        for image, (down, right) in zip(expected, draws.holes.tolist(), strict=True):
            top, left = down - size // 2, right - size // 2
            image[max(top, 0) : top + size, max(left, 0) : left + size] = 0
        np.testing.assert_array_equal(got, expected)


def test_draws_cover_every_place_evenly():
    draws = draw(quick(flip=True, crop=2, cutout=2), 20_000, (4, 6), torch.Generator().manual_seed(0))
    assert abs(draws.flips.float().mean() - 0.5) < 0.02
    for column, values in (
        (draws.shifts[:, 0], 5),
        (draws.shifts[:, 1], 5),
        (draws.holes[:, 0], 4),
        (draws.holes[:, 1], 6),
    ):
        shares = np.bincount(column.numpy(), minlength=values) / 20_000
        assert len(shares) == values
        np.testing.assert_allclose(shares, 1 / values, atol=0.02)


def test_each_augmentation_changes_the_model():
    data = pictures()
    changes = ({}, {"flip": True}, {"crop": 1}, {"crop": 2}, {"cutout": 3})
    recipes = [quick(epochs=1, **change) for change in changes]
    heads = {train(data, recipe)[1].saved["model/head.weight"].tobytes() for recipe in recipes}
    assert len(heads) == len(recipes)


def test_augmentation_differs_from_epoch_to_epoch_and_is_never_used_to_observe():
    data = pictures()
    _, store, _ = train(data, quick(epochs=2, flip=True, crop=3, cutout=4, lr=1e-30, momentum=0.0, nesterov=False))
    # With no learning, weights stand still but the statistics of batch normalisation follow the augmented images.
    first, second = (saved["model/body.0.1.running_mean"] for saved in store.history)
    assert not np.array_equal(first, second)
    # A model that stands still as a whole gives the same observations in both epochs: nothing random is in them.
    still, _, _ = train(data, quick("torch_networks:dropping", epochs=2, flip=True, crop=3, lr=1e-30))
    np.testing.assert_array_equal(still.get("unseen.1.logits"), still.get("unseen.2.logits"))
