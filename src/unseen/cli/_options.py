"""The options of the subcommands, each written once: its name, type, help text and default.

Options that several subcommands share are the fields of a dataclass, a *bundle*: which data is read, what is kept, how
it is scored, how it is tested, where it runs, what is printed. A subcommand takes a bundle as one parameter, and the
decorator `subcommand` puts the fields of the bundle on the command line in its place.

Nothing here imports NumPy or the rest of `unseen` before a subcommand runs, so that `--help` comes at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
from typer.core import TyperCommand, TyperOption
from typer.models import OptionInfo

from unseen.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from unseen.core.exposure import Plan
    from unseen.core.protocols import Data

# Panels of the help.
DATA = "Data"
CHOICE = "What is kept"
TRAINING = "Training"
RUNNING = "Where it runs"
COMPARISON = "Comparison"

_TYPER = "typer"  # the key of the metadata of a field
REQUIRED = MISSING  # the default of an option that must be given


def option(
    metavar: str | None,
    text: str,
    panel: str | None = None,
    *,
    default: Any = None,
    shown: str | bool = True,
    names: str = "",
) -> Any:
    """Describe an option of the command line, as the default of a parameter of a subcommand, or of a bundle's field.

    Args:
        metavar: the word for its value; None for a flag or a choice.
        text: its help.
        panel: the panel of the help.
        default: its default.
        shown: its default in words, where that is not the value.
        names: its names, separated by spaces, where they are not that of the parameter.
    """
    own = names.split()
    info = typer.Option(*own, metavar=metavar, help=text, rich_help_panel=panel, show_default=shown)
    return field(default=default, metadata={_TYPER: info})


def argument(metavar: str, text: str) -> Any:
    """Describe a positional argument."""
    return field(metadata={_TYPER: typer.Argument(metavar=metavar, help=text, show_default=False)})


# ---- options of more than one subcommand ----------------------------------------------------------------------------

DATA_SET = argument(
    "DATA",
    "A folder of images (one folder a class), a parquet file or a folder of them, a .csv, .jsonl or .npz "
    "file, 'digits', 'openml:adult', 'hf:user/name:split', or the URL of parquet or npy shards in a store "
    "(s3://bucket/folder).",
)
RUN = argument("RUN", "The directory of a run.")
OUT = option(
    "RUN", "Directory that keeps the run; the same command continues it after a kill.", default=REQUIRED, names="--out"
)
FEATURES = option("FILE", "A .npy file (n, d) for rules that read features.", CHOICE)
GROUPS = option(None, "Keep exact copies in one fold, or do not.", TRAINING, default="duplicates")
LEARNER = option(
    "LEARNER",
    "Learner and its options, such as convnet:epochs=8; see `unseen learners`.",
    TRAINING,
    shown="by the kind of data",
)
TRAINEE = option("LEARNER", "The learner that is trained on the coresets.", TRAINING, shown="the learner that scores")
SCORES = option(
    "SCORE",
    "A score and its options, such as dual:window=5; repeat for several.",
    TRAINING,
    shown="el2n and label_issue; under halves also memorization; for a target, loss",
)
SEED = option("N", "The root seed.", RUNNING, default=0)
THREADS = option("N", "Threads of a fit.", RUNNING, shown="all, shared by the jobs; 1 for a short fit")
replicates = partial(option, "N", "Replicates, each with its own seeds.", TRAINING)
VERIFY = option(None, "Fingerprint the data by a part of its content, or by all of it.", DATA, default="cheap")
JSON = option(None, "Print the result as one JSON object, and nothing else.", default=False, names="--json")
QUIET = option(None, "Print the result only.", default=False, names="--quiet -q")
YES = option(None, "Begin without asking, even if it takes long.", RUNNING, default=False, names="--yes -y")
MARGIN = option("POINTS", "The largest loss that counts as lossless, in points.", COMPARISON, default=0.5)


# ---- bundles --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadingOptions:
    """How data is read. An option that was not given is None; a data format refuses options that it does not have."""

    label: str | None = option("COLUMN", "Column of the labels, or their array in a .npz file.", DATA)
    target: str | None = option("COLUMN", "Column of numbers to regress on, in place of labels.", DATA)
    image: str | None = option("COLUMN", "Column of images.", DATA)
    text: str | None = option("COLUMN", "Column of texts.", DATA)
    feature: list[str] | None = option("COLUMN", "Feature column; repeat for several.", DATA)
    id_column: str | None = option("COLUMN", "Column of the sample ids.", DATA, names="--id")
    group: str | None = option("COLUMN", "Column of groups that stay in one fold.", DATA)
    split: str | None = option("NAME", "Read only rows whose column 'split' has this value.", DATA)
    image_size: int | None = option("PIXELS", "Side to which images are resized and cropped.", DATA)
    mode: Literal["RGB", "L"] | None = option(None, "Images in colour, or grey.", DATA, shown="RGB")
    x: str | None = option("NAME", "Array of the inputs in a .npz file.", DATA, names="--x")
    on_error: Literal["raise", "skip"] | None = option(None, "Unreadable images: stop, or drop them with a note.", DATA)

    def arguments(self) -> dict[str, Any]:
        """Return the options that were given, by the names that `unseen.data.resolve` has for them."""
        from unseen.engine.runs.commands import READ_BY

        return {READ_BY[name]: value for name, value in vars(self).items() if value is not None}

    def open(self, place: str, cache: Path) -> Any:
        """Open a data set that is read by these options."""
        from unseen.data import resolve

        return resolve(place, cache=cache, **self.arguments())

    def open_test(self, place: str | None, train: Any, cache: Path) -> Any:
        """Open the test set of a training set that is read by the same options; None where none is named."""
        from unseen.data.sources import resolve_like

        return None if place is None else resolve_like(place, train, cache=cache, **self.arguments())


@dataclass(frozen=True)
class AmountOptions:
    """How much is kept or removed."""

    keep: str | None = option("AMOUNT", "How much to keep: a fraction (0.7, 70%) or a count (35000).", CHOICE)
    prune: str | None = option("AMOUNT", "How much to remove, in place of --keep.", CHOICE)


@dataclass(frozen=True)
class ChoiceOptions:
    """How a coreset is chosen from scores."""

    rule: str | None = option(
        "RULE",
        "Rule and its options, such as stratified:cutoff=0.1; see `unseen rules`. Where classes are uneven, the "
        "default has by=rank: strata of equal count.",
        CHOICE,
        shown="stratified in each class, without some of the hardest; for a target, trimmed",
    )
    quota: str | None = option(
        "QUOTA",
        "How the classes share the budget: proportional, floored (the default), uniform, or error (held-out).",
        CHOICE,
    )
    align: str | None = option(
        "ALIGN", "How scores of different folds are made comparable: rank, none or temperature.", CHOICE
    )
    features: Path | None = FEATURES

    def arguments(self) -> dict[str, Any]:
        """Return the options that were given, as `unseen.select` takes them beside the rule."""
        options: dict[str, Any] = without_none(quota=self.quota, align=self.align)
        if self.features is not None:
            from unseen.rules.registry import resolve

            if self.rule is None or "features" not in resolve(self.rule).needs:
                raise ArgumentError(
                    "--features is for rules that read features, which "
                    f"{'the default' if self.rule is None else repr(self.rule)} does not; leave it out"
                )
            options["features"] = read_features(self.features)
        return options


@dataclass(frozen=True)
class ScoringOptions:
    """Which models score, trained on which part of the data."""

    learner: str | None = LEARNER
    plan: str | None = option(
        "PLAN",
        "Exposure plan: halves, folds (folds:k=3 or 3), leave_one_out, or seen (the classic in-sample score).",
        TRAINING,
        shown="halves; folds with --folds, and for learners in closed form",
    )
    folds: int | None = option("N", "Number of folds of the plan 'folds'.", TRAINING, shown="5")
    repeats: int = option("N", "Repetitions of the plan with other seeds.", TRAINING, default=1)
    groups: Literal["duplicates", "none"] = GROUPS

    def arguments(self) -> dict[str, Any]:
        """Return the options but the learner, as the library takes them."""
        plan = plan_of(self.plan, self.folds, self.repeats)
        return {"plan": plan, "groups": None if self.groups == "none" else self.groups}


@dataclass(frozen=True)
class TestOptions:
    """How coresets are tested."""

    test: str | None = option("DATA", "The test set, read as DATA is.", DATA, shown="none")
    probe: float = option("SHARE", "Without --test: the share of DATA set aside to test on.", DATA, default=0.2)
    overlap: Literal["refuse", "drop", "keep"] = option(
        None, "Test samples equal to training samples: refuse, leave out, or test on them.", DATA, default="refuse"
    )
    seeds: int = replicates(default=5)
    fix: Literal["epochs", "iterations"] = option(
        None, "What is held fixed when training on less data.", TRAINING, default="epochs"
    )

    def arguments(self) -> dict[str, Any]:
        """Return the options but the test set, as the library takes them."""
        return {name: value for name, value in vars(self).items() if name != "test"}


@dataclass(frozen=True)
class RunOptions:
    """Where and how the work runs."""

    seed: int = SEED
    executor: str = option(
        "EXECUTOR",
        "Where fits run: local; ray, on this machine or a cluster; ray:num_gpus=1, one GPU per fit.",
        RUNNING,
        default="local",
    )
    address: str | None = option("HOST:PORT", "The Ray cluster.", RUNNING, shown="Ray is started here")
    jobs: int | None = option(
        "N",
        "Fits trained at the same time.",
        RUNNING,
        shown="2 for long fits on the CPU, else 1; with Ray, as many as there is room for",
    )
    threads: int | None = THREADS
    yes: bool = YES
    log: str | None = option(
        "LOG",
        "Log losses, accuracies, scores, the verdict and the page: tensorboard:FOLDER, wandb:PROJECT or "
        "mlflow:RUN_NAME.",
        RUNNING,
    )
    verify: Literal["cheap", "full"] = VERIFY

    def arguments(self, data: Data, learner: str | None, plan: Plan | None = None) -> dict[str, Any]:
        """Return the options as the library takes them, for this learner of these data."""
        from unseen.engine.work import share_cores

        where, jobs, threads = self.executor, self.jobs, self.threads
        if self.address is not None:
            name, _, options = where.partition(":")
            if name != "ray":
                raise ArgumentError(f"--address is for --executor ray, got --executor {where}; leave it out")
            where = f"ray:{options},address={self.address}"
        if (jobs, threads, where) == (None, None, "local"):
            jobs, threads = share_cores(data, learner, plan)
        return {"seed": self.seed, "executor": where, "jobs": jobs, "threads": threads, "verify": self.verify}


@dataclass(frozen=True)
class DisplayOptions:
    """What is printed."""

    quiet: bool = QUIET
    json: bool = JSON

    @property
    def silent(self) -> bool:
        """Whether nothing but the result is printed."""
        return self.quiet or self.json


@dataclass(frozen=True)
class PageOptions(DisplayOptions):
    """What is printed, and whether the page of the run is written."""

    no_report: bool = option(
        None, "Leave out the page that shows the run (RUN/report.html).", default=False, names="--no-report"
    )


# ---- from texts to values -------------------------------------------------------------------------------------------


def plan_of(name: str | None, k: int | None, repeats: int) -> Plan | None:
    """Make the plan of its name and numbers, or None for the default; refuse a number that the plan does not read."""
    if name is None and k is None and repeats == 1:
        return None
    from unseen.core.plans import plan_named

    name, _, own = (name or ("folds" if k is not None else "halves")).partition(":")
    if k is not None and name != "folds":
        raise ArgumentError(f"--folds is for the plan 'folds', got --plan {name}; leave it out")
    options = own.split(",") if own else []
    for flag, number, written in (("--folds", k, "k"), ("--repeats", None if repeats == 1 else repeats, "repeats")):
        if number is None:
            continue
        if any(text.partition("=")[0].strip() == written for text in options):
            raise ArgumentError(f"--plan {name}:{own} says {written} already, got {flag} {number}; leave one out")
        options.append(f"{written}={number}")
    return plan_named(f"{name}:{','.join(options)}" if options else name)


def default_learner(data: Data) -> str:
    """Return the learner for this kind of data."""
    from unseen.learners.registry import default_learner

    return default_learner(data)


def without_none(**given: Any) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in given.items() if value is not None}


def read_features(path: Path | None) -> np.ndarray[Any, Any] | None:
    """Open the features in a .npy file, as a memory map; None where no file was given."""
    if path is None:
        return None
    if path.suffix != ".npy":
        raise ArgumentError(f"--features must be a .npy file, got {path}")
    from unseen.data.files import read_npy

    return read_npy(path)


# ---- from a function with bundles of options to a subcommand --------------------------------------------------------

Command = Callable[..., None]
_ALL, _BY_NAME = "--help-all", inspect.Parameter.KEYWORD_ONLY


def subcommand(usual: str, *, refused: str = "") -> Callable[[Command], Command]:
    """Make a subcommand of a function: put the fields of its bundles on the command line, and build them when called.

    Args:
        usual: the options that `--help` shows, by the names of their parameters, separated by spaces.
        refused: options of its bundles that the subcommand always refuses. No help shows them. They are parsed, so that
            the refusal says why, and so that a run that was begun with their defaults can be resumed.
    """

    def decorate(command: Command) -> Command:
        parameters, bundles = _unfold(command)
        shown, without = set(usual.split()), set(refused.split())
        options = {one.name for one in parameters if isinstance(one.annotation.__metadata__[0], OptionInfo)}
        if unknown := (shown | without) - options:
            raise TypeError(f"{command.__module__} names options that it does not have: {', '.join(sorted(unknown))}")
        parameters = [_hidden(one) if one.name in without else one for one in parameters]
        help_all = _help_all(hidden=not options - shown - without)  # accepted also where it shows nothing more
        parameters.append(inspect.Parameter("help_all", _BY_NAME, default=False, annotation=help_all))

        def outer(**given: Any) -> None:
            given.pop("help_all", None)
            for name, bundle in bundles.items():
                given[name] = bundle(**{one.name: given.pop(one.name) for one in fields(bundle) if one.name in given})
            command(**given)

        # What typer reads: the signature, the annotations and the docstring.
        outer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        outer.__annotations__ = {one.name: one.annotation for one in parameters}
        outer.__name__, outer.__module__ = command.__name__, command.__module__
        # The terminal breaks the lines of each paragraph but those of the examples where it ends.
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        outer.__doc__ = "\n\n".join(p if p.startswith("Examples:") else " ".join(p.split()) for p in paragraphs)
        outer.usual = shown | {"help_all"}  # type: ignore[attr-defined]
        return outer

    return decorate


def _unfold(command: Command) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """Return the parameters with the fields of bundles in place of the bundles, and the bundles by parameter."""
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, Any] = {}
    for own in inspect.signature(command, eval_str=True).parameters.values():
        if is_dataclass(own.annotation):
            bundles[own.name] = own.annotation
            hints = get_type_hints(own.annotation)
            parameters += [_parameter(one.name, hints[one.name], one) for one in fields(own.annotation)]
        else:
            parameters.append(_parameter(own.name, own.annotation, own.default))
    return parameters, bundles


def _parameter(name: str, kind: Any, described: Field[Any]) -> inspect.Parameter:
    default = inspect.Parameter.empty if described.default is REQUIRED else described.default
    return inspect.Parameter(name, _BY_NAME, default=default, annotation=Annotated[kind, described.metadata[_TYPER]])


def _hidden(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return the parameter of an option that no help shows; other subcommands have the same option."""
    info = copy(parameter.annotation.__metadata__[0])
    info.hidden = True
    return parameter.replace(annotation=Annotated[parameter.annotation.__origin__, info])


def _show_all(ctx: typer.Context, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit


def _help_all(*, hidden: bool) -> Any:
    about: dict[str, Any] = {"help": "Show all options and exit.", "hidden": hidden}
    return Annotated[bool, typer.Option(_ALL, is_eager=True, expose_value=False, callback=_show_all, **about)]


class Brief(TyperCommand):
    """A subcommand whose `--help` shows the usual options only."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the other options unless all are asked for."""
        known, hidden = getattr(self.callback, "usual", ()), list[Any]()
        if not ctx.meta.get(_ALL):
            options = [one for one in self.params if isinstance(one, TyperOption) and not one.hidden]
            hidden = [one for one in options if one.name not in known]
        if hidden:
            self.epilog = f"{len(hidden)} more options: {ctx.command_path} {_ALL}"
        for one in hidden:
            one.hidden = True
        try:
            super().format_help(ctx, formatter)
        finally:  # hidden options would not be completed
            self.epilog = None
            for one in hidden:
                one.hidden = False
