import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from torch_stand_ins import pictures, quick, train

from unseen.errors import MissingDependencyError
from unseen.learners.torch import inputs
from unseen.learners.torch.learner import load_torch

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


SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def test_torch_is_loaded_with_threads_that_sleep_soon():
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run([sys.executable, "-c", PROBE], env=clean, capture_output=True, text=True)
    assert done.stdout.strip() == "1000 None True", done.stderr


@pytest.mark.parametrize(
    ("own", "told"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None), ({"GOMP_SPINCOUNT": "9"}, "9")],
)
def test_the_user_may_say_otherwise(monkeypatch, own, told):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    seen = []
    refuses = _Refuses(lambda: seen.append(os.environ.get("GOMP_SPINCOUNT")))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [refuses, *sys.meta_path])
    with pytest.raises(MissingDependencyError):
        load_torch()
    assert seen == [told]
    assert {name: os.environ[name] for name in SETTINGS if name in os.environ} == own


def test_a_missing_torch_says_how_to_get_it(monkeypatch):
    before = os.environ.get("GOMP_SPINCOUNT")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Refuses(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match=r"the torch learner needs .* pip install 'unseen\[torch\]'"):
        load_torch()
    assert os.environ.get("GOMP_SPINCOUNT") == before


class _Refuses:
    def __init__(self, asked=lambda: None):
        self.asked = asked

    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            self.asked()
            raise ModuleNotFoundError("No module named 'torch'")


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (10, r"shared memory .* has 0 MB free: batches come through pipes"),
        (None, "cannot be written"),
    ],
    ids=["too small", "absent"],
)
def test_without_room_in_shared_memory_batches_come_another_way_and_are_the_same(monkeypatch, tmp_path, size, told):
    data, recipe = pictures(n=40), quick("mlp", epochs=2)
    held, _, _ = train(data, recipe)
    if size is None:
        monkeypatch.setattr(inputs, "SHARED", tmp_path / "absent")
    else:
        monkeypatch.setattr(inputs.shutil, "disk_usage", lambda place: SimpleNamespace(free=size))
    with pytest.warns(UserWarning, match=told):
        streamed, _, _ = train(data, recipe, memory_limit=10, data_workers=1)
    for name, values in held.state().items():
        np.testing.assert_array_equal(streamed.state()[name], values)
