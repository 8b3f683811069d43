"""Docstrings as the site reads them: an example in the middle of the text is code, not a quotation."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SESSION = re.compile(r"^(>>> .*(?:\n(?!\s*\n).+)*)", flags=re.M)


class Examples(Extension):
    """Marks sessions of the interpreter as such."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Sections named `Example:` are those that griffe calls `Examples:`; bare sessions are fenced."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
        obj.docstring.value = SESSION.sub(r"```pycon\n\1\n```", text)
