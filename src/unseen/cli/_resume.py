"""`unseen resume`: go on with a run that was killed or interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unseen.cli import _advise, _evaluate, _grow, _prune, _score, _sweep
from unseen.cli import _options as o
from unseen.errors import RunError

COMMANDS: dict[str, Callable[..., None]] = {
    "advise": _advise.command,
    "evaluate": _evaluate.command,
    "grow": _grow.command,
    "prune": _prune.command,
    "score": _score.command,
    "sweep": _sweep.command,
}


def command(run: o.Run, quiet: o.Quiet = False, json: o.Json = False) -> None:
    """Continue a run to the same numbers it would have reached unbroken, from the command that began it.

    A run that was moved is continued where it is now. A finished one is shown.

    Examples:
      unseen resume runs/photos
    """
    name, options = _remembered(run)
    options["out_dir"] = run  # it may have been moved
    if options.get("features") is not None:
        options["features"] = Path(options["features"])
    options["quiet"] = quiet or options["quiet"]
    options["json"] = json or options["json"]
    COMMANDS[name](**options)


def _remembered(run: Path) -> tuple[str, dict[str, Any]]:
    path = run / "command.json"
    try:
        remembered = json.loads(path.read_bytes())
        name, options = remembered["command"], dict(remembered["options"])
        if name not in COMMANDS or not {"quiet", "json"} <= options.keys():
            raise KeyError(name)
    except OSError:
        raise RunError(
            f"{run} holds no command to resume: it was not begun by `unseen prune` or `unseen score`, or no training "
            "had begun; repeat the original call with the same --out"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged; repeat the original command with the same --out") from error
    return name, options
