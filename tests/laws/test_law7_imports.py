"""Law 7: importing `unseen` imports neither torch nor ray nor matplotlib; and no module hides a public function."""

import subprocess
import sys

import pytest

import unseen

# Not pandas, which scikit-learn imports where it is installed.
HEAVY = ("torch", "ray", "matplotlib", "jinja2", "datasets", "lightning", "transformers", "skorch")


def heavy_imports(code):
    script = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import unseen",
        "import unseen\n[getattr(unseen, name) for name in unseen.__all__]",
        "import unseen.cli",
        "from unseen.integrations import fabric, huggingface, lightning, skorch",
        "import unseen\nunseen.prune('digits', keep=0.5, learner='logistic', plan=unseen.folds(2))",
    ],
    ids=["import", "every public name", "command line", "integrations", "a whole run without torch"],
)
def test_nothing_heavy(code):
    assert heavy_imports(code) == "[]"


def test_training_does_not_import_the_compiler_of_torch():
    """It takes as long as torch itself, and every optimiser of torch imports it."""
    script = (
        "import sys, unseen; from unseen.learners import Recipe, TorchLearner; "
        "learner = TorchLearner(Recipe(network='mlp', epochs=1), device='cpu'); "
        "unseen.score('digits', plan=unseen.folds(2), learner=learner); "
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"


def test_planted_import_is_caught():
    assert heavy_imports("import unseen, jinja2") == "['jinja2']"


def test_importing_is_cheap():
    """Not even NumPy: the names are filled in when they are first used."""
    script = "import sys, unseen; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_line_imports_what_it_needs():
    """The help comes at once: half of a second or more is scikit-learn and scipy.stats."""
    script = "import sys, unseen.cli; print([m for m in ('sklearn', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("first", ["import unseen.pruning, unseen.engine.scoring, unseen.scores", "import unseen"])
def test_verbs_are_functions_in_both_import_orders(first):
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
