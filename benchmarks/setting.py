"""What every benchmark writes down beside its figures: machine, versions, commit, load."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("unseen", "numpy", "scipy", "scikit-learn", "torch", "pillow", "pyarrow")


def about() -> dict[str, object]:
    """Read at the end of a run, so that the load is that of the run."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "processor": _processor(),
        "processors_usable": len(os.sched_getaffinity(0)),
        "gpu": _gpu(),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": _versions(),
        "commit": git.stdout.strip() or "unknown",
    }


def write(name: str, result: dict[str, Any], out: Path | None = None) -> Path:
    """Write a result as JSON, with the setting."""
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "about": about(), **result}, indent=2) + "\n")
    return path


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())


def _gpu() -> str | None:
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
