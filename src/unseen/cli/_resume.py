"""`unseen resume`: go on with a run that was killed or interrupted, or say whether there is anything to go on with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import typer

from unseen.cli import _decide, _evaluate, _grow, _prune
from unseen.cli import _options as o
from unseen.cli._console import WorkAhead, err, print_json, print_lines
from unseen.core.words import many
from unseen.errors import ArgumentError, CorruptFileError, DataError, RunError

if TYPE_CHECKING:
    from unseen.engine.runs.commands import Command
    from unseen.engine.runs.directory import ReadOnlyRun

COMMAND = "command.json"  # the name of the file, as in `unseen.engine.runs.commands`


class Resumable(NamedTuple):
    """A subcommand that begins a run."""

    command: Callable[..., None]
    print_result: Callable[..., None]  # prints what a finished run holds
    results: tuple[str, ...]  # the files that it has written when it is finished


RESUMABLE = {
    "advise": Resumable(_decide.advise, _decide.print_advice, ("advice.json",)),
    "evaluate": Resumable(_evaluate.evaluate, _evaluate.print_evaluations, ("evaluation.parquet",)),
    "grow": Resumable(_grow.grow, _grow.print_grown, ("scores.parquet", "history.parquet", "coreset.parquet")),
    "prune": Resumable(_prune.prune, _prune.print_pruned, ("scores.parquet", "coreset.parquet")),
    "score": Resumable(_prune.score, _prune.print_scores, ("scores.parquet",)),
    "sweep": Resumable(_decide.sweep, _decide.print_sweep, ("sweep.parquet",)),
}
# Exit codes of --dry-run, told in docs/pipeline.md.
OTHER_DATA, UNFINISHED = 4, 5
# The entries of a manifest that depend on the data.
OF_DATA = ("fingerprint", "test", "features", "coresets")


@o.subcommand("dry_run trust quiet json")
def resume(
    run: Path = o.RUN,
    dry_run: bool = o.option(
        None,
        "Only check whether the data is still what was scored, and what is left to do. Exit code 0: the same data, "
        "all finished; 4: other data; 5: unfinished.",
        default=False,
        names="--dry-run",
    ),
    trust: bool = o.option(
        None,
        "Import the learner and connect to the addresses that the run names, even if another user began it.",
        default=False,
        names="--trust",
    ),
    quiet: bool = o.QUIET,
    json: bool = o.JSON,
) -> None:
    """Continue an interrupted run, to the same numbers as without the interruption.

    The run may have been moved. A finished run is shown, and not changed.

    Examples:
      unseen resume runs/photos
      unseen resume runs/photos --dry-run
    """
    from unseen.engine.runs.commands import list_external, read_command
    from unseen.engine.runs.directory import ReadOnlyRun

    begun = read_command(run)
    name, options = begun.name, _checked(run, begun)
    if not begun.sealed and not trust:
        raise RunError(
            f"{run / COMMAND} has no seal: it is of an early version of unseen, or was edited; repeat the original "
            "command with the same --out, or read the file and add --trust"
        )
    risks = list_external(begun.options)
    if risks and trust:
        _refuse_other_learners(run, begun)
        risks = []
    if dry_run:
        if name == "evaluate" and len(options["learner"] or ()) > 1:
            inside = ", ".join(str(path.parent) for path in sorted(run.glob("*/manifest.json")))
            raise ArgumentError(f"{run} holds an evaluation for each learner; look at one of them: {inside}")
        found = inspect_files(run, begun, risks) if risks else inspect_run(run, name, options)
        if json:
            print_json(found.to_json())
        else:
            print_lines(found.lines())
        raise typer.Exit(found.code)
    # The run may have been moved, and the program asked when it was begun.
    options |= {
        "json": json or options["json"], "quiet": quiet or options["quiet"], "yes": True, "out_dir": run,
    }  # fmt: skip
    if all(ReadOnlyRun(run).holds(result) for result in RESUMABLE[name].results):
        _print_finished(run, begun, options)
        return
    if risks and not begun.own:
        raise RunError(
            f"{run} was not begun by you on this machine, and to go on with it {' and '.join(risks)}; if you know "
            "whom it is from, add --trust"
        )
    RESUMABLE[name].command(**options)


def _print_finished(run: Path, begun: Command, options: dict[str, Any]) -> None:
    """Print the result of a finished run; refuse a run whose command was changed since."""
    from unseen.engine.runs.commands import changed_since

    if lines := changed_since(run, begun):
        head = f"{run} is finished, and {COMMAND} was changed since; repeat the original command with the same --out:"
        raise RunError("\n  ".join([head, *lines]))
    if not options["quiet"] and not options["json"]:
        err.print("finished before: this is its result; the data is not read again")
    RESUMABLE[begun.name].print_result(run, json=options["json"], no_report=options.get("no_report", True))


@dataclass(frozen=True)
class Inspection:
    """What a dry run found."""

    run: Path  # its directory
    command: str  # the subcommand that began it
    data: list[str]  # how the data differs from what was scored, line by line
    other: list[str]  # what else differs: versions, threads, the learner
    finished: bool  # whether every result is there
    fits: int  # trainings finished
    under_way: list[str]  # fits that were begun and not finished
    damaged: list[str]  # files that a resume would make again
    of: int | None = None  # the work that the command announces, in `unit`; None where it cannot run on the data
    done: int | None = None  # how much of it is done; None where only `fits` tells the progress
    unit: str = "fit"  # or `"epoch"`, for commands of several scorings or tests

    @property
    def code(self) -> int:
        """The exit code."""
        if self.data:
            return OTHER_DATA
        return 0 if self.finished else UNFINISHED

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON."""
        return {
            "run": str(self.run),
            "command": self.command,
            "same_data": not self.data,
            "data_differences": self.data,
            "other_differences": self.other,
            "finished": self.finished,
            "fits_finished": self.fits,
            "fits_under_way": self.under_way,
            "work": None if self.of is None else {"unit": f"{self.unit}s", "done": self.done, "of": self.of},
            "damaged": self.damaged,
        }

    def left(self) -> str:
        """Describe what is left to do."""
        if self.data:
            return "cannot be resumed on other data"
        if self.of is None or self.done is None:
            return f"the rest of {many(self.of or 0, self.unit)}"
        left = self.of - self.done
        return f"{left:,} of {many(self.of, self.unit)}" if left else "its results, from the fits that are there"

    def lines(self) -> list[tuple[str, str]]:
        """Describe the findings."""
        lines = [("data", "the same as was scored" if not self.data else "differs from what was scored")]
        lines += [("", line) for line in self.data]
        if self.finished:
            lines.append(("done", "everything: nothing is left to do"))
        else:
            lines.append(("done", f"{many(self.fits, 'fit')} finished"))
            begun = f"; begun: {', '.join(self.under_way)}" if self.under_way else ""
            lines.append(("left", self.left() + begun))
        if self.other:
            lines.append(("note", f"made with other versions or settings{'' if self.finished else ', so not resumed'}"))
            lines += [("", line) for line in self.other]
        return lines + [("files", f"{name} is damaged or lost; a resume makes it again") for name in self.damaged]


def inspect_run(run: Path, name: str, options: dict[str, Any]) -> Inspection:
    """Run the command that began a run up to where its work would begin, and change nothing."""
    from unseen.engine.runs.directory import ReadOnlyRun

    read_only, ahead, refused = ReadOnlyRun(run), None, []
    try:
        RESUMABLE[name].command(**{**options, "out_dir": read_only, "quiet": True})
    except WorkAhead as announced:
        ahead = announced
    except (ArgumentError, DataError) as error:
        # The same command was accepted once, so the data has changed.
        refused = [str(error)]
    lines = read_only.differences or []
    data = [line for line in lines if line.startswith(OF_DATA)]
    return _inspect(read_only, name, [*data, *refused], [line for line in lines if line not in data], ahead)


def inspect_files(run: Path, begun: Command, risks: list[str]) -> Inspection:
    """Inspect only the files of a run whose command would import or connect; compare the data if it is a local file.

    `risks` says in words what running the command would do.
    """
    from unseen.data import resolve
    from unseen.engine.runs import RunDirectory
    from unseen.engine.runs.base import differences, normalise
    from unseen.engine.runs.commands import data_of_run, list_external
    from unseen.engine.runs.directory import ReadOnlyRun

    manifest, data = RunDirectory(run).manifest(), begun.options.get("data")
    known = manifest.get("fingerprint", {})
    if not isinstance(data, str) or any(list_external({"data": data})) or "n" not in known:
        raise RunError(
            f"a dry run of {run} imports and connects to nothing, so it cannot compare the data: repeating the command "
            f"{' and '.join(risks)}; add --trust if that is wanted"
        )
    try:
        source, reading = data_of_run(run)
        here = resolve(source, **reading).fingerprint(full="content" in known)
        lines = differences(*({k: v for k, v in about.items() if k != "groups"} for about in (known, normalise(here))))
    except (ArgumentError, DataError) as error:
        lines = [str(error)]
    not_compared = [f"not compared, because repeating the command {risk}; --trust allows it" for risk in risks]
    return _inspect(ReadOnlyRun(run), begun.name, [f"fingerprint.{line}" for line in lines], not_compared)


def _inspect(
    run: ReadOnlyRun, command: str, data: list[str], other: list[str], ahead: WorkAhead | None = None
) -> Inspection:
    """Inspect the files of a run; `ahead` says how much work its command announces."""
    there = [run.holds(result) for result in RESUMABLE[command].results]  # of all, so that all damage is found
    found = Inspection(run.path, command, data, other, all(there), run.finished(), run.under_way(), run.damaged)
    if ahead is None:
        return found
    if ahead.kind == "plan":
        fits = ahead.about["fits"]
        return replace(found, of=fits, done=min(found.fits, fits))
    epochs = ahead.about["epochs"]  # the number of epochs done is an estimate of the command, for its bar
    return replace(found, of=epochs, done=epochs if found.finished else None, unit="epoch")


def _refuse_other_learners(run: Path, begun: Command) -> None:
    """Refuse a command that would import other learners than the manifest says, before they are imported."""
    from unseen.engine.runs import RunDirectory
    from unseen.learners.registry import is_described

    if not (run / "manifest.json").exists():
        return  # nothing was begun that it could be compared with
    manifest = RunDirectory(run).manifest()
    for name in ("learner", "trainee"):
        spec, about = begun.options.get(name), manifest.get(name)
        if spec is not None and isinstance(about, dict) and not is_described(str(spec), about):
            raise RunError(
                f"{run / COMMAND} names the {name} {spec!r}, but the run was made by {about.get('learner')!r}; repeat "
                "the original command with the same --out"
            )


def _checked(run: Path, begun: Command) -> dict[str, Any]:
    """Return the options of the command; refuse an option that does not have its type on the command line."""
    if begun.name not in RESUMABLE:
        raise RunError(f"{run / COMMAND} names the command {begun.name!r}, which no run begins with; it was edited")
    known = inspect.signature(RESUMABLE[begun.name].command, eval_str=True).parameters
    if gone := sorted(set(begun.options) - set(known)):
        raise RunError(
            f"{run} was begun by a version of unseen whose {begun.name} had other options ({', '.join(gone)}); it can "
            "be read and reported, but not continued: begin anew with another --out"
        )
    options: dict[str, Any] = {}
    for parameter in known.values():
        if parameter.name == "out_dir":
            continue
        given = begun.options.get(parameter.name, parameter.default)
        if isinstance(given, str) and _is_of([given], parameter.annotation):
            given = [given]  # an option that may be repeated, and that was given once
        needed = parameter.default is parameter.empty
        if given is parameter.empty or (needed and given == []) or not _is_of(given, parameter.annotation):
            got = "it is missing" if given is parameter.empty else f"got {given!r}"
            raise CorruptFileError(
                f"{run / COMMAND}: {parameter.name} is not what {begun.name} takes, {got}; repeat the original command "
                "with the same --out"
            )
        options[parameter.name] = given
    if options.get("features") is not None:
        options["features"] = Path(options["features"])
    return options


def _is_of(value: Any, kind: Any) -> bool:
    """Return whether a value read from JSON is one that a parameter of this type gets on the command line."""
    origin, of = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is_of(value, of[0])
    if origin is Literal:
        return isinstance(value, str) and value in of
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in of)
    if origin is list:
        return isinstance(value, list) and all(_is_of(item, of[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, {Path: str}.get(kind, kind))
