"""Readers of Hugging Face data sets, and of map-style data sets such as torch's `Dataset`.

The library `datasets` is imported only to load a saved data set, or one of the hub (`hf:user/name:split`): its objects
have all methods that are needed. A map-style data set has a length, and gives (x, y) by index.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from unseen.core.arrays import IntArray
from unseen.core.machine import count_cores
from unseen.data.arrays import PATIENCE, as_images, from_values, one_line
from unseen.data.base import ArrayData, Hashes, Samples, blocks, hash_rows
from unseen.data.columns import HEAD, PIECE_ROWS, TableFormat, check_text, refuse_token_ids
from unseen.data.decoding import ColumnImages, Pixels, is_deep, note_on_black, pixels, with_files
from unseen.data.files import Watch
from unseen.data.formats import BESIDE, IMAGES, IN_ONE_SPLIT, Format, Place, ReaderOptions, with_images
from unseen.data.images import ImageData
from unseen.data.labels import OWN_LOOP, Labelling, encode_labels, to_numpy
from unseen.errors import ArgumentError, DataError, UnknownNameError, import_optional, some


class HuggingFaceFormat(TableFormat):
    """One split of a Hugging Face data set, its rows in their order, without its transforms."""

    reader = "from_huggingface"
    about = ("a Hugging Face Dataset", "one split of it")
    options = (*IN_ONE_SPLIT, *IMAGES)

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is a Hugging Face data set."""
        return hasattr(source, "with_format")

    def __init__(self, source: Any, **given: Any) -> None:
        super().__init__(source, **given)
        self.ds = ds = self.loaded(source)
        if isinstance(ds, dict):
            raise ArgumentError(
                f"the data set has splits {some(ds)}; give one of them, as in ds[{next(iter(ds), 'train')!r}]"
            )
        if not hasattr(ds, "__len__"):
            raise ArgumentError("a streaming data set cannot be scored, as samples are read by row; load it whole")
        if not len(ds):
            raise DataError("the data set is empty: it has no samples")
        self.files = None
        if (getattr(ds, "format", None) or {}).get("type") == "custom":
            self.notes += ("the data set's own transform is left out: samples are read as they are stored",)
        self._arrow = ds.with_format("arrow")
        self.schema = ds.features.arrow_schema
        self.stored_schema = with_images(self.schema, self.reading.image)

    def loaded(self, source: Any) -> Any:
        """Return the data set of the library."""
        return source

    def read(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of all rows."""
        return check_text(self._arrow.select_columns(list(names))[:])

    def head(self, names: Sequence[str]) -> pa.Table:
        """Read these columns of the first rows."""
        return check_text(self._arrow.select_columns(list(names))[:HEAD])

    def images(self, name: str) -> ColumnImages:
        """Return the encoded images of a column, memory-mapped by the library."""
        return ColumnImages(self._arrow.select_columns([name]))

    def vectors(self, names: Sequence[str], labelled: Labelling, **about: Any) -> None:
        """Return None: vectors are read into memory, whatever their size."""
        if self.reading.memory_limit is not None:
            raise ArgumentError(
                "memory_limit is for images here, vectors are read into memory; for larger data write parquet files, "
                "which `from_parquet` reads as needed"
            )

    def open(self) -> Samples:
        """Open the data set; vectors in one column of lists stay in the files that the library maps."""
        files = [Path(file["filename"]) for file in getattr(self.ds, "cache_files", ())]
        watch = Watch(files)
        data = super().open()
        watch.check()
        if files and isinstance(data, ArrayData) and data.kind == "vector":
            data.maps(files, watch)
        return data

    def stored(self, rows: IntArray) -> Iterator[pa.Table]:
        """Yield these rows with all columns; files that are only named are read in."""
        for start in range(0, len(rows), PIECE_ROWS):
            yield with_files(self._arrow[rows[start : start + PIECE_ROWS].tolist()], self.stored_schema)


class SavedFormat(HuggingFaceFormat):
    """A Hugging Face data set that `save_to_disk` wrote in a folder."""

    about = ("path to a folder", "that datasets.Dataset.save_to_disk wrote")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a folder."""
        made = ("state.json", "dataset_dict.json")
        return isinstance(source, Place) and source.is_folder and any(name in source.names for name in made)

    def loaded(self, source: Any) -> Any:
        """Load the data set from the folder."""
        datasets = import_optional("datasets", f"reading {source}", "huggingface")
        try:
            return datasets.load_from_disk(str(source))
        except (OSError, ValueError, KeyError, TypeError) as error:  # ArrowInvalid is a ValueError
            kind = type(error).__name__
            raise DataError(f"{source} is not a sound data set of save_to_disk: {kind}: {error}") from error


class HubFormat(HuggingFaceFormat):
    """One split of a data set of the Hugging Face hub: `hf:user/name:split`, downloaded once by the library."""

    about = ('"hf:user/name:split"', "a split of a data set of the Hugging Face hub")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a name."""
        return isinstance(source, Place) and source.is_named("hf")

    def loaded(self, source: Any) -> Any:
        """Download the split, or read what the library has kept of it."""
        source = str(source)
        parts = re.fullmatch(r"hf:([^:]+):([^:\[\]]+(?:\[[^\]]*\])?)", source)
        if parts is None:
            raise ArgumentError(
                f"a name of the hub is hf:USER/NAME:SPLIT or hf:NAME:SPLIT, as in hf:ag_news:train, got {source!r}"
            )
        name, split = parts.groups()
        datasets = import_optional("datasets", f"reading {source}", "huggingface")
        try:
            if not datasets.config.HF_HUB_OFFLINE:
                _check_hub(name)
            return datasets.load_dataset(name, split=split)
        except ConnectionError as error:
            raise DataError(
                f"{source} cannot be downloaded: {one_line(error)}; try again with a network, or give the path of a "
                "file; HF_HUB_OFFLINE=1 reads what was downloaded before"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise DataError(f"{source} cannot be read from the hub: {one_line(error)}") from error


def _check_hub(name: str) -> None:
    """Ask the hub once for this name, since `load_dataset` asks for half a minute before it gives up."""
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=PATIENCE)
    except ValueError:
        return  # no name of a data set, as `load_dataset` will say
    except Exception as error:  # its client for HTTP, whose errors these are, depends on its version
        if getattr(error, "response", None) is None:
            raise ConnectionError(f"the hub does not answer ({one_line(error)})") from error


def from_huggingface(ds: Any, **options: Unpack[ReaderOptions]) -> Samples:
    """Open a `datasets.Dataset`: one split, with its selection and order, without its transforms.

    Class names are those of its `ClassLabel`.

    Args:
        ds: the data set; choose one split of a `DatasetDict`; a streaming data set cannot be used.
        **options: those of `from_parquet`, but `split`; `memory_limit` is refused for vectors, which are read into
            memory.

    Raises:
        ArgumentError: several splits, or a streaming data set.
        DataError: as `from_parquet`.
    """
    return HuggingFaceFormat(ds, **options).open()


_READ_TWICE = 32
_USUAL_X = {"image", "img", "images", "pixel_values", "x", "input", "inputs", "text", "sentence", "data", "features"}
_USUAL_Y = {"label", "labels", "y", "target", "targets", "class", "fine_label"}


class DatasetFormat(Format):
    """A map-style data set: `len(ds)`, and `ds[i]` giving (x, y) or a dictionary."""

    reader = "from_dataset"
    about = ("a map-style data set", "len(ds), and ds[i] giving (x, y), as torch's Dataset, or a dictionary of them")
    options = ("x", "label", *BESIDE, "image_size", "mode", "memory_limit", "workers")
    aliases: ClassVar = {"image": "x", "text": "x"}

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether samples can be taken by their number."""
        return hasattr(source, "__getitem__") and not isinstance(source, (tuple, dict)) and not hasattr(source, "shape")

    def open(self) -> Samples:
        """Read the data set once, from first to last."""
        ds, options = self.source, self.reading
        if (n := _length(ds)) is None:
            why = "collect() makes a frame of it" if hasattr(ds, "collect") else "an iterable one cannot be scored"
            raise ArgumentError(f"ds must have len(ds) and ds[i], got {type(ds).__name__}; {why}")
        if not n:
            raise DataError("the data set is empty: it has no samples")
        about = {"ids": options.ids, "groups": options.groups, "class_names": options.class_names}
        reader = _Reader(ds, options.mode, options.image_size, (options.x, options.label))
        first, _ = reader.read(0)
        limit = options.bytes_in_memory
        if isinstance(first, np.ndarray) and first.nbytes * len(ds) > limit:
            if first.ndim < 2:
                raise DataError(
                    f"{len(ds):,} vectors of {first.nbytes:,} bytes are more than memory_limit={limit:,}; raise it, or "
                    f"save them as x.npy and y.npy, which are read from disk"
                )
            large = _open_large(reader, options.workers, **about)
            large.notes += _note_on_keys(reader.unused)
            return large
        reader.black = 0
        samples, labels = zip(*(reader.read(row) for row in range(len(ds))), strict=True)
        if isinstance(first, str):
            values = np.empty(len(samples), object)
            values[:] = samples
        else:
            values = _stack(samples)
        data = from_values(values, _encode_labels(ds, list(labels), **about), channels_first=reader.tensors)
        data.notes += (*note_on_black(reader.black), *_note_on_keys(reader.unused))
        _check_steady(labels, values.__getitem__, reader.read)
        return data


def from_dataset(ds: Any, **options: Unpack[ReaderOptions]) -> Samples:
    """Read a map-style data set once, from first to last. `ds[i]` must give (x, y) or a dictionary.

    x may be a Pillow image, a tensor or array (images in either order of axes, with real numbers 0..1 kept as uint8; or
    vectors), or text; y a number or a name. Leave random augmentation out: the learner augments, and the samples
    to score must not change. So a few samples are read twice, inputs and labels, and refused if they differ.

    Args:
        ds: the data set.
        **options: `x` and `label` of `ReadOptions`, the keys if items are dictionaries, by default the only ones with a
            usual name; `ids` and `groups`; `class_names`, by default those in `ds.classes`, or of what a `Subset` or a
            `ConcatDataset` is made of, if there are any and labels are their numbers; for Pillow images `image_size`,
            without which all must have one size, and `mode`; `memory_limit`: images of larger data are read again
            whenever they are taken; `workers`: processes of torch's `DataLoader` that read such larger data, 0 without
            torch.

    Raises:
        DataError: samples of several shapes, items that are no pair, a data set that gives different samples each
            time; else as `from_arrays`.

    >>> from_dataset([([0.0, 1.0], "yes"), ([2.0, 3.0], "no")])
    ArrayData(2 samples, 2 classes, vector 2 float32)
    """
    return DatasetFormat(ds, **options).open()


def _length(ds: Any) -> int | None:
    """Return the number of samples of a map-style data set; None for another."""
    # torch's IterableDataset inherits a `__getitem__` that only raises.
    iterable = any(base.__name__ == "IterableDataset" for base in type(ds).__mro__)
    if iterable or not hasattr(ds, "__len__") or not hasattr(ds, "__getitem__"):
        return None
    try:
        return len(ds)
    except TypeError:  # one that is made of others, which have none
        return None


class _Reader:
    """A reader of a map-style data set: single samples as arrays or text, batches of rows as images and labels."""

    def __init__(
        self, ds: Any, mode: Literal["RGB", "L"], image_size: int | None, keys: tuple[str | None, str | None]
    ) -> None:
        self.ds = ds
        self.requested = keys
        self.keys: tuple[str, str] | None = None  # chosen at the first item
        self.unused: list[Any] = []  # its other keys
        self.rule = Pixels(mode, image_size, (1, 1))
        self.tensors = False
        self.black = 0  # number of 16-bit images that become all black in 8 bits

    def _pair(self, row: int) -> tuple[Any, Any]:
        """Return inputs and label of one sample as the data set has them."""
        try:
            item = self.ds[row]
        except Exception as error:  # the data set of the user may raise anything
            raise DataError(f"ds[{row}] cannot be read: {type(error).__name__}: {error}") from error
        if isinstance(item, Mapping):
            if self.keys is None:
                self.keys = _choose_keys(item, *self.requested)
                self.unused = [key for key in item if key not in self.keys]
            for key in self.keys:
                if key not in item:
                    raise DataError(f"ds[{row}] lacks the key {key!r}; its keys: {some(item)}")
            item = item[self.keys[0]], item[self.keys[1]]
        elif self.requested != (None, None):
            raise ArgumentError(f"x= and label= are keys of dictionaries, but ds[{row}] is a {type(item).__name__}")
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            count = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
            raise DataError(
                f"ds[{row}] must be a pair (x, y), got {type(item).__name__}{count}; wrap the data set to give pairs"
            )
        if item[0] is None:
            raise DataError(f"ds[{row}] has no inputs, but None; leave out such samples, as by Subset(ds, rows)")
        return item[0], item[1]

    def read(self, row: int) -> tuple[Any, Any]:
        """Read one sample: (array or text, label)."""
        x, y = self._pair(row)
        label = to_numpy(y, f"the label of ds[{row}]") if hasattr(y, "shape") else y
        if isinstance(label, np.ndarray) and label.size == 1:
            label = label.item()
        many = hasattr(y, "getexif") or np.ndim(label) > isinstance(x, str)  # a text may have a one-hot label
        if many and not hasattr(x, "getexif") and np.ndim(x) == 0:
            raise DataError(
                f"ds[{row}] must be a pair (x, y), but its first entry, {x!r}, looks like the label, and its second "
                "like the inputs; wrap the data set to give them the other way round"
            )
        if isinstance(x, str):
            return x, label
        if hasattr(x, "getexif"):
            try:
                deep, array = is_deep(x), pixels(x, self.rule)
            except (OSError, ValueError) as error:  # Pillow reads the file only now; or pixels have more than 16 bits
                raise DataError(f"the image of ds[{row}] cannot be read: {error}") from error
            self.black += deep and not array.any()
            return array, label
        if self.rule.square is not None:
            raise ArgumentError(f"image_size is for data sets of Pillow images, but ds[{row}] has {type(x).__name__}")
        self.tensors = hasattr(x, "detach")
        return to_numpy(x, f"the input of ds[{row}]"), label

    def __len__(self) -> int:
        return len(self.ds)

    def __getitem__(self, rows: IntArray) -> tuple[npt.NDArray[np.uint8], list[Any]]:
        """Read a batch of images, uint8 (m, H, W, channels), and their labels; torch's loader calls this."""
        samples, labels = zip(*(self.read(int(row)) for row in rows), strict=True)
        return as_images(_stack(samples, rows), channels_first=self.tensors)[0], list(labels)

    def pixels(self, rows: IntArray) -> tuple[npt.NDArray[np.uint8], Hashes]:
        images = self[rows][0]
        return images, hash_rows(images)

    def differs(self, row: int) -> DataError:
        return DataError(
            f"ds[{row}] gives another x than when it was opened; leave random augmentation out of the data set (the "
            "learner augments), and its files as they are"
        )


def _choose_keys(item: Mapping[Any, Any], x: str | None, label: str | None) -> tuple[str, str]:
    """Choose the keys of inputs and labels, if items are dictionaries."""
    names = [name for name in item if isinstance(name, str)]
    for role, name in (("inputs", x), ("labels", label)):
        if name is not None and not isinstance(name, str):
            raise ArgumentError(f"the key for {role} must be one name, got {name!r}; models read one input a sample")
        if name is not None and name not in names:
            raise UnknownNameError(f"key for {role}", name, names)
    label_keys = [label] if label is not None else [name for name in names if name.lower() in _USUAL_Y and name != x]
    rest = [name for name in names if name not in label_keys]
    input_keys = [x] if x is not None else [name for name in rest if name.lower() in _USUAL_X] or rest
    if x is None:
        refuse_token_ids(input_keys)
    if len(input_keys) != 1 or len(label_keys) != 1:
        raise ArgumentError(
            f"ds[0] is a dictionary of {some(names, 20)}: say which are the inputs and the labels, as in x='image', "
            "label='label'"
        )
    return input_keys[0], label_keys[0]


def _note_on_keys(unused: Sequence[Any]) -> tuple[str, ...]:
    return (f"keys of the samples that are not used: {some(list(map(repr, unused)))}",) if unused else ()


def _encode_labels(ds: Any, labels: Sequence[Any], *, class_names: Any, **about: Any) -> Labelling:
    """Encode labels; if they are numbers of the classes of `_classes_of`, with these class names."""
    raw = to_numpy(labels)
    own = _classes_of(ds)
    if class_names is None and isinstance(own, (list, tuple)) and raw.dtype.kind in "iu" and raw.ndim == 1:
        names = [name for name in own if isinstance(name, str)]
        if len(set(names)) == len(own) and 0 <= raw.min() <= raw.max() < len(own):
            class_names = names
    return encode_labels(raw, class_names=class_names, **about)


def _classes_of(ds: Any) -> Any:
    """Return the attribute `classes` of a data set, or of what a `Subset` or `ConcatDataset` is made of; else None."""
    own = getattr(ds, "classes", None)
    if own is not None:
        return own
    parts = [ds.dataset] if hasattr(ds, "indices") and hasattr(ds, "dataset") else getattr(ds, "datasets", ())
    found = [_classes_of(part) for part in parts]
    return found[0] if found and all(one == found[0] for one in found) else None


def _stack(samples: Sequence[Any], rows: Sequence[int] | IntArray | None = None) -> npt.NDArray[Any]:
    shape = samples[0].shape
    for at, sample in enumerate(samples):
        if not isinstance(sample, np.ndarray) or sample.shape != shape:
            first, row = (0, at) if rows is None else (rows[0], rows[at])
            got = getattr(sample, "shape", type(sample).__name__)
            raise DataError(
                f"all samples must have one shape, but row {first} has {shape} and row {row} has {got}; image_size= "
                f"brings Pillow images to one size, and {OWN_LOOP}"
            )
    return np.stack(samples)


def _check_steady(labels: Sequence[Any], before: Callable[[int], Any], read: Callable[[int], tuple[Any, Any]]) -> None:
    """Read a few samples a second time, and refuse inputs or labels that differ."""
    n = len(labels)
    for row in map(int, np.unique(np.linspace(0, n - 1, min(n, _READ_TWICE)).astype(int))):
        x, y = read(row)
        if labels[row] != y:
            raise DataError(
                f"ds[{row}] gives another y each time it is read: {labels[row]!r}, then {y!r}; a label must not change"
            )
        held, again = np.asarray(before(row)), np.asarray(x)  # `held` may have the common type of all samples
        if held.dtype.kind in "OU":
            same = held.tolist() == again.tolist()
        else:
            same = np.array_equal(held, again, equal_nan=held.dtype.kind in "fc")
        if not same:
            raise DataError(
                f"ds[{row}] gives another x each time it is read; leave random augmentation out of the data set (the "
                f"learner augments)"
            )


def _open_large(reader: _Reader, workers: int | None, **about: Any) -> ImageData:
    """Read images that do not fit in memory once, to hash them, in other processes where torch is loaded."""
    n = len(reader)
    if workers is None:
        workers = count_cores() if "torch" in sys.modules else 0
    first = reader[np.array([0])][0]
    batches = [np.arange(n)[block] for block in blocks(n, first.nbytes)]
    read: Iterable[tuple[npt.NDArray[np.uint8], list[Any]]] = map(reader.__getitem__, batches)
    if workers:
        from torch import Generator
        from torch.utils.data import DataLoader

        # The data set is sent to each worker once, not with every batch. Without a generator, the loader would draw
        # from the global one of torch.
        options = {"batch_size": None, "num_workers": workers, "collate_fn": tuple, "generator": Generator()}
        read = DataLoader(reader, sampler=batches, **options)  # type: ignore[arg-type]
    hashes: list[Hashes] = []
    labels: list[Any] = []
    for rows, (images, some_labels) in zip(batches, read, strict=True):
        _stack([first[0], images[0]], [0, int(rows[0])])
        hashes.append(hash_rows(images))
        labels += some_labels
    known, labelled = np.concatenate(hashes), _encode_labels(reader.ds, labels, **about)

    def read_again(row: int) -> tuple[Any, Any]:
        images, some_labels = reader[np.array([row])]
        return hash_rows(images)[0], some_labels[0]

    _check_steady(labels, known.__getitem__, read_again)
    return ImageData(reader, first.shape[1:], labelled, known)
