"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unseen.atomic import storage_error
from unseen.runs.files import read_whole

__all__ = ["EventLog", "record", "spent"]

# What is read back of an event, by its kind.
_NEEDED = {
    "epoch": ("fit", "epoch"),
    "fit_end": ("fit", "seconds"),
    "choosing": ("arm", "trainings", "seconds", "samples"),
}


def record(kind: str, fields: Mapping[str, object]) -> dict[str, Any]:
    """An event as it is kept: when, by whom, what."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": kind,
        **fields,
    }


def spent(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of each fit, those of epochs that a kill undid included.

    >>> epochs = [{"kind": "epoch", "fit": "r0f0", "seconds": 1.5, "observe_seconds": 0.25}] * 2
    >>> spent([*epochs, {"kind": "fit_end", "fit": "r0f0", "seconds": 4.0}])
    {'r0f0': 4.0}

    """
    epochs: dict[str, float] = {}
    whole: dict[str, float] = {}
    for event in events:
        if event["kind"] == "epoch" and "seconds" in event:
            seconds = event["seconds"] + event.get("observe_seconds", 0.0)
            epochs[event["fit"]] = epochs.get(event["fit"], 0.0) + seconds
        elif event["kind"] == "fit_end":
            whole[event["fit"]] = whole.get(event["fit"], 0.0) + event["seconds"]
    # An unbroken fit took longer than its epochs; of a broken one only the epochs tell the whole.
    return {fit: max(epochs.get(fit, 0.0), whole.get(fit, 0.0)) for fit in {**epochs, **whole}}


class EventLog:
    """Events appended to a file, each in one write, so that a kill tears the last line at most."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one line; on failure the log is as it was.

        Raises:
            StorageError: it cannot be written.

        """
        line = json.dumps(event, default=str).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                _write_all(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def repair(self) -> None:
        """Cut off a last line that a kill left unfinished."""
        try:
            raw = read_whole(self.path)
        except FileNotFoundError:
            return
        if raw and not raw.endswith(b"\n"):
            os.truncate(self.path, raw.rfind(b"\n") + 1)

    def read(self) -> list[dict[str, Any]]:
        """Every readable line, oldest first; torn and damaged ones are left out."""
        try:
            lines = read_whole(self.path).split(b"\n")
        except FileNotFoundError:
            return []
        events = (_parsed(line) for line in lines if line)
        return [event for event in events if event is not None]


def _write_all(handle: int, line: bytes) -> None:
    before = os.fstat(handle).st_size
    try:
        while line:
            line = line[os.write(handle, line) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, before)
        raise


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _sound(event) else None


def _sound(event: Mapping[str, Any]) -> bool:
    """Whether what is read back of an event is there and of its type; another program may have written here."""
    if not all(name in event for name in _NEEDED.get(str(event.get("kind")), ())):
        return False
    texts = [event.get("kind"), event.get("fit", "")]
    numbers = [event.get(name, 0.0) for name in ("seconds", "observe_seconds", "epoch", "trainings")]
    samples = event.get("samples")
    return all(isinstance(text, str) for text in texts) and all(
        isinstance(number, (int, float)) and not isinstance(number, bool)
        for number in (*numbers, 0 if samples is None else samples)
    )
