"""Networks as embedders: the user's own `nn.Module`, or a model in a folder on disk. Nothing is downloaded.

They are in evaluation mode and get no gradients. What they were trained on is not to be seen here: the user says it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.embedding.base import Embedding, whole
from unseen.errors import ArgumentError, DataError, MissingDependencyError
from unseen.protocols import Data

__all__ = ["ModelFolder", "Network", "loaded_torch", "on_device"]

Of = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_CHUNK = 1 << 20


class Network:
    """A module from a function: images come to it as float32 (m, C, H, W) from 0 to 1, vectors as float32 (m, d),
    text as a list of str; it gives (m, d'). Normalisation is its own business.

    Args:
        place: `"module:function"`; the function takes no arguments.
        seed: for weights that it draws from torch's own generator.
        device: where it computes, as torch says it.
        batch_size: samples at a time.

    """

    labels = "unknown"

    def __init__(self, place: str, seed: int, *, device: str = "cpu", batch_size: int = 64) -> None:
        torch = loaded_torch()
        self.place, self.device, self.batch_size = place, device, whole("batch_size", batch_size)
        make = _imported(place)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "embed"))
            module = make()
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError(f"by={place!r} must make a torch.nn.Module, got {type(module).__name__}")
        self.weights = _digest_of_state(module)
        self.module = on_device(module.eval(), device)

    def describe(self) -> dict[str, object]:
        """The place of the function, and a digest of the weights."""
        return {"by": self.place, "weights": self.weights, "device": self.device, "batch_size": self.batch_size}

    def check(self, data: Data) -> None:
        """Anything but tables."""
        if data.kind == "table":
            raise ArgumentError(f"by={self.place!r}: a module takes no tables; by='columns' makes vectors of them")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """The module as it is; one sample tells the width."""
        torch = loaded_torch()

        def of(inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if data.kind == "image":
                batch = torch.from_numpy(inputs).to(self.device).permute(0, 3, 1, 2).float().div_(255)
            else:
                batch = inputs.tolist() if data.kind == "text" else torch.from_numpy(inputs).to(self.device)
            with torch.inference_mode():
                return _vectors(self.module(batch), len(inputs), self.place)

        return _embedding(of, data, self.batch_size)


class ModelFolder:
    """A model that `sentence-transformers` or `transformers` wrote to a folder; weights in safetensors only.

    Texts become what the sentence-transformers model gives, or else the mean of the last hidden states over tokens.
    Images become the pooled output, or else the mean of the last hidden states over places.

    Args:
        folder: where it is.
        kind: of the data, text or images.
        device: where it computes, as torch says it.
        batch_size: samples at a time.

    """

    labels = "unknown"

    def __init__(self, folder: Path, kind: str, *, device: str = "cpu", batch_size: int = 64) -> None:
        if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
            raise ArgumentError(
                f"by={str(folder)!r} is no folder of a model: it has neither modules.json (sentence-transformers) nor "
                "config.json (transformers)"
            )
        self.folder, self.kind, self.device = folder, kind, device
        self.batch_size = whole("batch_size", batch_size)
        self.files = _digest_of_files(folder)

    def describe(self) -> dict[str, object]:
        """The name of the folder, and a digest of its files."""
        name = self.folder.resolve().name
        return {"by": name, "files": self.files, "device": self.device, "batch_size": self.batch_size}

    def check(self, data: Data) -> None:
        """Texts or images."""
        if data.kind not in ("text", "image"):
            raise ArgumentError(f"by={str(self.folder)!r}: a model takes text or images, but this is {data.kind} data")
        if data.kind == "image" and (self.folder / "modules.json").exists():
            raise ArgumentError(f"by={str(self.folder)!r} is a sentence-transformers model: it takes text, not images")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """The model as it is; one sample tells the width."""
        loaded_torch()
        if (self.folder / "modules.json").exists():
            of = _sentences(self.folder, self.device, self.batch_size)
        else:
            of = (_texts if data.kind == "text" else _images)(self.folder, self.device)
        return _embedding(of, data, self.batch_size)


def _embedding(of: Of, data: Data, batch_size: int) -> Embedding:
    return Embedding(of(data.take(np.arange(1))).shape[1], of, batch_size)


def _vectors(output: Any, count: int, name: str) -> npt.NDArray[np.float32]:
    if not hasattr(output, "detach") or output.ndim != 2 or len(output) != count:
        shape = tuple(output.shape) if hasattr(output, "shape") else type(output).__name__
        raise DataError(f"by={name!r} must give a tensor (m, d) for {count} samples, got {shape}")
    vectors: npt.NDArray[np.float32] = output.detach().float().cpu().numpy()
    return vectors


def _sentences(folder: Path, device: str, batch_size: int) -> Of:
    module = _library("sentence_transformers", "sentence-transformers")
    model = module.SentenceTransformer(
        str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
    ).eval()

    def of(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        vectors: npt.NDArray[Any] = model.encode(
            texts.tolist(), batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors

    return of


def _texts(folder: Path, device: str) -> Of:
    library, torch = _library("transformers", "transformers"), loaded_torch()
    tokens = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    model = _loaded(library, folder, device)

    def of(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        batch = tokens(texts.tolist(), padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
        return _vectors((states * mask).sum(1) / mask.sum(1).clamp(min=1), len(texts), folder.name)

    return of


def _images(folder: Path, device: str) -> Of:
    library, torch = _library("transformers", "transformers"), loaded_torch()
    processor = library.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    model = _loaded(library, folder, device)

    def of(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # Grey images become grey colours: that is what these models were made for.
        colours = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in images]
        batch = processor(images=colours, return_tensors="pt", input_data_format="channels_last").to(device)
        with torch.inference_mode():
            output = model(**batch)
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            states = output.last_hidden_state
            pooled = states.mean(dim=(2, 3)) if states.ndim == 4 else states.mean(dim=1)
        return _vectors(pooled.flatten(1), len(images), folder.name)

    return of


def _loaded(library: Any, folder: Path, device: str) -> Any:
    model = library.AutoModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    return on_device(model.eval(), device)


def on_device(module: Any, device: str) -> Any:
    """The module there, or an error that names the device."""
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"device {device!r} cannot be used: {error}") from error


def _imported(place: str) -> Callable[[], Any]:
    module, _, function = place.partition(":")
    try:
        found: Callable[[], Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"by={place!r} must be module:function, but it cannot be imported: {error}") from error
    return found


def loaded_torch() -> Any:
    """Import torch, or say how to install it."""
    from unseen.learners.torch.loading import load_torch  # with threads that bear other processes beside them

    load_torch()
    import torch

    return torch


def _library(module: str, package: str) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(package, "embedding by a model in a folder", extra="embed") from error


def _digest_of_state(module: Any) -> str:
    seen = blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        seen.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        seen.update(tensor.detach().cpu().contiguous().flatten().view(loaded_torch().uint8).numpy().tobytes())
    return seen.hexdigest()


def _digest_of_files(folder: Path) -> str:
    seen = blake2b(digest_size=16)
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        seen.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                seen.update(chunk)
    return seen.hexdigest()
