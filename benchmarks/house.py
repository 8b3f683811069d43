"""How large and how deep the source is: files, lines, parameters, docstrings, words, and what `prune digits` runs.

    python benchmarks/house.py                        # of this checkout
    python benchmarks/house.py --source OTHER/src     # of another one
    python benchmarks/house.py --list                 # and the files, lines and functions that `prune digits` runs

Prints a line a figure. Not a benchmark of speed: it says whether the house can be held in the head.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef

# A verb that a first line may begin with; who says "The rows of..." does not say what the function does.
NOUNS = re.compile(r"^((The|A|An|What|Who|How|Whether|Where|When|As|Of|One|All|Those|Every|Each|That|Its?|From)\b|\W)")


def modules(source: Path) -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted(source.rglob("*.py"))}


def functions(trees: dict[Path, ast.Module]) -> Iterator[Function]:
    for tree in trees.values():
        yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> int:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs) if a.arg not in ("self", "cls")]
    return len(names)


def imperative(trees: dict[Path, ast.Module]) -> float:
    """The share of functions with a docstring whose first word may be a verb."""
    first = [doc.lstrip().split("\n")[0] for f in functions(trees) if (doc := ast.get_docstring(f))]
    return sum(not NOUNS.match(line) and not line.split()[0].endswith(("ed", "ing")) for line in first) / len(first)


def executed(source: Path) -> dict[str, Counter[tuple[str, int]]]:
    """What `unseen prune digits` runs, without its report: by file the functions (name, line), and how often each."""
    code = f"""
import json, sys, tempfile
from collections import Counter
source = {str(source / "unseen")!r}
seen = Counter()
def profile(frame, event, arg):
    if event == "call" and frame.f_code.co_flags & 1 and frame.f_code.co_filename.startswith(source):
        seen[frame.f_code] += 1
sys.argv = ["unseen", "prune", "digits", "--keep", "0.5", "--learner", "logistic", "--no-report", "--quiet",
            "--out", tempfile.mkdtemp() + "/run"]
from unseen.cli import main
sys.setprofile(profile)
try:
    main()
except SystemExit:
    pass
sys.setprofile(None)
print(json.dumps([(c.co_filename, c.co_qualname, c.co_firstlineno, n) for c, n in seen.items()]))
"""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": str(source), "PATH": "/usr/bin:/bin", "HOME": folder},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found: dict[str, Counter[tuple[str, int]]] = {}
    for file, name, line, times in json.loads(done.stdout.splitlines()[-1]):
        found.setdefault(file, Counter())[name, line] += times
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT / "src")
    parser.add_argument("--list", action="store_true", help="list what `prune digits` runs, in the order of the calls")
    args = parser.parse_args()
    source = args.source.resolve()
    trees = modules(source / "unseen")
    lines = sum(len(path.read_text().splitlines()) for path in trees)
    counts = [parameters(function) for function in functions(trees)]
    classes = Counter(n.name for t in trees.values() for n in ast.walk(t) if isinstance(n, ast.ClassDef))
    packages = {path.parent for path in trees if path.name != "__init__.py" and path.parent != source / "unseen"}
    top = {path.relative_to(source / "unseen").parts[0] for path in packages}
    figures = {
        "files": len(trees),
        "lines": lines,
        "packages on the first level": len(top),
        "functions": len(counts),
        "with more than 6 parameters": sum(c > 6 for c in counts),
        "with more than 10": sum(c > 10 for c in counts),
        "with more than 16": sum(c > 16 for c in counts),
        "most parameters": max(counts),
        "docstrings that may begin with a verb": f"{imperative(trees):.0%}",
        "class names with two meanings": ", ".join(sorted(name for name, times in classes.items() if times > 1)),
    }
    run = executed(source)
    names = {(file, name) for file, calls in run.items() for name, _ in calls}
    figures |= {
        "`prune digits` runs files": len(run),
        "`prune digits` runs functions": len(names),
        "of these no comprehension or lambda": sum("<" not in name.rpartition(".")[2] for _, name in names),
        "`prune digits` runs packages": len({Path(file).parent for file in run}),
        "lines in these files": sum(len(Path(file).read_text().splitlines()) for file in run),
    }
    for name, value in figures.items():
        print(f"{name:42} {value}")
    for file, calls in run.items() if args.list else ():
        print(f"{Path(file).relative_to(source)}, {len(Path(file).read_text().splitlines())} lines")
        for (name, line), times in calls.items():
            print(f"    {line:4} {name} x {times}")


if __name__ == "__main__":
    main()
