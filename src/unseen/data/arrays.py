"""Readers of arrays in memory, of npy and npz files, and of the data sets of scikit-learn: its digits, and OpenML's."""

from __future__ import annotations

import re
import socket
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http.client import HTTPException
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import IntArray, is_frame
from unseen.core.protocols import Data
from unseen.data.arrow import warn_of_texts
from unseen.data.base import ArrayData, Samples, TableData, TextData
from unseen.data.columns import HEAD
from unseen.data.decoding import Pixels, pixels
from unseen.data.files import (
    Files,
    Watch,
    check_readable,
    find_alike,
    is_folder,
    npy_header,
    read_npy,
    reading_npy,
    stamp,
)
from unseen.data.formats import ARRAYS, BESIDE, Format, OpenFormat, Place, ReaderOptions, Shown
from unseen.data.frames import FrameFormat, column_of, from_frame
from unseen.data.images import name_images
from unseen.data.labels import Labelling, encode_labels, is_missing, name_of, to_numpy
from unseen.data.provenance import note, provenance_of, warn_if_seen
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownNameError, some


def from_arrays(
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    ids: Any = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
) -> Samples:
    """Make a data set of arrays, torch tensors, lists or data frames.

    Args:
        X: the inputs of n samples. Shape and type determine their kind:
            (n, d) numbers are vectors, given to learners as float32;
            (n, H, W) or (n, H, W, C) are images (C = 1 or 3; channels may also come first): integers 0..255,
            or real numbers 0..1, which are kept as uint8 round(255 x), with a note;
            (n,) text is text; (n, d) objects or text is a table, with None and NaN as missing entries.
        y: (n,) labels. Integers 0..C-1 are kept; anything else is numbered in sorted order. (Estimators of
            scikit-learn get the labels as they are given here.)
        target: (n,) finite numbers to regress on, in place of labels; not all the same. They are in `data.targets`;
            labels are then their bins, up to 10 of about equal counts, named by their ends (`"1.5 .. 3.2"`).
        ids: (n,) integers or text, unique; default 0..n-1.
        groups: (n,) any values; samples of one group stay in one fold.
        class_names: the C names; labels are then numbers 0..C-1 or these names.

    Raises:
        DataError: NaN or infinite features or targets, missing labels or labels outside the classes, counts that
            differ, repeated ids, no samples, shapes that are no data set.
        ArgumentError: labels beside targets, or neither; class names of targets.

    >>> data = from_arrays([[0.0, 1.0], [2.0, 3.0]], ["yes", "no"])
    >>> data
    ArrayData(2 samples, 2 classes, vector 2 float32)
    >>> data.labels.tolist(), data.class_names
    ([1, 0], ('no', 'yes'))
    """
    if is_frame(X):
        return from_frame(X, y, target=target, ids=ids, groups=groups, class_names=class_names)
    for name, given in (("y", y), ("target", target)):
        if isinstance(given, str):
            raise ArgumentError(f"{name}={given!r} names a column, but X has none: give the (n,) values themselves")
    _refuse_data_set(X)
    if isinstance(X, Sequence) and len(X) and hasattr(X[0], "getexif"):
        X = _decode_pillow(list(X))
    values = to_numpy(X)
    if values.ndim == 0:
        raise DataError(f"X must be an array of n samples, got {type(X).__name__}")
    about: dict[str, Any] = {"n": len(values), "ids": ids, "groups": groups, "class_names": class_names}
    about["name"] = name_of(y, "y") if target is None else name_of(target, "target")
    y, target = (column_of(given) if is_frame(given) else given for given in (y, target))
    labelled = encode_labels(y, target, **about)
    return from_values(values, labelled, channels_first=values is not X and hasattr(X, "detach"))


def _refuse_data_set(X: Any) -> None:
    """Refuse a path or a data set beside labels, which are then its own."""
    if isinstance(X, (str, Path)):
        raise ArgumentError(
            "labels and targets that are given as values go with inputs in memory, but the inputs are "
            f"{str(X)!r}: name the labels by label= or the target by target=, or load the inputs (numpy.load reads a "
            ".npy file)"
        )
    if isinstance(X, Data) or _gives_tuples(X) or hasattr(X, "with_format"):  # which one of Hugging Face has
        raise ArgumentError(
            f"labels and targets that are given as values go with arrays or frames, but {type(X).__name__} is a data "
            "set, which has its own: leave them out, or give the inputs alone as an array"
        )


def _decode_pillow(images: Sequence[Any]) -> list[npt.NDArray[np.uint8]]:
    """Return the pixels of Pillow images by the rule for files; an array of one with a palette holds no colours."""
    if odd := [row for row, image in enumerate(images) if not hasattr(image, "getexif")]:
        raise DataError(f"X must hold Pillow images throughout, but row {odd[0]} is {type(images[odd[0]]).__name__}")
    grey = all(image.mode in ("1", "L") for image in images)
    decoded = [pixels(image, Pixels("L" if grey else "RGB", None, (1, 1))) for image in images]
    if len({array.shape for array in decoded}) > 1:
        raise DataError(
            "X holds Pillow images of several sizes: give list(zip(X, y)), which is a data set of them, and image_size="
        )
    return decoded


def _gives_tuples(X: Any) -> bool:
    """Tell whether an entry holds more than the inputs, as in a data set of torch, where it is a pair."""
    is_array = hasattr(X, "shape") or hasattr(X, "__array__")
    if is_array or isinstance(X, (Sequence, Mapping)) or not hasattr(X, "__getitem__"):
        return False
    try:
        first = X[0]
    except Exception:  # code of the user's: there are no entries to make an array of
        return True
    return isinstance(first, (tuple, Mapping))


def from_values(
    values: npt.NDArray[Any], labelled: Labelling, *, channels_first: bool = False, files: Files | None = None
) -> Samples:
    """Make the data set of an array, by its shape and type; `channels_first` decides if both orders are possible."""
    if values.dtype.kind not in "fiubOU":
        raise DataError(f"X must hold numbers or text, got {values.dtype}")
    if values.ndim == 1:
        if values.dtype.kind not in "OU":
            raise DataError("X must be (n, d), got one number a sample; X.reshape(-1, 1) makes it one feature")
        texts = values.astype(object)
        if name_images(map(str, texts[:HEAD])):
            raise DataError(
                f"the inputs are names of image files, such as {str(texts[0])!r}; a frame of them is read with "
                "image='image', as in pandas.DataFrame({'image': list(map(str, X)), 'label': y})"
            )
        wrong = [row for row, text in enumerate(texts) if not isinstance(text, str)]
        if wrong:
            raise DataError(
                f"X must be text throughout, but {len(wrong):,} rows are not: row {wrong[0]} is {texts[wrong[0]]!r}; "
                "drop them or write ''"
            )
        return TextData(texts, labelled, files=files)
    if values.ndim == 2 and 0 not in values.shape:
        if values.dtype.kind in "OU":
            codes, entries = _factorise(values.astype(object))
            words = {str(at): [v for v in of if isinstance(v, str)] for at, of in enumerate(entries)}
            warn_of_texts(words, len(values))
            return TableData(codes, entries, labelled, files=files)
        return ArrayData(values, labelled, "vector", files=files)
    if values.ndim in (3, 4) and 0 not in values.shape and values.dtype.kind in "fiu":
        images, notes = as_images(values, channels_first=channels_first)
        return ArrayData(images, labelled, "image", files=files, notes=notes)
    raise DataError(
        f"X must be (n, d) vectors or table rows, (n, H, W, C) images or (n,) text, got shape {values.shape} of "
        f"{values.dtype}; X.reshape(len(X), -1) makes vectors of anything"
    )


def as_images(values: npt.NDArray[Any], *, channels_first: bool = False) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Convert images in either order of axes to uint8 (n, H, W, 1 or 3); return them with notes."""
    if values.ndim == 3:
        values = values[..., None]
    first, last = values.shape[1] in (1, 3), values.shape[-1] in (1, 3)
    if not first and not last:
        raise DataError(f"images must have 1 or 3 channels, (n, H, W, C) or (n, C, H, W), got shape {values.shape}")
    if first and (channels_first or not last):
        values = values.transpose(0, 2, 3, 1)
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values), []
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.rint(values * 255).astype(np.uint8), ["images of real numbers 0..1 are kept as uint8 round(255 x)"]
    if values.dtype.kind in "iu" and low >= 0 and high <= 255:
        return values.astype(np.uint8), []
    raise DataError(
        f"images must be integers 0..255 or real numbers 0..1, got {values.dtype} from {low} to {high}; leave out "
        f"normalisation (learners do it themselves), or make vectors of them: X.reshape(len(X), -1)"
    )


class ArraysFormat(Format):
    """A pair of inputs and labels."""

    reader = "from_arrays"
    about = ("(X, y)", "NumPy arrays, torch tensors, lists or data frames")
    options = ("target", *BESIDE)

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a pair."""
        return isinstance(source, tuple) and len(source) == 2

    def open(self) -> Samples:
        """Make the data set."""
        return from_arrays(*self.source, **self.given)


class NpzFormat(Format):
    """Arrays in one npz file, or in npy files of one folder, which are memory-mapped."""

    reader = "from_npz"
    about = ("path to a .npz file", "or to a folder with x.npy and y.npy")
    options = ARRAYS
    aliases: ClassVar = {"y": "label"}

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a file, or a folder with npy files."""
        if not isinstance(source, Place) or source.is_url:
            return False
        return source.holds(".npy", deep=False) if source.is_folder else source.suffix in (".npz", ".npy")

    def open(self) -> Samples:
        """Open the arrays."""
        options, path = self.reading, Path(self.source)
        y, target = options.label, options.target
        id, group, class_names = options.id, options.group, options.class_names
        folder = path if is_folder(path) else path.parent
        x = options.x or ("x" if path == folder else _inputs_named(path, y, target, id, group))
        zipped = path.suffix.lower() == ".npz" and path != folder
        made = None if zipped else provenance_of(folder)
        if made is not None:
            id, group = (
                name if name is not None or not (folder / f"{usual}.npy").exists() else usual
                for name, usual in ((id, "id"), (group, "group"))
            )
            if y is None and target is None and (folder / "target.npy").exists():
                target = "target"
            class_names = made["class_names"] if class_names is None and target is None else class_names
        y = "y" if y is None and target is None else y
        names = [name for name in (x, y, target, id, group) if name is not None]
        if zipped:
            places = dict.fromkeys(names, check_readable(path))
        elif is_folder(folder):
            files_there = {found.stem: found for found in folder.iterdir() if found.suffix.lower() == ".npy"}
            files_at = {name: _match_name(name, list(files_there), folder) for name in names}
            places = {name: files_there[own] for name, own in files_at.items()}
        else:
            raise DataError(f"there is no folder {folder}")
        watch = Watch(places.values())
        files = stamp(folder, dict.fromkeys(place.name for place in places.values()))
        arrays = _read_npz(path, names) if zipped else {name: read_npy(place) for name, place in places.items()}
        labels, targets, ids, groups = (None if name is None else arrays[name] for name in (y, target, id, group))
        if arrays[x].ndim == 0:
            raise DataError(f"array {x!r} of {path} must hold n samples, got a single {arrays[x].dtype}")
        about: dict[str, Any] = {"n": len(arrays[x]), "ids": ids, "groups": groups, "class_names": class_names}
        labelled = encode_labels(labels, targets, name=y or target, **about)
        data = from_values(arrays[x], labelled, files=files)
        if isinstance(data, ArrayData) and data.watch is not None:
            data.watch = watch
            data.npy_file = places[x].resolve() if data.array is arrays[x] else None
        watch.check()
        if made is not None:
            warn_if_seen(made, str(folder))
            data.notes += (note(made),)
            data.embedding = {"labels": made["labels"], **made["embedding"]}
        return data


class DigitsFormat(Format):
    """scikit-learn's digits."""

    reader = "digits"
    about = ('"digits"', "scikit-learn's digits")
    options = ("images",)
    kind = "image"

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is their name."""
        return isinstance(source, Place) and source.given == "digits"

    def open(self) -> Samples:
        """Load them."""
        return digits(images=self.reading.images)

    def show(self, rows: IntArray) -> list[Shown]:
        """Return them as images, whatever learners get."""
        return OpenFormat(digits(images=True)).show(rows)


PATIENCE = 15.0  # seconds until a server must answer; its library waits without end, or tries again for long


class OpenmlFormat(FrameFormat):
    """A data set of OpenML as a frame, with its target as the label: `openml:adult`, or `openml:adult@2`."""

    about = ('"openml:adult"', 'a data set of OpenML by its name; "openml:adult@2" is its version 2')

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a name."""
        return isinstance(source, Place) and source.is_named("openml")

    def __init__(self, source: Any, **given: Any) -> None:
        found = _fetch_openml(str(source))
        targets = list(found.target_names or ())
        if given.get("label") is None and given.get("target") is None and len(targets) == 1:
            given["label"] = targets[0]
        super().__init__(found.frame, **given)
        about = found.details
        version = f"version {about.get('version')} of OpenML's {about.get('name')}, id {about.get('id')}"
        self.notes += (f"{source} is {version}",)


def _fetch_openml(named: str) -> Any:
    """Download a data set, or read what scikit-learn has kept of it."""
    name, at, version = named.removeprefix("openml:").partition("@")
    if not name or (at and not re.fullmatch("[1-9][0-9]*", version)):
        raise ArgumentError(
            f"a name of OpenML is openml:NAME or openml:NAME@VERSION, as in openml:adult@2, got {named!r}"
        )
    from sklearn.datasets import fetch_openml

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # of every new socket, since urllib has none of its own
    try:
        with warnings.catch_warnings(action="ignore"):  # of several versions, which a note tells, and of another try
            return fetch_openml(name, version=int(version) if at else "active", as_frame=True, n_retries=1)
    except ImportError as error:
        raise MissingDependencyError("pandas", f"reading {named}") from error
    except (ValueError, HTTPException) as error:  # no such name or version, no table, a broken file
        raise DataError(f"{named} cannot be read from OpenML: {one_line(error)}") from error
    except OSError as error:  # those of urllib among them
        again = "try again with a network, or give the path of a file"
        raise DataError(f"{named} cannot be downloaded: {one_line(error)}; {again}") from error
    finally:
        socket.setdefaulttimeout(before)


def one_line(error: BaseException) -> str:
    """Return the message of an error of another library in one line."""
    reason = getattr(error, "reason", None)
    text = " ".join(str(error if reason is None else reason).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


def from_npz(path: str | Path, *, y: str | None = None, **options: Unpack[ReaderOptions]) -> Samples:
    """Open arrays in one npz file, or in npy files of one folder (which are memory-mapped, not read).

    In a folder that `unseen.embed` made, its ids, groups, class names and target are used, unless others are given
    here.

    Args:
        path: the npz file; or the folder, or one of its npy files, such as that of the inputs.
        y: name of the array of labels; `"y"` unless there is a target. Public functions such as `prune` take it as
            `label=`.
        **options: `x`, by default the npy file that is named, or else `"x"`; `target`, `id`, `group` and `class_names`,
            as in `ReadOptions`.

    Raises:
        DataError: as `from_arrays`; and arrays of Python objects, which would have to be unpickled.
        UnknownNameError: no array of that name.
    """
    return NpzFormat(path, y=y, **options).open()


def digits(*, images: bool = False) -> Samples:
    """Load scikit-learn's digits: 1,797 handwritten digits that ship with it.

    Args:
        images: False gives vectors, float32 (64,) from 0 to 16, as scikit-learn does; True gives images, uint8
            (8, 8, 1), the same grey values spread over 0..255.

    >>> digits()
    ArrayData(1,797 samples, 10 classes, vector 64 float32)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    if images:
        return from_arrays(np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target)
    return from_arrays(bunch.data.astype(np.float32), bunch.target)


def _factorise(table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[Any]]]:
    """Encode a table as codes int32 (n, d) and the distinct values of each column, in order of appearance."""
    codes, values = np.empty(table.shape, np.int32), []
    for column in range(table.shape[1]):
        seen: dict[Any, int] = {}
        entries = [None if is_missing(v) else v for v in table[:, column].tolist()]
        _check_entries(entries, column)
        # The type is part of the key: 1, 1.0 and True are equal in Python.
        codes[:, column] = [seen.setdefault((v.__class__, v), len(seen)) for v in entries]
        infinite = [key[1] for key in seen if key[1] in (float("inf"), float("-inf"))]
        if infinite:
            rows = np.flatnonzero(codes[:, column] == seen[(float, infinite[0])])
            raise DataError(f"features must be finite, but column {column} holds {infinite[0]} in rows {some(rows)}")
        distinct = np.empty(len(seen), object)
        distinct[:] = [key[1] for key in seen]
        values.append(distinct)
    return codes, values


def _check_entries(entries: list[Any], column: int) -> None:
    """Refuse entries that are neither numbers nor text, such as dates, which no learner can use."""
    known = (Real, Decimal, np.bool_, str, type(None))
    if other := {kind for kind in set(map(type, entries)) if not issubclass(kind, known)}:
        row, kind = next((row, type(entry)) for row, entry in enumerate(entries) if type(entry) in other)
        raise DataError(
            f"tables must hold numbers and text, but column {column} does not: row {row} has a {kind.__name__}; "
            "make numbers or text of it, or leave the column out"
        )


def _inputs_named(path: Path, *others: str | None) -> str:
    """Return the name of the array of inputs: that of the .npy file given, unless it is the file of labels or ids."""
    beside = {name.lower() for name in ("y", "target", "id", "group", *others) if name is not None}
    return "x" if path.suffix.lower() == ".npz" or path.stem.lower() in beside else path.stem


def _read_npz(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is damaged: it is no .npz file, which np.savez writes")
    arrays: dict[str, npt.NDArray[Any]] = {}
    with reading_npy(path), path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        for name in names:
            own = _match_name(name, file.files, path)
            member = file.zip.getinfo(own if own in file.zip.namelist() else f"{own}.npy")
            try:
                with file.zip.open(member) as header:  # which must not claim more than the file holds
                    npy_header(header, member.file_size)
            except ValueError as error:
                raise ValueError(f"array {own!r}: {error}") from error
            arrays[name] = file[own]
    return arrays


def _match_name(name: str, present: Sequence[str], where: Path) -> str:
    """Find the array of that name, in lower or upper case."""
    found = find_alike(name, present)
    if found is None:
        zipped = where.suffix.lower() == ".npz"
        unknown = UnknownNameError(f"array in {where.name if zipped else where}", name, present)
        if name in ("x", "y"):
            what, option = ("inputs", "x= (--x)") if name == "x" else ("labels", "label= (--label)")
            place = f"array {name!r} in {where.name}" if zipped else f"file {where / name}.npy"
            unknown.args = (
                f"there is no {place}, from which the {what} are read; {option} names another "
                f"{'array' if zipped else 'file there, without .npy'}: it has {some(sorted(present), 20)}",
            )
        raise unknown
    return found
