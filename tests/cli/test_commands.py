"""What each subcommand prints and writes."""

from __future__ import annotations

import builtins
import io
import json
import re
import shutil
import signal
import subprocess
import warnings
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from command_line import SCRIPT, content, digits_file_fixture, finished_fixture, prune_fixture, unseen_says_fixture  # noqa: F401
from PIL import Image

import unseen
from unseen import cli
from unseen.cli._app import app
from unseen.cli._console import name_options, print_json, warn
from unseen.learners import LEARNERS
from unseen.rules.budgets import FLOOR
from unseen.rules.registry import FALLBACK, RULES, UNEVEN
from unseen.scores.registry import SCORES

COMMANDS = ["prune", "grow", "score", "select", "evaluate", "resume", "scores", "rules", "learners"]


def test_the_console_script_tells_its_version():
    ended = subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"unseen {unseen.__version__}\n"


def test_a_program_started_from_python_leaves_sigterm_as_it_was(unseen_says):
    before = signal.getsignal(signal.SIGTERM)
    unseen_says("rules")
    unseen_says("prune", "no_such_file.npz", "--keep", "0.5")
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_lists_every_subcommand_and_the_exit_codes(unseen_says):
    said = unseen_says("--help")
    assert said.code == 0
    for command in COMMANDS:
        assert re.search(rf"│ {command} ", said.out)
    assert "130 interrupted" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_subcommand(unseen_says, command):
    said = unseen_says(command, "--help")
    assert said.code == 0
    assert f"Usage: unseen {command}" in said.out
    if command in ("prune", "grow", "score", "select", "evaluate", "resume"):
        # Examples stand on lines of their own, so that they can be copied.
        assert re.search(rf"Examples:\s*\n\s*unseen {command} .*\n", said.out)


@pytest.mark.parametrize("command", ["prune", "grow", "score", "select", "evaluate"])
def test_examples_of_the_help_are_commands_that_parse(unseen_says, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^ +unseen (\w+ .*?) *$", unseen_says(command, "--help").out, re.M)
    assert examples
    for example in examples:
        said = unseen_says(*example.replace("digits", "none.npz").split())
        assert said.code in (1, 3), example  # understood, and then there is no such data or run
        assert "Usage" not in said.err


def parsed(said):
    """The one JSON object on stdout, with nothing else on either stream."""
    assert said.code == 0, said.err
    assert said.err == ""
    return json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_of_prune(unseen_says, prune, tmp_path):
    result = parsed(unseen_says(*prune, "--json", "--out", tmp_path / "run"))
    scored = unseen.load(tmp_path / "run")
    assert result["n"] == 200
    assert result["kept"] == len(scored.coreset) == 100
    assert result["pruned"] == 100
    assert result["direction"] == "harder"
    assert result["accuracy"] == np.mean(scored.scores.predictions == scored.scores.labels)
    assert result["reliability"] is None
    assert unseen.load(result["coreset"]).ids.tolist() == scored.coreset.ids.tolist()
    assert unseen.load(result["scores"]).scores == ("el2n", "label_issue")


def test_json_of_score(unseen_says, digits_file, tmp_path):
    command = ["score", digits_file, "--learner", "logistic", "--folds", "2", "--score", "loss", "--score", "margin"]
    result = parsed(unseen_says(*command, "--json", "--out", tmp_path / "run"))
    table = unseen.load(tmp_path / "run").scores
    assert result["scores"].keys() == {"loss", "margin"} == set(table.scores)
    assert result["scores"]["margin"]["direction"] == "easier"
    assert result["scores"]["loss"]["p5_p50_p95"][1] == np.median(table.column("loss"))
    assert not (tmp_path / "run" / "coreset.parquet").exists()


def test_json_of_select_resume_and_lists(unseen_says, finished, tmp_path):
    assert (
        parsed(unseen_says("select", finished, "--keep", "7", "--json", "--out", tmp_path / "7.parquet"))["kept"] == 7
    )
    assert parsed(unseen_says("resume", finished, "--json"))["kept"] == 100
    names = {entry["name"] for entry in parsed(unseen_says("scores", "--json"))["scores"]}
    assert {"el2n", "aum", "memorization"} <= names
    rules = parsed(unseen_says("rules", "--json"))
    assert "stratified" in {entry["name"] for entry in rules["rules"]}
    assert rules["defaults"]["uneven classes"] == "stratified:by=rank,cutoff=auto,quota=floored"
    assert f"default, target          {rules['defaults']['target']}" in unseen_says("rules").out
    said = " ".join(unseen_says("rules").out.split())
    assert f"uneven where the largest has at least {UNEVEN} times the mean size" in said
    assert Fraction(1, 5) == FLOOR
    assert "none counts as smaller than a fifth of the mean" in said
    assert f"the rule is {FALLBACK}." in said
    assert parsed(unseen_says("learners", "--json"))["defaults"]["image"] == "convnet"


def test_json_holds_no_nan(capsys):
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_quiet_prints_the_result_only(unseen_says, prune, tmp_path):
    said = unseen_says(*prune, "--quiet", "--out", tmp_path / "run")
    assert said.err == ""
    kept = "kept     100 of 200 samples (50.0 %), 100 pruned, by stratified:cutoff=auto,quota=floored\n"
    assert said.out.startswith(kept)


@pytest.mark.parametrize("how", ["--quiet", "--json"])
def test_warnings_are_not_hidden_with_the_progress(unseen_says, tmp_path, how):
    x = np.random.default_rng(1).normal(size=(200, 40))
    x[9] = x[4]
    np.savez(tmp_path / "noise.npz", x=x, y=np.arange(200) % 4)
    command = ("prune", tmp_path / "noise.npz", "--keep", "0.5", "--learner", "logistic", "--no-report", how)
    said = unseen_says(*command, "--out", tmp_path / "run")
    first, second = said.err.splitlines()
    assert first.startswith("warning: exact copies of one sample have different labels: ids 4 (0) and 9 (1), for")
    assert second.startswith("warning: held-out models are right on ")
    assert second.endswith("the coreset is random within each class (try another learner, or name a rule to decide)")
    if how == "--quiet":
        unknown = (
            r"^labels +held-out disagreement unknown: the models are too weak to doubt a label \((.*), 75 % needed"
        )
        right = re.search(unknown, said.out, re.M)[1]
        assert f"held-out models are {right}" in second


def test_classes_that_are_lost_or_much_more_frequent_are_told(unseen_says, tmp_path):
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b", "c"], [290, 9, 1])
    x = rng.normal(size=300) + 9 * (label == "b") - 9 * (label == "c")
    pq.write_table(pa.table({"x": x, "z": rng.normal(size=300), "label": label}), tmp_path / "t.parquet")
    more = ["--label", "label", "--learner", "logistic", "--quiet", "--no-report"]
    said = unseen_says("prune", tmp_path / "t.parquet", "--keep", "0.1", *more, "--out", tmp_path / "run").out
    lines = dict(line.split(maxsplit=1) for line in said.splitlines())
    assert lines["classes"] == (
        "b is 3.0 % of the samples and 6.7 % of the coreset, c is 0.3 % of the samples and 3.3 % of the coreset; "
        "to correct for that, multiply their predicted probabilities by the first share over the second, or keep the "
        "proportions by --quota proportional"
    )
    assert "lost" not in lines
    few = unseen_says("select", tmp_path / "run", "--keep", "2", "--rule", "top", "--out", tmp_path / "2.parquet").out
    assert re.search(r"^lost +no sample is left of .*; the data has 3 classes$", few, re.M)
    fair = ["--keep", "0.1", "--quota", "proportional", "--out", tmp_path / "fair.parquet"]
    assert "--quota" not in unseen_says("select", tmp_path / "run", *fair).out


def test_results_are_aligned_words_with_the_counts(unseen_says, prune, tmp_path):
    shown = [word for word in prune if word != "--no-report"]
    said = unseen_says(*shown, "--repeats", "2", "--out", tmp_path / "run")
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert list(lines) == ["kept", "score", "repeats", "models", "labels", "price", "table", "coreset", "report"]
    assert len({re.match(r"\w+ +", line).end() for line in said.out.splitlines()}) == 1
    assert re.fullmatch(r"held-out accuracy \d\d\.\d %", lines["models"])
    assert re.fullmatch(r"held-out disagreement .* % in the coreset, .* % in a random one", lines["labels"])
    assert lines["score"].startswith("el2n, harder when higher: median ")
    assert lines["coreset"] == str(tmp_path / "run" / "coreset.parquet")


def test_a_cutoff_that_leaves_strata_little_to_choose_is_told(unseen_says, digits_file, tmp_path):
    command = ["prune", digits_file, "--learner", "logistic", "--folds", "2", "--no-report"]
    least = ["--prune", "4", "--rule", "stratified:cutoff=error"]
    few = unseen_says(*command, *least, "--out", tmp_path / "few")  # of 200; more than 4 are predicted wrong
    assert re.search(
        r"hardest  2\.0 % left out, since models got \d+\.\d % of the labels wrong; if the models are weak", few.out
    )
    again = parsed(unseen_says(*command, *least, "--json", "--out", tmp_path / "few"))
    assert again["cut_off"] == pytest.approx(0.02)
    for more in (["--prune", "100"], ["--prune", "4"], ["--prune", "4", "--rule", "stratified"]):
        assert "hardest" not in unseen_says(*command, *more, "--out", tmp_path / "".join(more)).out


def test_the_in_sample_plan_says_so(unseen_says, digits_file, tmp_path):
    command = ["prune", digits_file, "--learner", "logistic", "--keep", "9", "--plan", "seen", "--no-report"]
    assert "in-sample accuracy" in unseen_says(*command, "--out", tmp_path / "run").out


@pytest.mark.parametrize(
    ("amount", "kept", "said_before"),
    [
        (["--keep", "1"], 1, "keeping 1 of 200 samples, pruning 199 (1 is a count; 1.0 would keep all)"),
        (["--keep", "1.0"], 200, "keeping 200 of 200 samples, pruning 0"),
        (["--keep", "0.333"], 67, "keeping 67 of 200 samples, pruning 133"),
        (["--prune", "0.9"], 20, "keeping 20 of 200 samples, pruning 180"),
        (["--prune", "1"], 199, "keeping 199 of 200 samples, pruning 1"),
        (["--prune", "0"], 200, "keeping 200 of 200 samples, pruning 0"),
    ],
)
def test_the_budget_is_echoed_as_counts_before_training(unseen_says, prune, tmp_path, amount, kept, said_before):
    said = unseen_says(*prune[:-2], *amount, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    budget, training = said.err.index(f"budget  {said_before}\n"), said.err.index("fit r0f0")
    assert budget < training
    assert f"kept     {kept:,} of 200 samples" in said.out
    assert len(unseen.load(tmp_path / "run").coreset) == kept


def test_select_is_the_selection_of_prune(unseen_says, finished, tmp_path):
    said = unseen_says("select", finished, "--keep", "0.5", "--out", tmp_path / "again.parquet")
    assert said.code == 0, said.err
    assert unseen.load(tmp_path / "again.parquet").ids.tolist() == unseen.load(finished).coreset.ids.tolist()
    from_file = ["select", finished / "scores.parquet", "--keep", "0.5", "--out", tmp_path / "third.parquet"]
    assert unseen_says(*from_file).code == 0
    assert unseen.load(tmp_path / "third.parquet").ids.tolist() == unseen.load(finished).coreset.ids.tolist()


def test_select_by_another_score_and_rule(unseen_says, finished, tmp_path):
    command = ["select", finished, "--keep", "5", "--rule", "top", "--score", "label_issue"]
    said = unseen_says(*command, "--out", tmp_path / "five.parquet")
    assert "by top" in said.out
    assert "score    label_issue" in said.out
    table = unseen.load(finished).scores
    assert (
        unseen.load(tmp_path / "five.parquet").ids.tolist()
        == unseen.select(table, rule="top", keep=5, score="label_issue").ids.tolist()
    )


def test_the_same_command_on_a_finished_run_trains_nothing(unseen_says, prune, finished):
    before, events = content(finished), (finished / "events.jsonl").read_bytes()
    said = unseen_says(*prune, "--out", finished)
    assert "done    2 of 2 trainings finished earlier in this run" in said.err
    assert "fit r" not in said.err
    assert (finished / "events.jsonl").read_bytes() == events
    assert content(finished) == before


def test_another_budget_on_a_finished_run_trains_nothing(unseen_says, prune, finished):
    events = (finished / "events.jsonl").read_bytes()
    assert unseen_says(*prune, "--keep", "3", "--out", finished).code == 0
    assert (finished / "events.jsonl").read_bytes() == events
    assert len(unseen.load(finished).coreset) == 3


@pytest.mark.parametrize("command", ["prune", "score"])
def test_resume_of_a_moved_run_from_another_folder(unseen_says, tmp_path, digits_file, command, monkeypatch):
    shutil.copy(digits_file, tmp_path / "digits.npz")
    np.save(tmp_path / "f.npy", np.load(digits_file)["x"])
    monkeypatch.chdir(tmp_path)
    more = ["--keep", "9", "--rule", "herding", "--features", "f.npy", "--no-report"] if command == "prune" else []
    begun = unseen_says(command, "digits.npz", "--learner", "logistic", "--folds", "2", *more, "--out", "run")
    assert begun.code == 0, begun.err
    before = content(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "moved" / "scores.parquet").unlink()
    (tmp_path / "moved" / "fits" / "r0f1" / "result.npz").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = unseen_says("resume", "../moved")
    assert said.code == 0, said.err
    assert "done    1 of 2 trainings finished earlier" in said.err
    assert "fit r0f1" in said.err
    assert "fit r0f0" not in said.err
    assert "../moved/scores.parquet" in said.out
    after = content(tmp_path / "moved")
    assert {name: after[name] for name in before if name != "command.json"} == {
        name: data for name, data in before.items() if name != "command.json"
    }


def test_lists_name_everything_with_source_and_direction(unseen_says):
    scores, rules, learners = (unseen_says(name).out for name in ("scores", "rules", "learners"))
    for name in SCORES:
        assert re.search(rf"^{name} +(harder|easier|worth more) when higher ", scores, re.M)
    for name in RULES:
        assert re.search(rf"^{name} ", rules, re.M)
    for name in LEARNERS:
        assert re.search(rf"^{name} +\S", learners, re.M)
    assert "Paul et al. 2021 (arXiv 2107.07075)" in scores
    assert "Zheng et al. 2023 (CCS, arXiv 2210.15809)" in " ".join(rules.split())
    assert all(len(line) <= 100 for line in (scores + rules + learners).splitlines())


def test_a_closed_pipe_shows_no_traceback():
    ended = subprocess.run(["bash", "-c", f"'{SCRIPT}' scores | head -1"], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("score ")
    assert ended.stderr == ""


def test_warnings_are_one_line_and_told_once(capfd, monkeypatch):
    monkeypatch.setattr("unseen.cli._console.warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: warn(message)
        for _ in range(2):
            warnings.warn("lbfgs did not\n  converge", stacklevel=1)
    assert capfd.readouterr().err == "warning: lbfgs did not converge\n"


def test_ctrl_c_while_the_program_loads_shows_no_traceback(monkeypatch):
    load = builtins.__import__

    def interrupted(name, *args):
        if name == "unseen.cli._app":
            raise KeyboardInterrupt
        return load(name, *args)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


def test_ctrl_c_before_any_training_says_how_to_go_on(unseen_says, finished, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(unseen, "select", interrupted)
    said = unseen_says("select", finished, "--keep", "7", "--out", tmp_path / "7.parquet")
    assert (said.code, said.out) == (130, "")
    assert said.err == "interrupted; what is finished is kept: start the same command again\n"


# Each option with a value that must change something: the numbers, the manifest, what is kept or what is said, against
# the same command without it (or with what stands first in a pair). Those of one form of data are asked of that form.
OPTIONS = {
    "digits.npz": {
        "--keep": ["--keep", "7"],
        "--prune": None,  # exclusive with --keep; see the test of the budget
        "--score": ["--score", "loss"],
        "--also": ["--also", "loss"],
        "--rule": ["--rule", "top"],
        "--quota": ["--quota", "uniform"],
        "--align": (["--rule", "top"], ["--rule", "top", "--align", "none"]),
        "--features": (["--rule", "herding", "--features", "f.npy"], ["--rule", "herding", "--features", "g.npy"]),
        "--plan": ["--plan", "halves"],
        "--folds": ["--folds", "3"],
        "--repeats": ["--repeats", "2"],
        "--learner": ["--learner", "logistic:C=2.0"],
        "--seed": ["--seed", "1"],
        "--groups": ["--groups", "none"],
        "--threads": ["--threads", "2"],
        "--verify": ["--verify", "full"],
        "--target": (["--learner", "ridge", "--score", "loss"], ["--learner", "ridge", "--target", "y"]),
        "--x": ["--x", "cubes"],
        "--quiet": ["--quiet"],
        "--json": ["--json"],
        "--jobs": None,  # changes no number, by law 2; see the test of Ctrl-C
        "--executor": None,  # the same; see tests/engine/executors/test_ray.py, for its address too
        "--address": None,
        "--out": None,  # given to every run here
        "--no-report": None,  # changes no number; see tests/cli/test_cli_report.py
        "--yes": None,  # changes no number; see test_long_work.py
        "--log": None,  # changes no number; see test_log.py
        "--candidate": None,  # this and the next two go with --rule auto; see test_prune_auto
        "--probe": None,
        "--confirm": None,
    },
    "table.parquet": {
        "--label": ["--label", "z"],
        "--feature": ["--feature", "f0"],
        "--id": ["--id", "name"],
        "--group": ["--group", "batch"],
        "--split": ["--split", "train"],
        "--text": ["--text", "words", "--learner", "tfidf"],
        "--image": (["--image", "picture"], ["--image", "mirror"]),
    },
    "images": {
        "--image-size": ["--image-size", "4"],
        "--mode": ["--mode", "L"],
        "--on-error": (["--on-error", "raise"], ["--on-error", "skip"]),
    },
}
BASE = {
    "digits.npz": ["--learner", "logistic"],
    "table.parquet": ["--learner", "forest:n_estimators=5", "--label", "y"],
    "images": ["--learner", "forest:n_estimators=5", "--image-size", "8", "--on-error", "skip"],
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory, digits_file):
    folder = tmp_path_factory.mktemp("forms")
    X, y = (np.load(digits_file)[name] for name in "xy")
    np.savez(folder / "digits.npz", x=X, y=y, cubes=X**3)
    X, y = X[:60], y[:60] % 3
    np.save(folder / "f.npy", np.load(digits_file)["x"])
    np.save(folder / "g.npy", np.load(digits_file)["x"] ** 3)
    pictures: dict[str, list] = {"picture": [], "mirror": []}
    for i in range(60):
        place = folder / "images" / "abc"[y[i]]
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(X[i].reshape(8, 8).astype(np.uint8) * 15)
        picture.save(place / f"{i}.png")
        for column, shown in (("picture", picture), ("mirror", picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            held = io.BytesIO()
            shown.save(held, format="png")
            pictures[column].append({"bytes": held.getvalue(), "path": f"{i}.png"})
    broken = folder / "images" / "a" / "0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    columns = {
        "f0": X[:, 20], "f1": X[:, 30], "y": y, "z": (y + 1) // 2, "name": [f"s{i}" for i in range(60)],
        "batch": np.arange(60) // 2, "split": ["train", "train", "test", "train"] * 15,
        "words": [" ".join(["one", "two", "three"][c] for c in (y[i], i % 3)) for i in range(60)],
        **pictures,
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return folder


def effect(unseen_says, argv, run):
    """Everything that an option can change."""
    said = unseen_says(*argv, "--out", run)
    kept = content(run) if run.exists() else {}
    words = (said.out + said.err).replace(str(run), "RUN")
    return said.code, re.sub(r", about .* left", "", words), {n: kept[n] for n in kept if n != "command.json"}


@pytest.fixture(scope="module")
def without():
    """The effect of each command without an option that is tried."""
    return {}


@pytest.mark.parametrize(
    ("form", "option"), [(form, option) for form, options in OPTIONS.items() for option in options if options[option]]
)
def test_every_option_of_prune_changes_something(unseen_says, forms, without, form, option, tmp_path, monkeypatch):
    monkeypatch.chdir(forms)
    base = ["prune", form, "--folds", "2", "--threads", "1", "--keep", "0.5", "--no-report", *BASE[form]]
    change = OPTIONS[form][option]
    beside, change = change if isinstance(change, tuple) else ([], change)
    key = " ".join([form, *beside])
    if key not in without:
        without[key] = effect(unseen_says, [*base, *beside], tmp_path / "a")
    if option == "--plan":
        base = [word for word in base if word not in ("--folds", "2")]
    changed = effect(unseen_says, [*base, *change], tmp_path / "b")
    assert changed[0] == 0, changed[1]
    assert changed != without[key]


def test_no_option_of_prune_is_left_out_above():
    prune = typer.main.get_command(app).commands["prune"]
    has = {max(p.opts, key=len) for p in prune.params if p.opts[0].startswith("-")}
    assert has - {"--help", "--help-all"} == {option for options in OPTIONS.values() for option in options}


AUTO = ["--keep", "0.3", "--rule", "auto", "--learner", "sklearn:sklearn.naive_bayes:GaussianNB", "--threads", "1"]


def test_prune_auto(unseen_says, digits_file, tmp_path):
    two = ["--candidate", "folds:k=2/el2n/top", "--candidate", "folds:k=2/el2n/stratified:cutoff=0.3"]
    argv = ["prune", digits_file, *AUTO, *two, "--confirm", "3", "--no-report", "--out", tmp_path / "a"]
    said = unseen_says(*argv, "--json")
    assert said.code == 0, said.err
    evidence = json.loads(said.out)["auto"]
    assert evidence["confirmed"]["seeds"] == 3
    assert set(evidence["rounds"][0]["accuracy"]) == {"random", "folds:k=2/el2n/top", two[-1]}
    again = unseen_says("resume", tmp_path / "a")
    assert again.code == 0
    assert json.loads(again.out)["auto"] == evidence
    other = unseen_says(*argv[:-1], tmp_path / "b", "--probe", "0.5", "--json")
    assert json.loads(other.out)["auto"]["held_out"] > evidence["held_out"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--keep", "0.3", "--candidate", "el2n/top"], "--candidate is for --rule auto"),
        (["--keep", "0.3", "--confirm", "3"], "--confirm is for --rule auto"),
        ([*AUTO, "--folds", "3"], "chooses the plan itself"),
        ([*AUTO, "--candidate", "el2n/topp"], "did you mean 'top'"),
    ],
)
def test_what_does_not_go_with_auto(unseen_says, digits_file, argv, message, tmp_path):
    said = unseen_says("prune", digits_file, *argv, "--out", tmp_path / "run")
    assert said.code == 1
    assert message in said.err
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").rglob("result.npz"))


def test_a_coreset_that_is_replaced_is_said(unseen_says, prune, finished):
    again = [*prune, "--out", finished]
    assert "replaced" not in unseen_says(*again).err
    said = unseen_says(*again, "--keep", "0.25")
    assert said.code == 0, said.err
    assert f"replaced the coreset of 100 samples in {finished / 'coreset.parquet'}" in said.err
    assert len(unseen.load(finished).coreset) == 50
    assert "replaced" not in unseen_says(*again, "--quiet").err


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("got keep=0.5 and prune=0.5", "got --keep 0.5 and --prune 0.5"),
        ("resize them by image_size= (--image-size)", "resize them by image_size= (--image-size)"),
        (
            "rule stratified:cutoff=0.1 and executor='ray:jobs=2'",
            "rule stratified:cutoff=0.1 and --executor 'ray:jobs=2'",
        ),
        (
            "resize them by image_size=; targets; quota={class: 3}",
            "resize them by --image-size; targets; quota={class: 3}",
        ),
        ("unlike /data/label=1/x.png", "unlike /data/label=1/x.png"),
    ],
)
def test_a_message_names_options_as_they_are_typed(message, typed):
    assert name_options(message) == typed
