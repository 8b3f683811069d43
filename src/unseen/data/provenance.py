"""Where vectors come from: what the `provenance.json` beside them says, and what follows for held-out scores.

A model that was trained on these labels has seen every sample. Whatever is fitted on its vectors and held out is held
out from the head alone, so scores on such vectors are not held out, and no plan can mend that.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.errors import DataError

__all__ = ["FORMAT", "LABELS", "PROVENANCE", "note", "provenance_of", "warn_if_seen"]

PROVENANCE = "provenance.json"
FORMAT = "unseen embedding 1"

# What is known of the labels that an embedding was trained on, and what to say of it.
LABELS = {
    "none": "no label takes part in it",
    "unknown": (
        "it is not known whether it was trained on these labels; if it was, held-out scores are not held out "
        "(see docs/embeddings.md)"
    ),
    "these": "it was trained on THESE labels: held-out scores from it are NOT held out (see docs/embeddings.md)",
    "others": "it was trained on other labels, not on these",
}


def provenance_of(folder: Path) -> dict[str, Any] | None:
    """What `unseen.embed` wrote beside the arrays in a folder; None if they are not of its making.

    Raises:
        DataError: the file is damaged.

    """
    try:
        found = json.loads((folder / PROVENANCE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / PROVENANCE} is damaged: {error}; embed again, into a new folder") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    if found.get("labels") not in LABELS or not isinstance(found.get("embedding"), dict):
        raise DataError(f"{folder / PROVENANCE} is damaged: labels must be one of {', '.join(LABELS)}")
    return found


def note(provenance: Mapping[str, Any]) -> str:
    """One sentence for the notes of the data set.

    >>> note({"embedding": {"by": "patches"}, "labels": "none"})
    'embedded by patches: no label takes part in it'
    """
    made = provenance["embedding"]
    trained_on = f" (trained on {made['trained_on']})" if "trained_on" in made else ""
    return f"embedded by {made['by']}{trained_on}: {LABELS[provenance['labels']]}"


def warn_if_seen(provenance: Mapping[str, Any], where: str) -> None:
    """Warn where the embedding has seen these labels."""
    if provenance["labels"] == "these":
        warnings.warn(
            f"the vectors in {where} were made by {provenance['embedding']['by']}, which was trained on these labels: "
            "every sample has been seen, so held-out scores from them are not held out, and errors in labels look "
            "right. Embed by a model that never saw these labels, such as the built-in untrained features",
            UserWarning,
            stacklevel=4,
        )
