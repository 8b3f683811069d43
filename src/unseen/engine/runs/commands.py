"""The command that began a run, with the options by which it read its data.

By the command, a run can be continued, and its data set can be opened again for a report or an export. `command.json`
is sealed like the manifest, and names the manifest that it belongs to. A seal finds damage and edits, but anybody can
make one. Another user must not decide what a command imports or connects to. So such a command is signed with a key
that only this user can read; the key is made with the first such run. The options are also kept beside the digests of
the results, because the options of a finished run must not change later.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from unseen.core.files import replace_file
from unseen.engine.runs.base import differences, digest_of, normalise, parse_object, read_whole, seal, unseal
from unseen.engine.runs.directory import OUTPUTS, RunDirectory
from unseen.errors import CorruptFileError, RunError

COMMAND = "command.json"  # in the directory of a run that was begun on the command line
FORMAT = 2  # of this file; 1 had no seal

# From the options of a subcommand to the options of `unseen.data.resolve`.
_SAME = ("label", "target", "image", "text", "group", "split", "image_size", "mode", "x", "on_error")
READ_BY = {"feature": "features", "id_column": "id"} | {name: name for name in _SAME}

# Options that change no result: what is shown, and where fits run (law 2).
_WITHOUT_EFFECT = ("json", "no_report", "out_dir", "quiet", "log", "yes", "jobs", "executor", "address")
_LEARNERS = ("learner", "trainee")
_PLACES = ("data", "test", "features", "start", "runs")
_REGISTERED = re.compile(r"(sklearn:|torch:)?[\w.-]+(:[^:]*=[^:]*)?")  # a name with options, none of them a module
_ELSEWHERE = re.compile(r"(openml|hf):|[A-Za-z][A-Za-z0-9+.-]*(::|://)")  # a name that is downloaded, or a URL
_REPEAT = "repeat the original command with the same --out"


@dataclass(frozen=True)
class Command:
    """The command that began a run."""

    name: str  # the subcommand
    options: dict[str, Any]  # its options by name
    sealed: bool  # whether it has a seal; the runs of early versions have none
    own: bool  # whether this user signed it


def command_of(command: str, given: dict[str, Any], **resolved: Any) -> dict[str, Any]:
    """Return a subcommand and its options as JSON, from which `unseen resume` calls it again from any folder.

    `given` are its parameters, whose bundles are unfolded. Options `resolved` from the data replace those given.
    """
    flat: dict[str, Any] = {}
    for name, value in given.items():
        flat |= vars(value) if is_dataclass(value) else {name: value}
    flat |= resolved
    flat.pop("yes", None)  # it is about this call
    options = {name: str(value) if isinstance(value, Path) else value for name, value in flat.items()}
    for name in ("data", "features", "test"):
        if options.get(name) not in (None, "digits") and Path(options[name]).exists():
            options[name] = str(Path(options[name]).absolute())
    library, _, folder = (options.get("log") or "").partition(":")
    if library == "tensorboard" and folder:
        options["log"] = f"{library}:{Path(folder).absolute()}"
    return {"command": command, "options": options}


def keep_command(run: Path, command: Mapping[str, Any]) -> None:
    """Write the command of an open run."""
    try:
        owner = digest_of(RunDirectory(run).manifest())
    except RunError:  # the first step is in a run inside this one, which has no manifest yet
        RunDirectory(run).refuse_occupied()
        owner = None
    content = {"format": FORMAT, **command, "manifest": owner}
    if list_external(command["options"]) and (signature := _sign(content, make=True)) is not None:
        content["signature"] = signature
    if owner is not None:
        with suppress(CorruptFileError):  # a damaged file is moved aside when a result is saved
            kept = RunDirectory(run).outputs()
            if kept is None or kept["manifest"] != owner:
                kept = {"manifest": owner, "digests": {}}
            deciding = normalise(_deciding_options(command["command"], command["options"]))
            if kept.get("command") != deciding:  # such as with fewer seeds
                listed = {**kept, "command": deciding, **({"more": True} if kept["digests"] else {})}
                replace_file(run / OUTPUTS, lambda file: file.write(seal(listed)))
    replace_file(run / COMMAND, lambda file: file.write(seal(content)))


def changed_since(run: Path, command: Command) -> list[str]:
    """List the options in which a command differs from the one behind the results of a run, if that is known."""
    kept = (RunDirectory(run).outputs() or {}).get("command")
    now = _deciding_options(command.name, command.options)
    return differences(kept, {**kept, **now}) if isinstance(kept, dict) else []


def _deciding_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"command": name, **{key: value for key, value in options.items() if key not in _WITHOUT_EFFECT}}


def read_command(run: Path) -> Command:
    """Read the command that began a run; refuse one that is damaged, was edited, or belongs to another run."""
    path = run / COMMAND
    raw = read_whole(path)
    if raw is None and not run.exists():
        raise RunError(f"there is no run {run}")
    if raw is None:
        raise RunError(
            f"{run} was not begun on the command line, or no training had begun: there is no {COMMAND}; repeat the "
            "original call with the same out="
        )
    content = parse_object(raw)
    sealed = content is not None and "seal" in content
    if sealed:
        content = unseal(raw)
    if content is None or not isinstance(content.get("command"), str) or not isinstance(content.get("options"), dict):
        raise CorruptFileError(f"{path} is damaged or was edited; {_REPEAT}")
    if sealed and content.get("format") != FORMAT:
        raise RunError(
            f"{path} is of format {content.get('format')!r}, and this version reads {FORMAT}; upgrade unseen"
        )
    # None where the first step is in a run inside this one, and this one had no manifest yet.
    owner = content.get("manifest")
    if sealed and owner is not None and owner != digest_of(RunDirectory(run).manifest()):
        raise CorruptFileError(f"{path} belongs to another manifest than {run / 'manifest.json'}; {_REPEAT}")
    signature = content.pop("signature", None)
    own = (
        sealed
        and isinstance(signature, str)
        and hmac.compare_digest(signature.encode(), (_sign(content, make=False) or "").encode())
    )
    return Command(content["command"], content["options"], sealed, own)


def list_external(options: Mapping[str, Any]) -> list[str]:
    """List in words what a command with these options may import or connect to.

    >>> list_external({"learner": "sklearn:os:abort", "data": "s3://bucket/x", "trainee": "convnet:epochs=2"})
    ["imports learner 'sklearn:os:abort'", "connects to data 's3://bucket/x'"]
    >>> list_external({"learner": "convnet:network=os:abort", "executor": "ray", "address": "host:1"})
    ["imports learner 'convnet:network=os:abort'", "connects to address 'host:1'"]
    """
    found = [
        f"imports {name} {options[name]!r}"
        for name in _LEARNERS
        if options.get(name) is not None and not _REGISTERED.fullmatch(str(options[name]))
    ]
    for name in _PLACES:
        value = options.get(name)
        places = value if isinstance(value, list) else [value]
        found += [f"connects to {name} {place!r}" for place in places if _ELSEWHERE.match(str(place))]
    if options.get("address") is not None:
        found.append(f"connects to address {options['address']!r}")
    if "address" in str(options.get("executor")):
        found.append(f"connects to executor {options['executor']!r}")
    return found


def options_of(run: Path, *, learner: bool = False, deeper: int = 3) -> dict[str, Any]:
    """Return the options of the command that began a run, with its data set; for an evaluation, of its first run.

    Options that would connect to what another user named are refused, with `learner` also those that would import it.
    Up to `deeper` runs may stand between an evaluation and its data.
    """
    if not (run / COMMAND).exists():
        raise RunError(
            f"{run} does not say which data it read, since it was not begun on the command line, or no training had "
            "begun; name the data set"
        )
    command = read_command(run)
    options = command.options
    if "data" not in options:
        runs = options.get("runs")
        if not isinstance(runs, list) or not runs or not isinstance(runs[0], str) or not deeper:
            raise CorruptFileError(f"{run / COMMAND} names neither data nor runs; {_REPEAT}")
        return options_of(Path(runs[0]), learner=learner, deeper=deeper - 1)
    if not command.own:
        read = {"data": "the data set", **({"learner": "the learner"} if learner else {})}
        for name, what in read.items():
            if found := list_external({name: options.get(name)}):
                raise RunError(f"{run} was not begun by you on this machine, and it {found[0]}; name {what} yourself")
    return options


def data_of_run(run: Path) -> tuple[str, dict[str, Any]]:
    """Return the data set of a run and its options for `unseen.data.resolve`; raise the errors of `options_of`."""
    options = options_of(run)
    given = {name: options.get(option) for option, name in READ_BY.items()}
    return str(options["data"]), {name: value for name, value in given.items() if value is not None and value != []}


def ignore_reading_warnings() -> AbstractContextManager[object]:
    """Ignore, inside the block, warnings on how the data of a run is read: the run told them when it first read it."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _sign(content: Mapping[str, Any], *, make: bool) -> str | None:
    """Sign by the key of this user, 32 bytes in a file that only this user can read; None without such a file."""
    try:
        place = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "unseen" / "key"
        if make and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(32))
        status = place.stat()
        secret = status.st_uid == os.getuid() and not status.st_mode & 0o077 and status.st_size == 32
        key = place.read_bytes() if secret else None
    except (OSError, RuntimeError):  # no home, or none that can be written
        return None
    return None if key is None else hmac.new(key, digest_of(content).encode(), "sha256").hexdigest()
