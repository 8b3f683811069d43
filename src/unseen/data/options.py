"""The options of reading a data set, written once for all formats and verbs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from unseen.errors import ArgumentError, UnknownNameError

# Options that formats have in common.
COLUMNS = ("label", "target", "image", "text", "features", "id", "group", "split")
IMAGES = ("image_size", "mode", "on_error", "memory_limit", "workers", "cache")
ARRAYS = ("x", "label", "target", "id", "group", "class_names")  # in files of NumPy
BESIDE = ("ids", "groups", "class_names")


@dataclass(frozen=True)
class ReadOptions:
    """Say how a data set is read. Each format has some of these options, and refuses the others.

    Attributes:
        label: the column of labels, default `"label"`; of arrays in files the name of their array, or the first part
            of the names of their files, default `"y"`; of dictionaries their key.
        target: in place of labels, the column (the array, the files) of numbers to regress on; beside arrays and
            frames, (n,) such numbers.
        image: the column of images; this and the next two are detected if none of them is given.
        text: the column of text.
        features: one or more columns of features.
        id: the column (the array, the files) of ids; default the row number.
        group: the column (the array, the files) of groups that stay in one fold.
        split: the rows with this value in the column `split`; in a folder of parquet files, the files
            `<split>-00000-of-00001.parquet`.
        x: the array of inputs, or the first part of the names of their files; of dictionaries their key.
        image_size: side of the square to which every image is resized and cropped; None keeps images as they are if
            all have one size.
        mode: `"RGB"` gives images of 3 channels, `"L"` of 1.
        on_error: `"raise"` refuses images that cannot be read, `"skip"` drops them with a note.
        memory_limit: bytes up to which decoded images, or vectors of parquet files as float32, stay in memory; default
            a quarter of the machine's memory. Larger data is read again whenever it is taken.
        workers: the number of processes that decode images; by default one a core if the work takes seconds.
        cache: a folder, such as that of a run, that keeps the decoded images if decoding takes long or they do not fit
            in memory; see `unseen.data.images`.
        ids: (n,) integers or text, unique, beside arrays or a frame.
        groups: (n,) any values, beside arrays or a frame; samples of one group stay in one fold.
        class_names: the C names of the classes; labels are then numbers 0..C-1 or these names.
        images: whether the digits are images.
    """

    label: str | None = None
    target: Any = None
    image: str | None = None
    text: str | None = None
    features: str | Sequence[str] | None = None
    id: str | None = None
    group: str | None = None
    split: str | None = None
    x: str | None = None
    image_size: int | None = None
    mode: Literal["RGB", "L"] = "RGB"
    on_error: Literal["raise", "skip"] = "raise"
    memory_limit: int | None = None
    workers: int | None = None
    cache: str | Path | None = None
    ids: Any = None
    groups: Any = None
    class_names: Sequence[str] | None = None
    images: bool = False

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise ArgumentError(f"on_error must be 'raise' or 'skip', got {self.on_error!r}")
        if self.mode not in ("RGB", "L"):
            raise ArgumentError(f"mode must be 'RGB' or 'L', got {self.mode!r}")
        if self.image_size is not None and (not isinstance(self.image_size, int) or self.image_size < 1):
            raise ArgumentError(f"image_size must be an integer of at least 1, got {self.image_size!r}")

    @property
    def wanted(self) -> list[str]:
        """The feature columns that the user named."""
        return [self.features] if isinstance(self.features, str) else list(self.features or [])

    @property
    def for_images(self) -> bool:
        """Whether an option was given that only images have."""
        return (self.image_size, self.mode, self.on_error, self.workers) != (None, "RGB", "raise", None)

    @property
    def processes(self) -> int:
        """The number of processes that decode, if starting them pays."""
        if self.workers is not None and self.workers < 1:
            raise ArgumentError(f"workers must be at least 1, got {self.workers!r}")
        return default_workers() if self.workers is None else self.workers

    @property
    def bytes_in_memory(self) -> int:
        """The memory limit; by default a quarter of the memory of this machine, or of its control group."""
        if self.memory_limit is not None:
            return self.memory_limit
        total = total_memory()
        for name in ("memory.max", "memory/memory.limit_in_bytes"):
            limit = Path("/sys/fs/cgroup") / name
            if limit.exists() and (text := limit.read_text().strip()).isdigit():
                total = min(total, int(text))
        return total // 4

    def check_columns(self, names: Sequence[str]) -> None:
        """Refuse columns that do not exist, more than one kind of input, and labels beside a target."""
        if self.label is not None and self.target is not None:
            raise ArgumentError(
                f"give label (classes) or target (numbers to regress on), got label={self.label!r} and "
                f"target={self.target!r}"
            )
        given = [word for word in ("image", "text", "features") if getattr(self, word) is not None]
        if len(given) > 1:
            raise ArgumentError(f"inputs are one of image, text and features, got {' and '.join(given)}")
        named = [(role, getattr(self, role)) for role in ("label", "target", "image", "text", "id", "group")]
        for role, name in named:
            if not isinstance(name, (str, type(None))):
                raise ArgumentError(f"{role} must be the name of one column, such as {str(names[0])!r}, got {name!r}")
        for role, name in [*named, *(("features", name) for name in self.wanted)]:
            if name is not None and name not in names:
                raise UnknownNameError(f"column for {role}", name, names)


class Reading(TypedDict, total=False):
    """The options of `ReadOptions` that verbs take beside their own, which are `features` and `groups`."""

    label: str
    target: Any
    text: str
    image: str
    id: str
    group: str
    split: str
    x: str
    image_size: int
    mode: Literal["RGB", "L"]
    on_error: Literal["raise", "skip"]
    class_names: Any
    ids: Any


class ReaderOptions(Reading, total=False):
    """The options of `ReadOptions` that readers take."""

    features: str | Sequence[str]
    memory_limit: int
    workers: int
    cache: str | Path
    groups: Any


def total_memory() -> int:
    """Return the bytes of memory of this machine; where the system does not say, as Windows, 8 GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return 8 << 30


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    import joblib  # type: ignore[import-untyped]

    return int(joblib.cpu_count())
