"""Law 8: no file is ever unpickled."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest

import unseen
from unseen.errors import CorruptFileError

SOURCES = sorted(Path(unseen.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


def unpickling(source):
    """Where a piece of code could unpickle a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            found += [name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
            if isinstance(node, ast.ImportFrom) and node.module == "joblib":
                found += [a.name for a in node.names if a.name in ("load", "Memory")]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            safe = called == "torch.load" and any(
                k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords
            )
            if called in ("torch.load", "pd.read_pickle", "joblib.load") and not safe:
                found.append(called)
            allowed = [k for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
            if allowed or (
                called in ("np.load", "numpy.load") and "allow_pickle" not in [k.arg for k in node.keywords]
            ):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(SOURCES[0].parent).as_posix())
def test_no_source_unpickles(path):
    # Worker processes exchange objects through pipes by the pickle module; nothing there comes from a file.
    allowed = {"pickle"} if path.parent.name == "executors" else set()
    assert not set(unpickling(path.read_text())) - allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
    ],
)
def test_planted_unpickling_is_caught(source):
    assert unpickling(source)


def test_a_table_with_objects_is_refused(tmp_path):
    path = tmp_path / "scores.parquet"
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CorruptFileError, match="damaged or was not written by unseen"):
        unseen.load(path)
