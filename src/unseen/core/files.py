"""Files and folders that are written whole or not at all, parquet files with JSON metadata, and locks.

`replace_file` writes a file as a whole or not at all. A writer that is killed, or that finds the disk full, leaves the
old content under the name, and at most one temporary file (`.*.tmp`) beside it. `NewFolder` does the same for a folder.

Tables, coresets and histories are parquet files. Their metadata is JSON, and they carry a digest of their content.
Nothing in them is ever unpickled.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import socket
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.core.arrays import Named
from unseen.errors import CorruptFileError, RunError, RunLockedError, StorageError, import_optional

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replace the file `path` by what `write` writes, atomically and durably.

    `write` gets a binary file that is open for writing and reading, and may seek in it. Missing folders are made.

    Raises:
        StorageError: the file cannot be written; the old content is kept and the temporary file removed.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb+") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name that the fault tests stop at
        if hasattr(os, "O_DIRECTORY"):  # not on Windows, where a folder cannot be opened
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise storage_error(path, error) from error
        raise


def storage_error(path: Path, error: OSError) -> StorageError:
    """Make the error for a `path` that cannot be written: the reason and the remedy."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(
            f"cannot write {path}: {reason}; free some space, then repeat the command: what was finished is kept"
        )
    return StorageError(f"cannot write {path}: {reason}; choose a folder that can be written")


def as_pandas(table: pa.Table) -> Any:
    """Convert an Arrow table to a pandas frame whose index is the column `id`; refuse it without pandas."""
    import_optional("pandas", "to_pandas()")
    return table.to_pandas().set_index("id")


def write_parquet(path: Path, columns: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Path:
    """Write arrays as parquet with JSON metadata by `replace_file`; the bytes depend on the content alone."""
    lists = {name: [str(v) for v in a] if a.dtype.kind in "USO" else a for name, a in columns.items()}
    table = pa.table({name: pa.array(values) for name, values in lists.items()})
    text = json.dumps(about, sort_keys=True, default=make_plain)
    table = table.replace_schema_metadata({"unseen": text, "unseen.digest": _digest(columns, text)})
    # No statistics: they repeat values of the columns, and no checksum covers them.
    replace_file(path, lambda file: pq.write_table(table, file, write_page_checksum=True, write_statistics=False))
    return path


def read_parquet(path: Path, kind: str) -> tuple[Named, dict[str, Any]]:
    """Read a file of `write_parquet`: the arrays by name, and the metadata.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: the file is damaged, or not of this kind.
    """
    if path.is_dir():
        raise CorruptFileError(f"{path} must be a file, but it is a folder")
    try:
        with path.open("rb") as file:  # Arrow would take "photos:2" for a URI, and reads no name that is not UTF-8
            # In one thread: another, which `pq.read_table` leaves, now and then aborts a program that ends at once.
            parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
            table = parquet.read(use_threads=False)
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        text = table.schema.metadata[b"unseen"].decode()
        # The page checksums do not cover the footer, where names, types and metadata are.
        whole = table.schema.metadata[b"unseen.digest"].decode() == _digest(columns, text)
        about: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CorruptFileError(f"{path} is damaged or was not written by unseen: {error}") from error
    if not whole:
        raise CorruptFileError(f"{path} is damaged: its content does not match its digest")
    if not isinstance(about, dict):
        raise CorruptFileError(f"{path} was not written by unseen: its metadata is no object")
    if about.get("kind") != kind:
        raise CorruptFileError(f"{path} must hold a file of kind {kind!r}, but it holds {about.get('kind')!r}")
    return columns, about


def make_plain(value: Any) -> Any:
    """Convert numbers and arrays of NumPy, and other real numbers, for JSON; it is the `default` of `json.dumps`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} is not JSON serializable: {value!r}")


def _digest(columns: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    digest = blake2b(text.encode(), digest_size=16)
    for name, values in columns.items():
        is_text = values.dtype.kind in "USO"
        digest.update(f"\x1e{name}\x1f{'text' if is_text else values.dtype.str}\x1f{len(values)}\x1f".encode())
        if is_text:
            digest.update("\x1f".join(map(str, values.tolist())).encode())
        else:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


# ---- one process at a time in a run directory ----------------------------------------------------------------------

_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock on a file, held until `release` or the end of the process, however the process ends.

    The kernel holds the lock (`flock`), so a killed process leaves none behind. The file names its holder.

    Raises:
        RunLockedError: another process (or another `Lock` of this process) holds the lock.
        StorageError: the file cannot be written.
        RunError: the system has no such locks.
    """

    def __init__(self, path: Path) -> None:
        if fcntl is None:
            raise RunError(
                f"{path.parent} cannot be locked, as this system has no flock (Windows); use Linux, macOS or WSL, or "
                "leave out= away: then results stay in memory"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunLockedError(
                    f"{path.parent} is in use by {_name_holder(path)}, or choose another out="
                ) from None
            raise storage_error(path, error) from error
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
            self.forget()

    def forget(self) -> None:
        """Close the file, and leave the name of its holder in it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _name_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        name = f"process {holder['pid']} on {holder['host']}"
        if (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname()):
            return f"{name}, which is this one; go on with the recorder or run that holds it, or delete that by `del`"
    except (OSError, ValueError, KeyError, TypeError):
        name = "another process"
    return f"{name}; wait for it or stop it"


def _forget_in_child() -> None:
    # A forked child, such as a data loader, shares the handle. With it the lock would outlive a killed parent.
    for lock in _held:
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


# ---- folders that are there whole or not at all --------------------------------------------------------------------

LOCK = ".lock"  # hidden, so that no class folder has this name


class NewFolder:
    """A folder that is written under another name until it is whole; the rest of a killed process is removed first.

    Raises:
        RunLockedError: another process writes this folder.
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part = folder.absolute().with_name(f".{folder.absolute().name}.part")

    def __enter__(self) -> Path:
        self._above = [folder for folder in self.part.parents if not folder.exists()]  # innermost first
        try:
            self._lock = Lock(self.part / LOCK)
        except StorageError as error:
            why = error.__cause__
            raise storage_error(self.folder, why if isinstance(why, OSError) else error) from error
        for left in self.part.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        return self.part

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                os.sync()  # once for all files; one call for each file would take longer than to write it
                (self.part / LOCK).unlink()
                self.part.rename(self.folder.absolute())
        except OSError as failed:
            raise storage_error(self.folder, failed) from failed
        finally:
            if kind is not None or self.part.exists():
                shutil.rmtree(self.part, ignore_errors=True)
                for folder in self._above:
                    with suppress(OSError):
                        folder.rmdir()
            self._lock.release()


def mapped(path: Path, shape: tuple[int, ...]) -> Any:
    """Make an npy file of float32 zeros, and return it as an array to fill; an OSError says that the disk is full."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    # Here a full disk raises an error. Later, inside the memory map, it would kill the process.
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file, suppress(NotImplementedError):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
