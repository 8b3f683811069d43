"""How a store that fsspec knows is reached, and what becomes of errors that it may have.

Address and credentials are fsspec's business: the URL, the environment and fsspec's configuration say them.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from unseen.data.storage import State
from unseen.errors import ArgumentError, DataError, MissingDependencyError, UnknownNameError

__all__ = ["is_url", "reached", "state", "tried"]

T = TypeVar("T")

_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*)(::|://)")
_WAITS = (0.5, 2.0)  # seconds before a second and a third try
_REFUSED = (PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError)  # what trying again cannot help
# By what a store tells that a file has changed, the best first.
_MARKS = ("etag", "md5hash", "crc32c", "checksum", "generation", "blobid",
          "mtime", "lastmodified", "modified", "modify", "updated", "created")  # fmt: skip

_log = logging.getLogger(__name__)


def is_url(source: object) -> bool:
    """Whether it names something in a store.

    >>> is_url("s3://bucket/folder"), is_url("simplecache::s3://bucket/folder"), is_url("folder/x.parquet")
    (True, True, False)

    """
    return isinstance(source, str) and _URL.match(source) is not None


def reached(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises:
        ArgumentError: no such protocol, or a password in the URL.
        MissingDependencyError: fsspec, or its package for this protocol, is not installed.
        DataError: the store cannot be reached.

    """
    try:
        from fsspec import available_protocols
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError("fsspec", f"reading {url}", extra="remote") from error
    if urlsplit(url).password:
        raise ArgumentError("a URL must not hold a password, which would be kept in the run; give it to fsspec's "
                            "configuration, or to the environment")  # fmt: skip
    matched = _URL.match(url)
    assert matched is not None
    protocol = matched["protocol"]
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or protocol
        raise MissingDependencyError(package, f"reading {url}") from error
    except ValueError as error:
        if protocol not in available_protocols():
            raise UnknownNameError("protocol", protocol, available_protocols()) from error
        raise ArgumentError(f"{url} is no URL of a store: {error}") from error
    except OSError as error:
        raise DataError(f"{url} cannot be reached: {_words(error)}") from error
    return system, path


def state(about: dict[str, Any], path: str) -> State:
    """What a store tells of a file, in whichever words.

    >>> state({"name": "b/x.npy", "size": 5, "ETag": '"0a"'}, "b/x.npy")
    State(size=5, marks={'etag': '0a'})

    """
    if about.get("size") is None:
        raise DataError(f"{path} cannot be read in parts: the store does not tell its size; copy it to a local folder")
    told = {key.lower().replace("_", ""): value for key, value in about.items()}
    return State(int(about["size"]), {mark: _plain(told[mark]) for mark in _MARKS if told.get(mark) is not None})


def _plain(mark: Any) -> str:
    """Lists and single files differ in how they write the same."""
    return str(mark.timestamp()) if isinstance(mark, datetime) else str(mark).strip('"')


def tried(what: str, work: Callable[[], T]) -> T:
    """What `work` gives, at the third try at the latest; errors of stores are of many types.

    Raises:
        DataError: it cannot; of what was refused, or is not there, at once.

    """
    for wait in (*_WAITS, None):
        try:
            return work()
        except (DataError, MissingDependencyError):
            raise
        except _REFUSED as error:
            raise DataError(f"{what} cannot be read: {_words(error)}") from error
        except Exception as error:
            if wait is None:
                raise DataError(f"{what} cannot be read, in {len(_WAITS) + 1} tries: {_words(error)}") from error
            _log.warning("%s cannot be read: %s; trying again", what, _words(error))
            time.sleep(wait)
    raise AssertionError("unreachable")


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder"
    if isinstance(error, PermissionError):
        return f"access is refused ({error}); credentials are those of the environment, or of fsspec's configuration"
    return f"{type(error).__name__}: {error}"
