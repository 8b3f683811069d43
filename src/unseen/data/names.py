"""Data sets by name: `openml:adult`, which scikit-learn downloads, and `hf:user/name:split`, which `datasets` does.

Both libraries keep what they have downloaded. Without a network, a name ends in one line, within seconds.
"""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from unseen.data.datasets import HuggingFaceFormat
from unseen.data.formats import Place
from unseen.data.frames import FrameFormat
from unseen.errors import ArgumentError, DataError, MissingDependencyError

_PATIENCE = 15.0  # seconds until a server must answer; its library waits without end, or tries again for long


def _is_named(source: object, place: str) -> bool:
    """Tell whether a source is the name of a data set that is downloaded; `hf://...` is a URL."""
    return isinstance(source, Place) and re.match(f"{place}:(?!//)", str(source.given)) is not None


class OpenmlFormat(FrameFormat):
    """A data set of OpenML as a frame, with its target as the label: `openml:adult`, or `openml:adult@2`."""

    about = ('"openml:adult"', 'a data set of OpenML by its name; "openml:adult@2" is its version 2')

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a name."""
        return _is_named(source, "openml")

    def __init__(self, source: Any, **given: Any) -> None:
        found = _fetch_openml(str(source))
        targets = list(found.target_names or ())
        if given.get("label") is None and given.get("target") is None and len(targets) == 1:
            given["label"] = targets[0]
        super().__init__(found.frame, **given)
        about = found.details
        version = f"version {about.get('version')} of OpenML's {about.get('name')}, id {about.get('id')}"
        self.notes += (f"{source} is {version}",)


class HubFormat(HuggingFaceFormat):
    """One split of a data set of the Hugging Face hub: `hf:user/name:split`."""

    about = ('"hf:user/name:split"', "a split of a data set of the Hugging Face hub")

    @classmethod
    def reads(cls, source: Any) -> bool:
        """Tell whether it is such a name."""
        return _is_named(source, "hf")

    def loaded(self, source: Any) -> Any:
        """Download the split, or read what the library has kept of it."""
        return _load_from_hub(str(source))


def _fetch_openml(named: str) -> Any:
    name, at, version = named.removeprefix("openml:").partition("@")
    if not name or (at and not re.fullmatch("[1-9][0-9]*", version)):
        raise ArgumentError(
            f"a name of OpenML is openml:NAME or openml:NAME@VERSION, as in openml:adult@2, got {named!r}"
        )
    from sklearn.datasets import fetch_openml

    try:
        with _impatient(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # several versions, which a note tells; another try
            return fetch_openml(name, version=int(version) if at else "active", as_frame=True, n_retries=1)
    except ImportError as error:
        raise MissingDependencyError("pandas", f"reading {named}") from error
    except (ValueError, HTTPException) as error:  # no such name or version, no table, a broken file
        raise DataError(f"{named} cannot be read from OpenML: {_line(error)}") from error
    except OSError as error:  # those of urllib among them
        raise DataError(f"{named} cannot be downloaded: {_line(error)}; {_AGAIN}") from error


_AGAIN = "try again with a network, or give the path of a file"


@contextmanager
def _impatient() -> Iterator[None]:
    """Give every new socket a time limit, since urllib has none of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load_from_hub(named: str) -> Any:
    """Return one split of a data set of the Hugging Face hub, as a `datasets.Dataset`.

    Raises:
        ArgumentError: no split is named.
        MissingDependencyError: `datasets` is not installed.
        DataError: no such data set or split, or no network.
    """
    parts = re.fullmatch(r"hf:([^:]+):([^:\[\]]+(?:\[[^\]]*\])?)", named)
    if parts is None:
        raise ArgumentError(
            f"a name of the hub is hf:USER/NAME:SPLIT or hf:NAME:SPLIT, as in hf:ag_news:train, got {named!r}"
        )
    name, split = parts.groups()
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError("datasets", f"reading {named}", extra="huggingface") from error
    try:
        _check_hub(name, datasets.config.HF_HUB_OFFLINE)
        return datasets.load_dataset(name, split=split)
    except ConnectionError as error:
        kept = "HF_HUB_OFFLINE=1 reads what was downloaded before"
        raise DataError(f"{named} cannot be downloaded: {_line(error)}; {_AGAIN}; {kept}") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{named} cannot be read from the hub: {_line(error)}") from error


def _check_hub(name: str, offline: bool) -> None:
    """Ask the hub once for this name, since `load_dataset` asks for half a minute before it gives up."""
    if offline:
        return
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(name, timeout=_PATIENCE)
    except ValueError:
        return  # no name of a data set, as `load_dataset` will say
    except Exception as error:  # its client for HTTP, whose errors these are, depends on its version
        if getattr(error, "response", None) is None:
            raise ConnectionError(f"the hub does not answer ({_line(error)})") from error


def _line(error: BaseException) -> str:
    """Return the message of an error of another library in one line."""
    reason = getattr(error, "reason", None)
    text = " ".join(str(error if reason is None else reason).split())
    return text if len(text) <= 300 else f"{text[:300]}..."
