"""Names of files from whatever a data set calls its classes and samples."""

from __future__ import annotations

import re
from hashlib import blake2b

__all__ = ["safe_name"]

_MOST = 180  # bytes; file systems allow 255, and a suffix is added
_UNSAFE = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows, with any suffix


def safe_name(text: str) -> str:
    """One plain file name, on any system, in any script; different texts get different names.

    What cannot be in a name is written as `%` and its code: separators, control characters, a dot or an underscore
    in front (`..`, hidden files, which readers leave out), dots and spaces at the end. A text that is too long ends in
    its digest.

    >>> [safe_name(text) for text in ("cat", "a/b", "..", "_x", "", "nul", "100 %", "кот")]
    ['cat', 'a%2Fb', '%2E%2E', '%5Fx', '%', '%6Eul', '100 %25', 'кот']

    """
    name = _UNSAFE.sub(_coded, text)
    name = re.sub(r"^[.\s~_-]|[.\s]+$", _coded, name) or "%"
    if _RESERVED.fullmatch(name):
        name = _code(name[0]) + name[1:]
    if len(name.encode()) > _MOST:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        name = name.encode()[: _MOST - len(digest) - 1].decode("utf-8", "ignore") + "~" + digest
    return name


def _coded(found: re.Match[str]) -> str:
    return "".join(map(_code, found[0]))


def _code(sign: str) -> str:
    return f"%{ord(sign):02X}"
