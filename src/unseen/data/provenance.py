"""The provenance of embeddings: whether the model that made these vectors was trained on their labels.

It is in the `provenance.json` beside the vectors. A model that was trained on these labels has seen every sample, and
scores on its vectors are not held out, whatever the plan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.errors import DataError, warn

PROVENANCE = "provenance.json"
FORMAT = "unseen embedding 1"

# What is known of the labels that an embedding was trained on, and the text for it.
LABELS = {
    "none": "it uses no labels",
    "unknown": (
        "it is not known whether it was trained on these labels; if it was, held-out scores are not held out "
        "(see docs/embeddings.md)"
    ),
    "these": "it was trained on THESE labels: held-out scores from it are NOT held out (see docs/embeddings.md)",
    "others": "it was trained on other labels, not on these",
}


def provenance_of(folder: Path) -> dict[str, Any] | None:
    """Read the provenance that `unseen.embed` wrote in a folder; None if it did not make the folder."""
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
    """Describe the embedding in one sentence, for the notes of the data set.

    >>> note({"embedding": {"by": "patches"}, "labels": "none"})
    'embedded by patches: it uses no labels'
    """
    made = provenance["embedding"]
    trained_on = f" (trained on {made['trained_on']})" if "trained_on" in made else ""
    return f"embedded by {made['by']}{trained_on}: {LABELS[provenance['labels']]}"


def warn_if_seen(provenance: Mapping[str, Any], where: str) -> None:
    """Warn if the embedding was trained on these labels."""
    if provenance["labels"] == "these":
        warn(
            f"the vectors in {where} were made by {provenance['embedding']['by']}, which was trained on these labels: "
            "every sample has been seen, so held-out scores from them are not held out, and errors in labels look "
            "right. Embed by a model that never saw these labels, such as the built-in untrained features",
        )
