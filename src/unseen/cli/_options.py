"""Options that several subcommands share, and how their texts become values.

How a data set is read: its options, written once and added to every subcommand that reads one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from unseen.core.exposure import Plan
from unseen.core.plans import folds, halves, leave_one_out, seen
from unseen.engine.runs.commands import READ_BY
from unseen.errors import ArgumentError, BudgetError, DataError
from unseen.rules.budgets import amounts as amounts_of
from unseen.rules.registry import resolve as resolve_rule

__all__ = ["Reading", "options", "reads_data", "reads_labels"]


DATA = "Data"
WORK = "Work"
CHOICE = "Choice"

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of images (one folder a class), a parquet file or a folder of them, a .csv, .jsonl or .npz "
        "file, 'digits', or the URL of parquet or npy shards in a store (s3://bucket/folder).",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", metavar="RUN", help="Directory that keeps the run; the same command continues it after a kill."
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT", help="How much to keep: a fraction (0.7, 70%) or a count (35000).", rich_help_panel=CHOICE
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(metavar="AMOUNT", help="How much to remove, in place of --keep.", rich_help_panel=CHOICE),
]
Rule = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Rule and its options, such as stratified:cutoff=0.1; see `unseen rules`. [default: stratified, less as "
        "many of the hardest as held-out models got wrong]",
        rich_help_panel=CHOICE,
    ),
]
Quota = Annotated[
    str | None,
    typer.Option(
        metavar="QUOTA",
        help="Budgets a class: proportional, uniform or error (held-out class error).",
        rich_help_panel=CHOICE,
    ),
]
Align = Annotated[
    str | None,
    typer.Option(
        metavar="ALIGN",
        help="How scores of different folds are joined: rank, none or temperature.",
        rich_help_panel=CHOICE,
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .npy file (n, d) for rules that read features.", rich_help_panel=CHOICE),
]
PlanName = Annotated[
    Literal["folds", "halves", "seen", "leave_one_out"] | None,
    typer.Option(
        "--plan",
        help="Exposure plan; 'seen' is the classic in-sample score. [default: halves; folds with --folds, and for "
        "learners in closed form]",
        rich_help_panel=WORK,
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(metavar="N", help="Number of folds, of the plan 'folds'. [default: 5]", rich_help_panel=WORK),
]
Repeats = Annotated[
    int, typer.Option(metavar="N", help="Repetitions of the plan with other seeds.", rich_help_panel=WORK)
]
Learner = Annotated[
    str | None,
    typer.Option(
        metavar="LEARNER",
        help="Learner and its options, such as convnet:epochs=8; see `unseen learners`.",
        rich_help_panel=WORK,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The root seed.", rich_help_panel=WORK)]
Jobs = Annotated[int, typer.Option(metavar="N", help="Fits trained at the same time.", rich_help_panel=WORK)]
Executor = Annotated[
    str,
    typer.Option(
        metavar="EXECUTOR",
        help="Where fits run: local; ray, on this machine or a cluster; ray:num_gpus=1, a GPU a fit.",
        rich_help_panel=WORK,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The Ray cluster. [default: Ray is started here]", rich_help_panel=WORK),
]
JobsOrNone = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="Fits trained at the same time. [default: 1; with Ray as many as there is room for]",
        rich_help_panel=WORK,
    ),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads a fit; default: all, shared.", rich_help_panel=WORK)
]
Groups = Annotated[
    Literal["duplicates", "none"],
    typer.Option(help="Keep exact copies in one fold, or do not.", rich_help_panel=WORK),
]
Verify = Annotated[
    Literal["cheap", "full"],
    typer.Option(help="Fingerprint of the data: of a sample of the content, or of all.", rich_help_panel=DATA),
]
Test = Annotated[
    str | None,
    typer.Option(metavar="DATA", help="The test set, read as DATA is. [default: none]", rich_help_panel=DATA),
]
Probe = Annotated[
    float,
    typer.Option(metavar="SHARE", help="Without --test: the share of DATA set aside to test on.", rich_help_panel=DATA),
]
Overlap = Annotated[
    Literal["refuse", "drop"],
    typer.Option(
        help="Test samples that are copies of training samples: refuse, or leave them out.", rich_help_panel=DATA
    ),
]
Seeds = Annotated[
    int, typer.Option(metavar="N", help="Replicates, each with other seeds throughout.", rich_help_panel=WORK)
]
Fixed = Annotated[
    Literal["epochs", "iterations"],
    typer.Option("--fix", help="What is fixed when less data is trained on.", rich_help_panel=WORK),
]
Trainee = Annotated[
    str | None,
    typer.Option(
        metavar="LEARNER",
        help="Who is trained on the coresets, if another than the learner that scores.",
        rich_help_panel=WORK,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing else.")]


def amount(text: str | None, name: str) -> float | int | None:
    """`"700"` is a count, `"0.7"` a fraction, and so is `"70%"`."""
    if text is None:
        return None
    try:
        return amounts_of(keep=text, prune=None)["keep"]
    except BudgetError:
        raise BudgetError(f"--{name} must be a count (700) or a fraction (0.7, 70%), got {text!r}") from None


def amounts(texts: list[str] | None, name: str) -> list[float] | None:
    """Several amounts, or None."""
    found = [amount(text, name) for text in texts or ()]
    return [value for value in found if value is not None] or None


def plan_of(name: str | None, k: int | None, repeats: int) -> Plan | None:
    """Make the plan of its name and numbers, or None for the default; a number that it does not read is refused."""
    if name is None and k is None and repeats == 1:
        return None
    name = name or ("folds" if k is not None else "halves")
    if k is not None and name != "folds":
        raise ArgumentError(f"--folds is for the plan 'folds', got --plan {name}; leave it out")
    if name == "leave_one_out":
        if repeats != 1:
            raise ArgumentError(f"--repeats must be 1 for the plan 'leave_one_out', got {repeats}; leave it out")
        return leave_one_out()
    if name == "seen":
        return seen(repeats)
    return halves(repeats) if name == "halves" else folds(5 if k is None else k, repeats)


def executor_at(executor: str, address: str | None) -> str:
    """The executor with the address of its cluster among its options."""
    if address is None:
        return executor
    name, _, options = executor.partition(":")
    if name != "ray":
        raise ArgumentError(f"--address is for --executor ray, got --executor {executor}; leave it out")
    return f"ray:{options},address={address}"


def data_options(**given: Any) -> dict[str, Any]:
    """The options that were given; a form of data refuses those that it does not have."""
    return {name: value for name, value in given.items() if value is not None}


def rule_options(rule: str | None, quota: str | None, align: str | None, features: Path | None) -> dict[str, Any]:
    """The options of `unseen.select` that were given."""
    options: dict[str, Any] = data_options(quota=quota, align=align)
    if features is not None:
        if rule is None or "features" not in resolve_rule(rule).needs:
            raise ArgumentError(
                "--features is for rules that read features, which "
                f"{'the default' if rule is None else repr(rule)} does not; leave it out"
            )
        options["features"] = array(features)
    return options


def array(path: Path) -> np.ndarray[Any, Any]:
    """The features in a .npy file, as a memory map."""
    if path.suffix != ".npy":
        raise ArgumentError(f"--features must be a .npy file, got {path}")
    from unseen.data.arrays import read_npy
    from unseen.data.files import no_file

    reason = no_file(path)
    if reason is not None:
        raise DataError(f"--features {path} cannot be read: {reason}")
    return read_npy(path)


def _absolute_log(text: str | None) -> str | None:
    """Make the folder of a log absolute, so that `unseen resume` finds it from any folder."""
    library, colon, folder = (text or "").partition(":")
    return f"{library}:{Path(folder).absolute()}" if colon and folder and library == "tensorboard" else text


Log = Annotated[
    str | None,
    typer.Option(
        metavar="LOG",
        callback=_absolute_log,
        help="Log losses, accuracies, scores, the verdict and the page: tensorboard:FOLDER, wandb:PROJECT or "
        "mlflow:RUN_NAME.",
        rich_help_panel=WORK,
    ),
]


def remembered(command: str, given: dict[str, Any]) -> dict[str, Any]:
    """A subcommand and its options as JSON, from which `unseen resume` calls it again from any folder."""
    flat = {**given, **given.get("reading", {})}
    flat.pop("reading", None)
    options = {name: str(value) if isinstance(value, Path) else value for name, value in flat.items()}
    for name in ("data", "features", "test"):
        if options.get(name) not in (None, "digits") and Path(options[name]).exists():
            options[name] = str(Path(options[name]).absolute())
    return {"command": command, "options": options}


Reading = Mapping[str, Any]  # every option below by the name of its parameter; None where it was not given

Label = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of the labels; their array, in a .npz file.", rich_help_panel=DATA),
]
Target = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of numbers to regress on, in place of labels.", rich_help_panel=DATA),
]
Image = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the images.", rich_help_panel=DATA)]
Text = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of the texts.", rich_help_panel=DATA)]
Feature = Annotated[
    list[str] | None,
    typer.Option("--feature", metavar="COLUMN", help="Feature column; repeat for several.", rich_help_panel=DATA),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COLUMN", help="Column of the sample ids.", rich_help_panel=DATA)
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Column of groups that stay in one fold.", rich_help_panel=DATA),
]
Split = Annotated[
    str | None, typer.Option(metavar="NAME", help="Rows whose column 'split' has this value.", rich_help_panel=DATA)
]
ImageSize = Annotated[
    int | None,
    typer.Option(metavar="PIXELS", help="Side to which images are resized and cropped.", rich_help_panel=DATA),
]
Mode = Annotated[
    Literal["RGB", "L"] | None,
    typer.Option(help="Images in colour, or grey. [default: RGB]", rich_help_panel=DATA),
]
X = Annotated[
    str | None,
    typer.Option("--x", metavar="NAME", help="The array of inputs, in a .npz file.", rich_help_panel=DATA),
]
OnError = Annotated[
    Literal["raise", "skip"] | None,
    typer.Option(help="An unreadable image: stop, or drop it and say so.", rich_help_panel=DATA),
]

_OF_LABELS: dict[str, Any] = {
    "label": Label,
    "image": Image,
    "text": Text,
    "feature": Feature,
    "id_column": IdColumn,
    "group": GroupColumn,
    "split": Split,
    "image_size": ImageSize,
    "mode": Mode,
    "x": X,
    "on_error": OnError,
}
_OF_ANY: dict[str, Any] = {"label": Label, "target": Target, **_OF_LABELS}
_PARAMETER = "reading"  # of a subcommand, in whose place the options are put

Command = Callable[..., None]


def options(reading: Reading) -> dict[str, Any]:
    """Those that were given, as `unseen.data.resolve` takes them; a form of data refuses what it does not have."""
    return {READ_BY[name]: value for name, value in reading.items() if value is not None}


def reads_data(command: Command) -> Command:
    """The subcommand with the options of reading labels or a target, which it is given as `reading`."""
    return _with(_OF_ANY, command)


def reads_labels(command: Command) -> Command:
    """Likewise for a subcommand that has no use for a target."""
    return _with(_OF_LABELS, command)


def _with(added: Mapping[str, Any], command: Command) -> Command:
    def outer(**given: Any) -> None:
        reading = {name: given.pop(name, None) for name in added}
        command(**given, reading=reading)

    parameters: list[inspect.Parameter] = []
    for own in inspect.signature(command, eval_str=True).parameters.values():
        if own.name == _PARAMETER:
            parameters += [inspect.Parameter(n, own.kind, default=None, annotation=of) for n, of in added.items()]
        else:
            parameters.append(own)
    # What typer reads: the signature, the annotations and the docstring.
    outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    outer.__annotations__ = {one.name: one.annotation for one in parameters}
    outer.__name__, outer.__doc__ = command.__name__, command.__doc__
    return outer
