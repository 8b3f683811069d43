"""Data for worker processes: the arrays are written once to a file without a name, which every worker maps."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from unseen.atomic import storage_error
from unseen.protocols import Data

__all__ = ["Described", "Shared", "opened"]

_ALIGNED = 64  # bytes: a cache line, so that an array lies as well as one that NumPy made


@dataclass(frozen=True)
class Described:
    """Data without its arrays, small enough for a pipe.

    Args:
        body: the pickle, whose buffers are apart.
        spans: first byte and length of each buffer in the file, and whether it is read-only.

    """

    body: bytes
    spans: Sequence[tuple[int, int, bool]]


class Shared:
    """Data, pickled once for any number of workers. The file has no name, so that not even a killed process leaves it.

    Raises:
        PicklingError, AttributeError, TypeError: the data cannot be pickled.
        StorageError: neither the temporary folder nor the memory has room for the arrays.

    """

    def __init__(self, data: Data) -> None:
        self.data = data
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        spans, end = [], 0
        for view in views:
            spans.append((end, view.nbytes, view.readonly))
            end += -(-view.nbytes // _ALIGNED) * _ALIGNED
        self.described = Described(body, spans)
        self.file = _file(views, spans) if end else None

    def close(self) -> None:
        """Let go of the file; workers that have mapped it keep it."""
        if self.file is not None:
            self.file.close()


def opened(described: Described, handle: int | None) -> Data:
    """The data that another process shares. What a learner writes into an array stays in its own process."""
    views = [memoryview(bytearray()) for _ in described.spans]  # all empty where there is no file
    if handle is not None:
        with os.fdopen(handle, "rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        views = [
            whole[start : start + length].toreadonly() if readonly else whole[start : start + length]
            for start, length, readonly in described.spans
        ]
    data: Data = pickle.loads(described.body, buffers=views)  # noqa: S301 - from the pipe of the parent
    return data


def _file(views: Sequence[memoryview], spans: Sequence[tuple[int, int, bool]]) -> BinaryIO:
    try:
        return _filled(tempfile.TemporaryFile(), views, spans)
    except OSError as error:
        if hasattr(os, "memfd_create"):  # memory has room where the temporary folder has none
            with suppress(OSError):
                return _filled(os.fdopen(os.memfd_create("unseen"), "wb+"), views, spans)
        place = Path(tempfile.tempdir or "a temporary folder (TMPDIR)")
        raise storage_error(place, error) from error


def _filled(file: Any, views: Sequence[memoryview], spans: Sequence[tuple[int, int, bool]]) -> BinaryIO:
    try:
        for view, (start, _, _) in zip(views, spans, strict=True):
            file.seek(start)
            file.write(view)
        file.truncate(max(file.tell(), 1))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file  # type: ignore[no-any-return]
