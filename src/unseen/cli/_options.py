"""The options of the subcommands, each written once: its name, type, help text and default.

Options that several subcommands share stand in a dataclass, a *bundle*: which data is read, what is kept, how it is
scored, how it is tested, where it runs, what is printed. A subcommand takes a bundle as one parameter;
`unseen.cli._subcommand` puts the fields of the bundle on the command line in its place.

Nothing here imports NumPy or the rest of `unseen` before a subcommand runs, so that `--help` comes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unseen.errors import ArgumentError, BudgetError, DataError

if TYPE_CHECKING:
    import numpy as np

    from unseen.core.exposure import Plan

# Panels of the help.
DATA = "Data"
CHOICE = "What is kept"
TRAINING = "Training"
RUNNING = "Where it runs"
COMPARISON = "Comparison"


# ---- options of more than one subcommand ----------------------------------------------------------------------------

Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of images (one folder a class), a parquet file or a folder of them, a .csv, .jsonl or .npz "
        "file, 'digits', 'openml:adult', 'hf:user/name:split', or the URL of parquet or npy shards in a store "
        "(s3://bucket/folder).",
        show_default=False,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", metavar="RUN", help="Directory that keeps the run; the same command continues it after a kill."
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .npy file (n, d) for rules that read features.", rich_help_panel=CHOICE),
]
Groups = Annotated[
    Literal["duplicates", "none"],
    typer.Option(help="Keep exact copies in one fold, or do not.", rich_help_panel=TRAINING),
]
Learner = Annotated[
    str | None,
    typer.Option(
        metavar="LEARNER",
        help="Learner and its options, such as convnet:epochs=8; see `unseen learners`.",
        show_default="by the kind of data",
        rich_help_panel=TRAINING,
    ),
]
Trainee = Annotated[
    str | None,
    typer.Option(
        metavar="LEARNER",
        help="The learner that is trained on the coresets.",
        show_default="the learner that scores",
        rich_help_panel=TRAINING,
    ),
]
Score = Annotated[
    str | None,
    typer.Option(
        "--score",
        metavar="SCORE",
        help="The score that the rule reads; see `unseen scores`.",
        show_default="el2n; of a target, loss",
        rich_help_panel=CHOICE,
    ),
]
Scores = Annotated[
    list[str] | None,
    typer.Option(
        "--score",
        metavar="SCORE",
        help="A score and its options, such as dual:window=5; repeat for several.",
        show_default="el2n; of a target, loss",
        rich_help_panel=TRAINING,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The root seed.", rich_help_panel=RUNNING)]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="Threads of a fit.", show_default="all, shared", rich_help_panel=RUNNING),
]
Seeds = Annotated[
    int, typer.Option(metavar="N", help="Replicates, each with other seeds throughout.", rich_help_panel=TRAINING)
]
Verify = Annotated[
    Literal["cheap", "full"],
    typer.Option(help="Fingerprint of the data: of a sample of the content, or of all.", rich_help_panel=DATA),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
TestSplit = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Rows of the test set (of DATA, without --test) whose column 'split' has this value.",
        rich_help_panel=DATA,
    ),
]
Margin = Annotated[
    float, typer.Option(metavar="POINTS", help="The loss that counts as none, in points.", rich_help_panel=COMPARISON)
]


# ---- bundles --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelOptions:
    """How data with labels is read. None where an option was not given; a form of data refuses what it has not."""

    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the labels; their array, in a .npz file.", rich_help_panel=DATA),
    ] = None
    image: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of images.", rich_help_panel=DATA)] = None
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of texts.", rich_help_panel=DATA)] = None
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", metavar="COLUMN", help="Feature column; repeat for several.", rich_help_panel=DATA),
    ] = None
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column of the sample ids.", rich_help_panel=DATA)
    ] = None
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="COLUMN", help="Column of groups that stay in one fold.", rich_help_panel=DATA),
    ] = None
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rows whose column 'split' has this value.", rich_help_panel=DATA)
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Side to which images are resized and cropped.", rich_help_panel=DATA),
    ] = None
    mode: Annotated[
        Literal["RGB", "L"] | None,
        typer.Option(help="Images in colour, or grey.", show_default="RGB", rich_help_panel=DATA),
    ] = None
    x: Annotated[
        str | None,
        typer.Option("--x", metavar="NAME", help="The array of inputs, in a .npz file.", rich_help_panel=DATA),
    ] = None
    on_error: Annotated[
        Literal["raise", "skip"] | None,
        typer.Option(help="An unreadable image: stop, or drop it and say so.", rich_help_panel=DATA),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by the names that `unseen.data.resolve` has for them."""
        from unseen.engine.runs.commands import READ_BY

        return {READ_BY[name]: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class LabelledOptions(LabelOptions):
    """How data with labels or with a target is read."""

    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of numbers to regress on, in place of labels.", rich_help_panel=DATA
        ),
    ] = None


@dataclass(frozen=True)
class AmountOptions:
    """How much is kept or removed."""

    keep: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT", help="How much to keep: a fraction (0.7, 70%) or a count (35000).", rich_help_panel=CHOICE
        ),
    ] = None
    prune: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="How much to remove, in place of --keep.", rich_help_panel=CHOICE),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return `keep` and `prune` as numbers."""
        return {"keep": amount(self.keep, "keep"), "prune": amount(self.prune, "prune")}


@dataclass(frozen=True)
class ChoiceOptions:
    """How a coreset is chosen from scores."""

    rule: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Rule and its options, such as stratified:cutoff=0.1; see `unseen rules`.",
            show_default="in each class stratified, less some of the hardest",
            rich_help_panel=CHOICE,
        ),
    ] = None
    quota: Annotated[
        str | None,
        typer.Option(
            metavar="QUOTA",
            help="Budgets of the classes: proportional, floored (the default has it), uniform or error (held-out).",
            rich_help_panel=CHOICE,
        ),
    ] = None
    align: Annotated[
        str | None,
        typer.Option(
            metavar="ALIGN",
            help="How scores of different folds are joined: rank, none or temperature.",
            rich_help_panel=CHOICE,
        ),
    ] = None
    features: Features = None

    def given(self) -> dict[str, Any]:
        """Return the options that were given, as `unseen.select` takes them beside the rule."""
        options: dict[str, Any] = data_options(quota=self.quota, align=self.align)
        if self.features is not None:
            from unseen.rules.registry import resolve

            if self.rule is None or "features" not in resolve(self.rule).needs:
                raise ArgumentError(
                    "--features is for rules that read features, which "
                    f"{'the default' if self.rule is None else repr(self.rule)} does not; leave it out"
                )
            options["features"] = array(self.features)
        return options


def _check_plan(text: str | None) -> str | None:
    """Refuse the name of a plan that does not exist, as wrong usage."""
    if text is not None:
        from unseen.core.plans import PLANS

        if (name := text.partition(":")[0]) not in PLANS:
            raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, PLANS))}.")
    return text


@dataclass(frozen=True)
class ScoringOptions:
    """Which models score, trained on which part of the data."""

    learner: Learner = None
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="Exposure plan: halves, folds (folds:k=3), leave_one_out, or seen (the classic in-sample score).",
            show_default="halves; folds with --folds, and for learners in closed form",
            callback=_check_plan,
            rich_help_panel=TRAINING,
        ),
    ] = None
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Number of folds, of the plan 'folds'.", show_default="5", rich_help_panel=TRAINING
        ),
    ] = None
    repeats: Annotated[
        int, typer.Option(metavar="N", help="Repetitions of the plan with other seeds.", rich_help_panel=TRAINING)
    ] = 1
    groups: Groups = "duplicates"

    def exposure(self) -> Plan | None:
        """Return the plan, or None for the default."""
        return plan_of(self.plan, self.folds, self.repeats)


@dataclass(frozen=True)
class TestOptions:
    """How coresets are tested."""

    test: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="The test set, read as DATA is.", show_default="none", rich_help_panel=DATA),
    ] = None
    probe: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Without --test: the share of DATA set aside to test on.", rich_help_panel=DATA
        ),
    ] = 0.2
    overlap: Annotated[
        Literal["refuse", "drop"],
        typer.Option(
            help="Test samples that are copies of training samples: refuse, or leave them out.", rich_help_panel=DATA
        ),
    ] = "refuse"
    seeds: Seeds = 5
    fix: Annotated[
        Literal["epochs", "iterations"],
        typer.Option("--fix", help="What is fixed when less data is trained on.", rich_help_panel=TRAINING),
    ] = "epochs"

    def given(self) -> dict[str, Any]:
        """Return the options but the test set, as the library takes them."""
        return {name: value for name, value in vars(self).items() if name != "test"}


def _absolute_log(text: str | None) -> str | None:
    """Make the folder of a log absolute, so that `unseen resume` finds it from any folder."""
    library, colon, folder = (text or "").partition(":")
    return f"{library}:{Path(folder).absolute()}" if colon and folder and library == "tensorboard" else text


@dataclass(frozen=True)
class RunOptions:
    """Where and how the work runs."""

    seed: Seed = 0
    executor: Annotated[
        str,
        typer.Option(
            metavar="EXECUTOR",
            help="Where fits run: local; ray, on this machine or a cluster; ray:num_gpus=1, a GPU a fit.",
            rich_help_panel=RUNNING,
        ),
    ] = "local"
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="The Ray cluster.", show_default="Ray is started here", rich_help_panel=RUNNING
        ),
    ] = None
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            help="Fits trained at the same time.",
            show_default="1; with Ray as many as there is room for",
            rich_help_panel=RUNNING,
        ),
    ] = None
    threads: Threads = None
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Begin without asking, however long it takes.", rich_help_panel=RUNNING),
    ] = False
    log: Annotated[
        str | None,
        typer.Option(
            metavar="LOG",
            callback=_absolute_log,
            help="Log losses, accuracies, scores, the verdict and the page: tensorboard:FOLDER, wandb:PROJECT or "
            "mlflow:RUN_NAME.",
            rich_help_panel=RUNNING,
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the options as the library takes them."""
        where = executor_at(self.executor, self.address)
        return {"seed": self.seed, "executor": where, "jobs": self.jobs, "threads": self.threads}


@dataclass(frozen=True)
class VerifiedRunOptions(RunOptions):
    """Where and how the work runs, where the data is remembered by its fingerprint."""

    verify: Verify = "cheap"

    def given(self) -> dict[str, Any]:
        """Return the options as the library takes them."""
        return {**super().given(), "verify": self.verify}


@dataclass(frozen=True)
class DisplayOptions:
    """What is printed."""

    quiet: Quiet = False
    json: Json = False

    @property
    def silent(self) -> bool:
        """Whether nothing but the result is printed."""
        return self.quiet or self.json


@dataclass(frozen=True)
class PageOptions(DisplayOptions):
    """What is printed, and whether the page of the run is written."""

    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave out the page that shows the run (RUN/report.html).")
    ] = False


# ---- from texts to values -------------------------------------------------------------------------------------------


def amount(text: str | None, name: str) -> float | int | None:
    """Read a count (`"700"`) or a fraction (`"0.7"`, `"70%"`)."""
    if text is None:
        return None
    from unseen.rules.budgets import amounts as amounts_of

    try:
        return amounts_of(keep=text, prune=None)["keep"]
    except BudgetError:
        raise BudgetError(f"--{name} must be a count (700) or a fraction (0.7, 70%), got {text!r}") from None


def amounts(texts: list[str] | None, name: str) -> list[float] | None:
    """Read several amounts; None where there are none."""
    found = [amount(text, name) for text in texts or ()]
    return [value for value in found if value is not None] or None


def plan_of(name: str | None, k: int | None, repeats: int) -> Plan | None:
    """Make the plan of its name and numbers, or None for the default; refuse a number that the plan does not read."""
    if name is None and k is None and repeats == 1:
        return None
    from unseen.core.plans import plan_named

    name, _, own = (name or ("folds" if k is not None else "halves")).partition(":")
    if k is not None and name != "folds":
        raise ArgumentError(f"--folds is for the plan 'folds', got --plan {name}; leave it out")
    if name == "leave_one_out" and repeats != 1:
        raise ArgumentError(f"--repeats must be 1 for the plan 'leave_one_out', got {repeats}; leave it out")
    options = own.split(",") if own else []
    for option, number, written in (("--folds", k, "k"), ("--repeats", None if repeats == 1 else repeats, "repeats")):
        if number is None:
            continue
        if any(text.partition("=")[0].strip() == written for text in options):
            raise ArgumentError(f"--plan {name}:{own} says {written} already, got {option} {number}; leave one out")
        options.append(f"{written}={number}")
    return plan_named(f"{name}:{','.join(options)}" if options else name)


def executor_at(executor: str, address: str | None) -> str:
    """Add the address of its cluster to the options of an executor."""
    if address is None:
        return executor
    name, _, options = executor.partition(":")
    if name != "ray":
        raise ArgumentError(f"--address is for --executor ray, got --executor {executor}; leave it out")
    return f"ray:{options},address={address}"


def data_options(**given: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in given.items() if value is not None}


def array(path: Path) -> np.ndarray[Any, Any]:
    """Open the features in a .npy file, as a memory map."""
    if path.suffix != ".npy":
        raise ArgumentError(f"--features must be a .npy file, got {path}")
    from unseen.data.files import no_file, read_npy

    reason = no_file(path)
    if reason is not None:
        raise DataError(f"--features {path} cannot be read: {reason}")
    return read_npy(path)


def array_or_none(path: Path | None) -> np.ndarray[Any, Any] | None:
    """Open the features in a .npy file, if one was given."""
    return None if path is None else array(path)


def groups_of(name: str) -> Literal["duplicates"] | None:
    """Return what the library takes for `--groups`."""
    return "duplicates" if name == "duplicates" else None


def remembered(command: str, given: dict[str, Any], **resolved: Any) -> dict[str, Any]:
    """Return a subcommand and its options as JSON, from which `unseen resume` calls it again from any folder.

    Args:
        command: its name.
        given: its parameters; bundles are unfolded.
        resolved: options that were resolved from the data, in place of those given.
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
    return {"command": command, "options": options}
