"""The conformance test of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unseen.core.arrays import IntArray
from unseen.core.conformance import as_json, ensure, sent_away
from unseen.core.protocols import Data
from unseen.data.formats import Format, Place

TAKEN = 200  # rows looked at
SHAPES = {"image": (3, "uint8"), "vector": (1, "float32"), "table": (1, "object"), "text": (0, "object")}


def check_data(data: Data | Format, *, variants: Sequence[Data] = (), seed: int = 0) -> None:
    """Check that a data set, and its format, keep what is asked of every data set.

    Ids are unique, labels in 0..C-1. Rows are taken in any order, repeated or not at all, in the declared shape and
    type, as copies. Frames and vectors as they are kept hold the same. Copies are found where it looks for them. The
    fingerprint is JSON, stays the same, and is another for another content. It travels to other processes. A format
    knows its own sources, shows samples, and gives rows of the samples that it opens, as it says.

    Args:
        data: the data set, small: rows are taken several times; or its format, as `unseen.data.sources.find_format`
            gives it.
        variants: the same data set with another input, label or id; each must have another full fingerprint.
        seed: of the rows taken.

    Raises:
        AssertionError: the first thing that is wrong.

    >>> from unseen.data import from_arrays
    >>> check_data(from_arrays(np.eye(3, dtype=np.float32), [0, 1, 1]))
    """
    if isinstance(data, Format):
        _check_format(data)
        data = data.data
    ensure(isinstance(data, Data), data, "derives from unseen.core.protocols.Data")
    _check_columns(data)
    rows = np.random.default_rng(seed).integers(0, len(data), min(TAKEN, 3 * len(data)))
    _check_taken(data, rows)
    _check_copies(data)
    _check_fingerprint(data, variants)
    data.check_unchanged()
    sent = sent_away(data)
    ensure(sent.fingerprint() == data.fingerprint(), data, "has the same fingerprint in another process")
    ensure(_alike(sent.take(rows), data.take(rows)), data, "gives the same rows in another process")


def _check_format(stored: Format) -> None:
    place = Place(stored.source) if isinstance(stored.source, (str, Path)) else stored.source
    ensure(stored.reads(place), stored, "reads its own source", stored.source)
    ensure(not stored.reads(object()), stored, "reads no other source")
    data, known = stored.data, stored.labelling
    rows = np.flatnonzero(np.isin(known.ids, data.ids))
    ensure(len(rows) == len(data), stored, "labelling has the samples of the open data set", len(rows))
    ensure(_alike(known.labels[rows], data.labels), stored, "labelling has the labels of the open data set")
    shown = stored.show(rows[::-1])
    kinds = {"image": Image.Image, "text": str}
    ensure(len(shown) == len(rows), stored, f"show gives {len(rows)} samples", len(shown))
    right = all(isinstance(seen, kinds.get(stored.kind, dict)) for seen in shown)
    ensure(right, stored, f"show gives samples of kind {stored.kind}", {type(seen).__name__ for seen in shown})
    given = 0
    for table in stored.stored(rows[::2]):
        ensure(table.schema.equals(stored.stored_schema), stored, "stored gives tables of stored_schema", table.schema)
        given += len(table)
    ensure(given == len(rows[::2]), stored, f"stored gives {len(rows[::2])} rows", given)
    as_json(stored, "known()", stored.known())
    if stored.root is not None:
        files = [stored.root / str(identity) for identity in known.ids]
        ensure(all(file.is_file() for file in files), stored, "ids name the files below root")


def _alike(left: Any, right: Any) -> bool:
    return bool(left.shape == right.shape and left.dtype == right.dtype and left.tolist() == right.tolist())


def _check_columns(data: Data) -> None:
    n, classes = len(data), len(data.class_names)
    ensure(data.ids.shape == (n,) and n > 0, data, "has an id for each sample, and samples", data.ids.shape)
    ensure(data.ids.dtype.kind in "iuUO", data, "ids are integers or text", data.ids.dtype)
    ensure(len(set(data.ids.tolist())) == n, data, "ids are unique")
    ensure(data.labels.dtype == np.int64 and data.labels.shape == (n,), data, "labels are int64 (n,)")
    inside = data.labels.min() >= 0 and data.labels.max() < classes
    ensure(inside, data, f"labels are in 0..{classes - 1}", f"{data.labels.min()}..{data.labels.max()}")
    ensure(len(set(data.class_names)) == classes, data, "class names are unique", data.class_names)
    ensure(data.kind in SHAPES, data, f"kind is one of {tuple(SHAPES)}", data.kind)
    dims, dtype = SHAPES[data.kind]
    fine = len(data.sample_shape) == dims and str(data.dtype) == dtype
    ensure(fine, data, f"a {data.kind} has {dims} dimensions of {dtype}", f"{data.sample_shape} {data.dtype}")
    for name in ("groups", "targets"):
        values = getattr(data, name)
        ensure(values is None or np.shape(values) == (n,), data, f"{name} are None or (n,)", np.shape(values))
    if data.targets is not None:
        order = np.argsort(data.targets, kind="stable")
        ensure(np.isfinite(data.targets).all(), data, "targets are finite")
        ensure((np.diff(data.labels[order]) >= 0).all(), data, "labels are bins of the targets, ascending")
    ensure(data.label_values is None or len(data.label_values) == classes, data, "label_values are None or (C,)")
    names = data.feature_names
    ensure(names is None or len(names) == data.sample_shape[0], data, "feature_names are None or (d,)", names)
    ensure(all(isinstance(note, str) for note in data.notes), data, "notes are sentences", data.notes)
    ensure(data.held_bytes >= 0 and data.sample_bytes >= 0, data, "bytes are not negative")


def _check_taken(data: Data, rows: IntArray) -> None:
    everything = data.take(np.arange(len(data)))
    shape = (len(data), *data.sample_shape)
    ensure(everything.shape == shape, data, f"take gives {shape}", everything.shape)
    ensure(everything.dtype == data.dtype, data, f"take gives {data.dtype}", everything.dtype)
    if data.kind == "vector":
        ensure(np.isfinite(everything).all(), data, "vectors are finite")
    if data.kind == "text":
        ensure(all(isinstance(text, str) for text in everything), data, "texts are str")
    taken = data.take(rows)
    ensure(_alike(taken, everything[rows]), data, "take gives rows in any order, some of them more than once")
    nothing = data.take(np.empty(0, np.int64))
    ensure(nothing.shape == (0, *data.sample_shape), data, "take of no rows gives none", nothing.shape)
    for some in (rows, np.arange(len(data))):
        scratch, before = data.take(some), everything[some]
        if scratch.flags.writeable:
            scratch[:] = scratch[::-1].copy()
            ensure(_alike(data.take(some), before), data, "take gives a copy")
    kept = data.as_kept(rows)
    same = kept.dtype == np.float16 or kept.dtype == data.dtype
    ensure(same and _alike(kept.astype(data.dtype), everything[rows]), data, "as_kept gives the same as take")
    frame = data.as_frame(rows)
    ensure(frame is None or len(frame) == len(rows), data, f"as_frame gives {len(rows)} rows")


def _check_copies(data: Data) -> None:
    groups = data.duplicate_groups()
    if groups is None:
        return
    ensure(np.shape(groups) == (len(data),), data, "duplicate_groups are None or (n,)", np.shape(groups))
    seen: dict[Any, int] = {}
    for row, taken in enumerate(data.take(np.arange(len(data)))):
        content = taken if isinstance(taken, str) else repr(taken.tolist())
        first = seen.setdefault(content, row)
        ensure(groups[first] == groups[row], data, "copies are in one group", f"rows {first} and {row}")
    different = len(np.unique(groups))
    ensure(different == len(seen), data, f"groups hold only copies: {len(seen)} samples differ", different)


def _check_fingerprint(data: Data, variants: Sequence[Data]) -> None:
    for full in (False, True):
        said = as_json(data, "fingerprint()", data.fingerprint(full=full))
        ensure(said == as_json(data, "fingerprint()", data.fingerprint(full=full)), data, "fingerprint stays the same")
    for at, variant in enumerate(variants):
        other = as_json(variant, "fingerprint()", variant.fingerprint(full=True))
        ensure(other != said, data, f"fingerprint tells another content: variant {at}", other)
