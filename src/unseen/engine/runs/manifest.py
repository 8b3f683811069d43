"""Sealed JSON, which carries its own digest, and the comparison of two configurations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import zip_longest
from typing import Any

from unseen.errors import ArgumentError, RunError, RunMismatchError

FORMAT = 1  # of the files of a run

_SEAL = "seal"
_ABSENT = object()
_MOST = 20
_OBJECTS = ("versions", "plan", "learner", "settings", "scores", "fingerprint")  # in a manifest


def normal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as JSON gives it back: NumPy numbers and arrays become numbers and lists, tuples lists.

    >>> normal({"k": (1, 2)})
    {'k': [1, 2]}
    """
    read: dict[str, Any] = json.loads(_canonical(content))
    return read


def digest_of(content: Mapping[str, Any]) -> str:
    """Return a digest of 32 hexadecimal digits; equal objects have equal digests, whatever the order of their keys.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return blake2b(_canonical(content), digest_size=16).hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """Return canonical JSON (sorted keys, two spaces, a newline at the end) with the digest of its content.

    >>> print(seal({"seed": 0}).decode(), end="")
    {
      "seal": "4186abf3a14d61a8812e2fb2f2d46c69",
      "seed": 0
    }
    """
    if _SEAL in content:
        raise ArgumentError(f"the key {_SEAL!r} is taken: it holds the digest of the rest")
    return _canonical({**content, _SEAL: digest_of(content)})


def unseal(raw: bytes) -> dict[str, Any] | None:
    """Return the object that `seal` wrote, or None if a single bit of it was changed.

    >>> unseal(seal({"seed": 0})), unseal(seal({"seed": 0}).replace(b"0", b"1"))
    ({'seed': 0}, None)
    """
    content = parse_object(raw)
    if content is None or _SEAL not in content:
        return None
    found = content.pop(_SEAL)
    try:
        whole = bool(found == digest_of(content) and seal(content) == raw)
    except (ArgumentError, RecursionError):  # such as JSON with NaN
        return None
    return content if whole else None


def parse_object(raw: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; return None if the bytes are not one."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def differences(run: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the values that differ, one line each, with their places written with dots; the first 20.

    >>> differences({"seed": 0, "plan": {"k": 5}}, {"seed": 0, "plan": {"k": 4}, "jobs": 2})
    ['jobs: absent (run) != 2 (now)', 'plan.k: 5 (run) != 4 (now)']
    """
    lines = [f"{place}: {_show(a)} (run) != {_show(b)} (now)" for place, a, b in _compare("", run, now)]
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"... ({len(lines)} in all)"]


def check_same(name: str, run: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue the run `name` with another configuration; the message lists what differs.

    >>> try:
    ...     check_same("runs/x", {"seed": 0}, {"seed": 1})
    ... except RunMismatchError as error:
    ...     print(error)
    runs/x is the run of another configuration; repeat its options, or choose another --out:
      seed: 0 (run) != 1 (now)
    """
    if differing := differences(run, now):
        head = f"{name} is the run of another configuration; repeat its options, or choose another --out:"
        raise RunMismatchError("\n  ".join([head, *differing]))


def refuse_newer(name: str, manifest: Mapping[str, Any]) -> None:
    """Refuse a run whose files have a newer format than this version reads.

    >>> refuse_newer("runs/x", {"format": 2, "versions": {"unseen": "9.0"}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    unseen.errors.RunError: runs/x is a run of format 2, written by unseen 9.0, but ... up to 1; upgrade unseen
    """
    found = manifest.get("format", FORMAT)
    if isinstance(found, int) and found <= FORMAT:
        return
    versions = manifest.get("versions")
    writer = versions.get("unseen", "?") if isinstance(versions, Mapping) else "?"
    raise RunError(
        f"{name} is a run of format {found}, written by unseen {writer}, but this version reads formats up to "
        f"{FORMAT}; upgrade unseen"
    )


def find_malformed(manifest: Mapping[str, Any]) -> str | None:
    """Describe the first value of a manifest that has not the type that unseen writes, or return None.

    >>> find_malformed({"seed": 0, "fingerprint": []})
    'fingerprint must be an object, got []'
    """
    seed = manifest.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        return f"seed must be an integer, got {_show(seed)}"
    for name in _OBJECTS:
        if not isinstance(found := manifest.get(name, {}), dict):
            return f"{name} must be an object, got {_show(found)}"
    return None


def _compare(place: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _compare(f"{place}.{key}" if place else key, a.get(key, _ABSENT), b.get(key, _ABSENT))
    elif isinstance(a, list) and isinstance(b, list):
        for i, (x, y) in enumerate(zip_longest(a, b, fillvalue=_ABSENT)):
            yield from _compare(f"{place}[{i}]", x, y)
    elif type(a) is not type(b) or a != b:
        yield place, a, b


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _canonical(content: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=True, default=_make_plain)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"what a run keeps as JSON must be JSON with text keys and finite numbers: {error}"
        ) from error
    return text.encode() + b"\n"


def _make_plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is not JSON: {value!r}")
