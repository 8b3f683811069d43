"""Law 7: importing `unseen` imports neither torch nor ray nor matplotlib; and no module hides a public function."""

import subprocess
import sys

import pytest

import unseen

# Not pandas, which scikit-learn imports where it is installed.
HEAVY = ("torch", "ray", "matplotlib", "jinja2", "datasets", "lightning", "transformers", "skorch")


# What a program does, one after the other, and the modules that are not imported even then.
STAGES = {
    "import": ("import unseen", (*HEAVY, "numpy")),  # the names are filled in when they are first used
    # The help comes at once: half of a second or more is scikit-learn and scipy.stats.
    "command line": ("import unseen.cli", (*HEAVY, "sklearn", "scipy.stats")),
    "every public name": ("found = [getattr(unseen, name) for name in unseen.__all__]", HEAVY),
    "verbs are functions": ("assert all(map(callable, (unseen.prune, unseen.score, unseen.select)))", HEAVY),
    "scores and checks": ("import unseen.functional, unseen.scores, unseen.testing", HEAVY),
    "integrations": ("from unseen.integrations import fabric, huggingface, lightning, skorch", HEAVY),
    "a whole run without torch": (
        "unseen.prune('digits', keep=0.5, learner='logistic', plan=unseen.folds(2))",
        HEAVY,
    ),
    # The compiler takes as long as torch itself, and every optimiser of torch imports it.
    "training by torch": (
        "from unseen.learners import Recipe, TorchLearner; "
        "learner = TorchLearner(Recipe(network='mlp', epochs=1), device='cpu'); "
        "unseen.score('digits', plan=unseen.folds(2), learner=learner); assert 'torch' in sys.modules",
        ("torch._dynamo",),
    ),
}


def imports_of(stages):
    """Run the stages in one new process; returns what each has imported of the modules that it must not."""
    lines = ["import sys"]
    for code, unwanted in stages:
        lines += [code, f"print([name for name in {unwanted!r} if name in sys.modules])"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def imports():
    return dict(zip(STAGES, imports_of(STAGES.values()), strict=True))


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_heavy(imports, stage):
    assert imports[stage] == "[]"


def test_planted_import_is_caught():
    assert imports_of([("import unseen, jinja2", HEAVY)]) == ["['jinja2']"]


def test_verbs_are_functions_where_their_modules_are_imported_first():
    first = "import unseen.pruning, unseen.engine.scoring, unseen.scores"
    script = f"{first}\nimport unseen\nassert all(callable(getattr(unseen, v)) for v in ('prune', 'score', 'select'))"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_module_bears_the_name_of_a_public_function():
    import pkgutil

    from unseen import rules

    # Importing a module binds its name in its package: the function of that name would be gone.
    rooms = {"data", "functional", "learners", "rules"}  # public as modules
    for package, own in ((unseen, rooms), (rules, set())):
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
        assert not (modules & set(package.__all__)) - own


def test_the_stub_lists_what_is_exported():
    import re
    from pathlib import Path

    stub = Path(unseen.__file__).with_suffix(".pyi").read_text()
    assert set(re.findall(r" as (\w+)$", stub, flags=re.M)) == set(unseen.__all__)
    assert len(set(unseen.__all__)) == len(unseen.__all__)
    for name in unseen.__all__:
        assert getattr(unseen, name) is not None
