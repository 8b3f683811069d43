"""From what `by` says to an embedder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unseen.embedding.backbones import ModelFolder, Network
from unseen.embedding.base import Embedder
from unseen.embedding.columns import Columns
from unseen.embedding.patches import Patches
from unseen.embedding.pretrained import EfficientNetLite0, WordLlama
from unseen.embedding.texts import Tfidf
from unseen.errors import ArgumentError, UnknownNameError
from unseen.protocols import Data
from unseen.registry import parse_spec

__all__ = ["AUTO", "embedder_of"]

AUTO = "auto"
BUILT_IN: dict[str, type[Embedder]] = {"patches": Patches, "tfidf": Tfidf, "columns": Columns, "wordllama": WordLlama}
PRETRAINED = "efficientnet_lite0"  # the one that is told of the data
BY_KIND = {"image": "patches", "text": "tfidf", "table": "columns"}

FORMS = """by is one of:
  "auto"               by the kind of data: patches for images, tfidf for text, columns for tables
  "patches", "tfidf", "columns", with options as in "patches:patches=200,size=5"
  "efficientnet_lite0", "wordllama"   pretrained on other data: images, text
  "module:function"    a function without arguments that makes a torch.nn.Module
  a path to a folder   of a sentence-transformers or transformers model"""


def embedder_of(by: str | Path, data: Data, options: Mapping[str, Any], seed: int) -> Embedder:
    """The embedder that `by` names, made with these options.

    Raises:
        ArgumentError: none of the forms, or an option that it does not have.

    """
    text = str(by)
    if text == AUTO:
        if data.kind not in BY_KIND:
            raise ArgumentError(
                f"by='auto' has no choice for {data.kind} data, which needs no embedding; by='columns' standardises it"
            )
        text = BY_KIND[data.kind]
    name, colon, rest = text.partition(":")
    if name in BUILT_IN:
        return _made(name, BUILT_IN[name], (), {**parse_spec(text)[1], **options})
    if name == PRETRAINED:
        return _made(name, EfficientNetLite0, (data,), {**parse_spec(text)[1], **options})
    if Path(text).is_dir():
        return _made("a folder of a model", ModelFolder, (Path(text), data.kind), options)
    if colon and rest.isidentifier():
        return _made(text, Network, (text, seed), options)
    if colon or "/" in text:
        raise ArgumentError(f"by={text!r} names no folder and no function; {FORMS}")
    raise UnknownNameError("embedding", text, [AUTO, *BUILT_IN, PRETRAINED])


def _made(name: str, make: Callable[..., Embedder], fixed: tuple[Any, ...], options: Mapping[str, Any]) -> Embedder:
    known = list(inspect.signature(make).parameters)[len(fixed) :]
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of the embedding {name}", option, known)
    return make(*fixed, **options)
