"""`unseen resume`: go on with a run that was killed or interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from unseen.cli import _options as o
from unseen.cli import _prune, _score
from unseen.errors import RunError


def command(run: o.Run) -> None:
    """Continue a run to the same numbers it would have reached unbroken, from the command that began it.

    Example: unseen resume runs/photos
    """
    path = run / "command.json"
    try:
        remembered = json.loads(path.read_text())
        options = dict(remembered["options"])
        called: Callable[..., None] = {"prune": _prune.command, "score": _score.command}[remembered["command"]]
    except FileNotFoundError:
        raise RunError(
            f"{run} holds no command to resume: it was not begun by `unseen prune` or `unseen score`, or no training "
            "had begun; repeat the original call with the same out"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); repeat the original command") from error
    # The run may have been moved since.
    options["out_dir"] = run
    if options.get("features") is not None and called is _prune.command:
        options["features"] = Path(options["features"])
    called(**options)
