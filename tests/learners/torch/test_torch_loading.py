import os
import subprocess
import sys

import pytest

from unseen.errors import MissingDependencyError
from unseen.learners.torch.loading import load_torch

PROBE = """
import os, sys
seen = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            seen.append(os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Finder())
from unseen.learners import resolve
resolve("mlp", None)
print(seen[-1], os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({}, "1000 None True"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None None True"),
        ({"GOMP_SPINCOUNT": "9"}, "9 9 True"),
    ],
)
def test_threads_are_told_to_sleep_soon_unless_the_user_says_otherwise(setting, told):
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", PROBE], env={**clean, **setting}, capture_output=True, text=True)
    assert done.stdout.strip() == told, done.stderr


def test_a_missing_torch_says_how_to_get_it(monkeypatch):
    before = os.environ.get("GOMP_SPINCOUNT")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Refuses(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=r"the torch learner needs .* pip install 'unseen\[torch\]'"):
        load_torch()
    assert os.environ.get("GOMP_SPINCOUNT") == before


class _Refuses:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")
