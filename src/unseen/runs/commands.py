"""The command that began a run, and by which options it read its data: what leads from a run back to its data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unseen.errors import RunError

__all__ = ["COMMAND", "READ_BY", "options_of", "read_by"]

COMMAND = "command.json"  # in the directory of a run that was begun on the command line

# Options of a subcommand, to those of the readers of data (`unseen.data.resolve`).
READ_BY = {
    "label": "label",
    "target": "target",
    "image": "image",
    "text": "text",
    "feature": "features",
    "id_column": "id",
    "group": "group",
    "split": "split",
    "image_size": "image_size",
    "on_error": "on_error",
}


def options_of(run: Path) -> dict[str, Any]:
    """The options of the command that began a run, its data set among them; of an evaluation, those of its first run.

    Raises:
        RunError: it was not begun on the command line, or the record is damaged.

    """
    options: dict[str, Any]
    try:
        options = json.loads((run / COMMAND).read_bytes())["options"]
        judged = None if "data" in options else Path(options["runs"][0])
    except OSError:
        raise RunError(
            f"{run} does not say which data it read, since it was not begun on the command line; name the data set"
        ) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{run / COMMAND} is damaged; repeat the command that began the run") from error
    return options if judged is None else options_of(judged)


def read_by(run: Path) -> tuple[str, dict[str, Any]]:
    """Which data set a run read, and by which options of `unseen.data.resolve`; errors as of `options_of`."""
    options = options_of(run)
    given = {name: options.get(option) for option, name in READ_BY.items()}
    return str(options["data"]), {name: value for name, value in given.items() if value is not None and value != []}
