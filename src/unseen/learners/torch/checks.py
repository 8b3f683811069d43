"""What is refused before any training."""

from __future__ import annotations

from unseen.errors import ArgumentError
from unseen.learners.torch.recipe import Recipe
from unseen.protocols import Data

__all__ = ["check_shape", "check_team", "try_network"]


def check_team(recipe: Recipe, device: str, workers: int) -> None:
    """Refuse what several workers cannot train together."""
    if recipe.batch_size < workers:
        raise ArgumentError(
            f"batch_size must be at least the number of workers, {workers}, got {recipe.batch_size}; use fewer workers"
        )
    if ":" in device:
        raise ArgumentError(
            f"device must be 'auto', 'cpu' or 'cuda' with several workers, since each has its own, got {device!r}"
        )
    if recipe.compile:
        raise ArgumentError("compile of a recipe must be False with several workers, got True")


def check_shape(recipe: Recipe, data: Data) -> None:
    """Refuse changes of images that images of this size, or vectors, cannot take."""
    asked = {"flip": recipe.flip, "crop": recipe.crop, "cutout": recipe.cutout}
    if data.kind == "vector":
        for name, value in asked.items():
            if value:
                raise ArgumentError(
                    f"{name} of the recipe is for images, got {name}={value!r} for vectors; leave it out"
                )
        return
    side = min(data.sample_shape[:2])
    if recipe.crop >= side or recipe.cutout > side:
        raise ArgumentError(
            f"crop must be below and cutout at most the side of an image, {side} pixels, got crop={recipe.crop} and "
            f"cutout={recipe.cutout}"
        )


def try_network(recipe: Recipe, data: Data, workers: int) -> None:
    """Build the network, call it once, and refuse one that cannot do what is asked."""
    import torch

    from unseen.learners.torch.loop import network_for
    from unseen.learners.torch.norms import by_the_batch_alone

    shape = data.sample_shape if data.kind == "vector" else (data.sample_shape[2], *data.sample_shape[:2])
    classes = len(data.class_names)
    with torch.random.fork_rng([]), torch.no_grad():
        model = network_for(data, recipe).eval()
        if workers > 1 and by_the_batch_alone(model):
            raise ArgumentError(
                f"network {recipe.network!r} with {workers} workers must keep running statistics in its batch "
                "normalisation, got track_running_stats=False; leave it at True, or use one worker"
            )
        try:
            logits = model(torch.zeros(2, *shape))
        except Exception as error:  # whatever a foreign network raises, it is about this input
            raise ArgumentError(f"network {recipe.network!r} cannot take inputs of shape {shape}: {error}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ArgumentError(f"network {recipe.network!r} must give (m, {classes}) logits, got {got} for m=2")
