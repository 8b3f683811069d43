"""docs/results.md and docs/text_and_tables.md from the results of the study: no figure is typed by hand.

python benchmarks/quality/tables.py           # writes the pages
python benchmarks/quality/tables.py --check   # exits 1 if a page is not what the results say

Differences are paired by replicate; an interval is the 95 % t-interval over replicates that redraw scoring, selection
and training; a star says that it excludes 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from unseen.verdicts import Interval, interval, paired

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ("results.md", "text_and_tables.md")  # in docs; their words are beside this file
FOLDS, SEEN, GROW = "folds:k=5", "seen", "grow:steps=3,folds=2"


class Study:
    """The accuracies of one data set: method and budget to one a replicate."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.n = result["n"]
        self.cells = result["accuracy"]
        self.budgets = sorted(map(int, self.cells["random"]), reverse=True)

    def of(self, method: str, budget: int) -> np.ndarray | None:
        """Accuracies by replicate, or None where it was not tried."""
        cells = self.cells.get(method)
        if cells is None:
            return None
        return np.array(cells[str(self.n)] if method == "full" else cells[str(budget)])

    def mean(self, method: str, budget: int) -> str:
        found = self.of(method, budget)
        return "" if found is None else interval(found).text()

    def change(self, method: str, other: str, budget: int) -> str:
        """The paired difference in points."""
        mine, theirs = self.of(method, budget), self.of(other, budget)
        return "" if mine is None or theirs is None else starred(paired(mine, theirs))

    def heads(self) -> list[str]:
        return [f"{100 * (1 - b / self.n):.0f} %" for b in self.budgets]

    def row(self, name: str, entry: Any) -> list[str]:
        return [name, *(entry(budget) for budget in self.budgets)]


def starred(found: Interval) -> str:
    return found.text(sign=True) + (" *" if found.low > 0 or found.high < 0 else "")


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *(row for row in rows if any(row[1:]))]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def all_methods(study: Study) -> list[str]:
    """Every method: accuracy, and the paired difference to random."""
    rows = []
    for method in study.cells:

        def entry(budget: int, method: str = method) -> str:
            text = study.mean(method, budget)
            if method in ("full", "random") or not text:
                return text
            return f"{text} ({study.change(method, 'random', budget)})"

        rows.append(study.row(f"`{method}`", entry))
    return table(["method", *study.heads()], rows)


def held_out_against_in_sample(study: Study) -> list[str]:
    rules = ["top", "stratified", "stratified:cutoff=0.1", "stratified:cutoff=0.3", "beta"]
    rules += ["window:offset=0.1", "window:offset=0.3", "graph", "infomax"]
    names = list(dict.fromkeys(m.split("/")[1] for m in study.cells if m.startswith(f"{SEEN}/")))
    rows = []
    for score in names:
        for rule in rules:
            a, b = f"{FOLDS}/{score}/{rule}", f"{SEEN}/{score}/{rule}"
            rows.append(study.row(f"`{score}` {rule}", lambda budget, a=a, b=b: study.change(a, b, budget)))
    return table(["held out less in-sample", *study.heads()], rows)


def against(study: Study, reference: str, others: list[str]) -> list[str]:
    rows = [study.row(f"`{m}`", lambda budget, m=m: study.change(m, reference, budget)) for m in others]
    return table([f"less `{reference}`", *study.heads()], rows)


def several_steps(study: Study) -> list[str]:
    rows = []
    for method in study.cells:
        plan, _, rest = method.partition("/")
        if not plan.startswith("grow"):
            continue
        one = f"{FOLDS}/{rest}"
        rows.append(study.row(f"`{method}` less `{one}`", lambda b, m=method, o=one: study.change(m, o, b)))
        rows.append(study.row(f"`{method}` less `random`", lambda b, m=method: study.change(m, "random", b)))
    return table(["several steps", *study.heads()], rows)


def best_rules(study: Study) -> list[str]:
    """The best of each plan and rule at each rate: a maximum over methods, so flattered."""
    rows = []
    for budget, head in zip(study.budgets, study.heads(), strict=True):
        ranked = sorted(
            (m for m in study.cells if m != "full"), key=lambda m, b=budget: -float(np.mean(study.of(m, b)))
        )
        place = 1 + ranked.index("random")
        rows.append([head, *(f"`{m}` {study.mean(m, budget)}" for m in ranked[:4]), f"{place} of {len(ranked)}"])
    return table(["pruned", "first", "second", "third", "fourth", "place of random"], rows)


def width(result: dict[str, Any]) -> list[str]:
    rows = []
    for score in result["scores"]:
        a, b = (result["width"][plan][score] for plan in ("seen", "folds"))
        rows.append([f"`{score}`", *(f"{a[k]:.2f} → {b[k]:.2f}" for k in ("entropy", "distinct", "agreement"))])
    return table(["in-sample → held out", "entropy", "distinct ranks", "agreement of two scorings"], rows)


def noise(result: dict[str, Any], kind: str) -> list[str]:
    rows = []
    for score in result["scores"]:
        a, b = (result[kind][plan][score] for plan in ("seen", "folds"))
        shares = [f"{100 * a[k]:.0f} → {100 * b[k]:.0f} %" for k in ("hardest_0.1", "hardest_0.3", "hardest_0.5")]
        rows.append([f"`{score}`", f"{a['auroc']:.3f} → {b['auroc']:.3f}", *shares])
    return table(["in-sample → held out", "AUROC", "in the hardest 10 %", "30 %", "50 %"], rows)


def setting(result: dict[str, Any]) -> list[str]:
    a = result["about"]
    packages = ", ".join(f"{name} {number}" for name, number in a["versions"].items())
    return [f"*{a['processor']}, Python {a['python']}, {packages}; commit {a['commit'][:8]}.*", ""]


def blocks() -> dict[str, list[str]]:
    """Name to lines, for the places `<!-- name -->` of the text."""
    made: dict[str, list[str]] = {}
    for path in sorted(RESULTS.glob("quality_*_report.json")):
        result = json.loads(path.read_text())
        name, study = path.stem.removeprefix("quality_").removesuffix("_report"), Study(result)
        made |= {
            f"{name} all": all_methods(study) + setting(result),
            f"{name} exposure": held_out_against_in_sample(study),
            f"{name} folds": against(
                study,
                f"{FOLDS}/el2n/stratified",
                [
                    f"{plan}/el2n/stratified"
                    for plan in ("folds:k=2", "folds:k=10", "folds:k=2,repeats=5", "folds:k=5,repeats=2")
                ],
            ),
            f"{name} folds top": against(
                study,
                f"{FOLDS}/el2n/top",
                [
                    *(
                        f"{p}/el2n/top"
                        for p in ("folds:k=2", "folds:k=10", "folds:k=2,repeats=5", "folds:k=5,repeats=2")
                    ),
                    f"{FOLDS}/el2n/top:align=none",
                ],
            ),
            f"{name} steps": several_steps(study),
            f"{name} rules": against(study, "random", [m for m in study.cells if m.startswith(f"{FOLDS}/el2n/")]),
            f"{name} both sides": against(study, "random", [m for m in study.cells if m.startswith("halves")]),
            f"{name} best": best_rules(study),
        }
    for path in sorted(RESULTS.glob("quality_*_tuning.json")):
        name = path.stem.removeprefix("quality_").removesuffix("_tuning")
        made[f"{name} tuning"] = all_methods(Study(json.loads(path.read_text())))
    for path in sorted(RESULTS.glob("real_networks_*.json")):
        result = json.loads(path.read_text())
        made[f"{result['set']} real networks"] = real_networks(result) + setting(result)
    made["designs report"] = across_beds(json.loads((RESULTS / "designs_report.json").read_text()))
    tuning = json.loads((RESULTS / "designs_tuning.json").read_text())
    for study, beds in tuning["studies"].items():
        for keep in ("0.7", "0.5", "0.3"):
            made[f"designs {study.split(' ')[0]} {keep}"] = by_bed(beds, keep)
    distribution = json.loads((RESULTS / "quality_distribution.json").read_text())
    made |= {
        "width": width(distribution) + setting(distribution),
        "flipped": noise(distribution, "flipped"),
        "human": noise(distribution, "human"),
    }
    made["imagenet cost"] = cost(json.loads((RESULTS / "imagenet_cost.json").read_text()))
    made["agreement"] = agreement(json.loads((RESULTS / "quality_agreement.json").read_text()))
    examples = json.loads((RESULTS / "worked_examples.json").read_text())
    made |= {f"{name} example": transcript(commands) for name, commands in examples["sets"].items()}
    made["examples summary"] = verdicts(examples["sets"])
    made["examples setting"] = setting(examples)
    return made


def agreement(result: dict[str, Any]) -> list[str]:
    """The cheap scores against those of a trained network."""
    cells = {name: {k: np.array(v) for k, v in by.items()} for name, by in result["accuracy"].items()}
    rows = []
    for name, found in cells.items():
        row = [name if name == "random" else f"scored by {name}"]
        for keep, accuracies in found.items():
            change = "" if name == "random" else f" ({starred(paired(accuracies, cells['random'][keep]))})"
            row.append(interval(accuracies).text() + change)
        rows.append(row)
    held = ", ".join(f"{name} {100 * a:.1f} %" for name, a in result["held_out"].items())
    lines = [
        f"Rank correlation of `el2n`: {result['correlation']['el2n']:.2f}. Held-out accuracy: {held}.",
        "",
        *table(["coreset", *(f"{float(keep):.0%} kept" for keep in cells["random"])], rows),
    ]
    return [*lines, *setting(result)]


def real_networks(result: dict[str, Any]) -> list[str]:
    """Every arm at every budget: accuracy, the paired difference to random, its worst class, and what choosing cost."""
    lines = []
    for fix in sorted({cell["fix"] for cell in result["cells"]}):
        cells = {(c["arm"], c["keep"], c["seed"]): c for c in result["cells"] if c["fix"] == fix}
        keeps = sorted({keep for arm, keep, _ in cells if arm != "full"}, reverse=True)
        full = [cell["accuracy"] for (arm, _, _), cell in cells.items() if arm == "full"]
        rows = []
        for arm in dict.fromkeys(arm for arm, _, _ in cells if arm != "full"):
            own = [cell for (of, _, _), cell in cells.items() if of == arm]
            price = np.mean([cell["choosing"]["trained"] for cell in own]) / result["training"]["samples"]
            rows.append([arm, f"{price:.1f}", *(_of_arm(cells, arm, keep) for keep in keeps)])
        heads = ["arm", "choosing, in trainings", *(f"{keep:.0%} kept" for keep in keeps)]
        everything = f"; everything comes to {interval(full).text()}" if full else ""
        lines += [f"With {fix} fixed{everything}:", "", *table(heads, rows)]
    return lines


def _of_arm(cells: dict[tuple[str, float, int], dict[str, Any]], arm: str, keep: float) -> str:
    seeds = [seed for of, k, seed in cells if (of, k) == (arm, keep)]
    if not seeds:
        return ""
    text = interval([cells[arm, keep, seed]["accuracy"] for seed in seeds]).text()
    common = [seed for seed in seeds if ("random", keep, seed) in cells]
    if arm == "random" or not common:
        return text
    mine, random = ([cells[of, keep, seed] for seed in common] for of in (arm, "random"))
    change = paired(*([cell["accuracy"] for cell in part] for part in (mine, random)))
    recall = [np.mean([cell["recall"] for cell in part], axis=0) for part in (mine, random)]
    return f"{text} ({starred(change)}; worst class {100 * float(np.min(recall[0] - recall[1])):+.1f})"


def gains(bed: dict[str, Any], design: str, keep: str) -> np.ndarray:
    """What a design gains over random, in points, replicate by replicate; empty where it was not tried."""
    cells, drawn = (bed["accuracy"].get(name, {}).get(keep, {}) for name in (design, "random"))
    if isinstance(cells, list):
        return 100 * (np.array(cells) - np.array(drawn))
    return 100 * np.array([cells[seed] - drawn[seed] for seed in cells if seed in drawn])


def across_beds(result: dict[str, Any]) -> list[str]:
    """Every design on the report beds: the mean gain over random at each budget, and the mean of its ranks."""
    beds, keeps = result["beds"], ("0.7", "0.5", "0.3", "0.1")
    ranks: dict[str, list[float]] = {}
    for bed in beds.values():
        for keep in keeps:
            means = {name: np.mean(cells[keep]) for name, cells in bed["accuracy"].items() if keep in cells}
            for place, name in enumerate(sorted(means, key=lambda name: -means[name]), start=1):
                ranks.setdefault(name, []).append(place)
    rows = []
    for design, found in sorted(ranks.items(), key=lambda item: np.mean(item[1])):
        tried = [bed for bed in beds.values() if design in bed["accuracy"]]
        means = [f"{np.mean([gains(bed, design, keep).mean() for bed in tried]):+.1f}" for keep in keeps]
        rows.append([design, f"{np.mean(found):.1f}", str(len(tried)), *means])
    heads = ["design", "mean rank", "beds", *(f"{100 * (1 - float(keep)):.0f} %" for keep in keeps)]
    return [*table(heads, rows), *setting(result)]


def by_bed(beds: dict[str, Any], keep: str) -> list[str]:
    """Every design on each tuning bed at one budget: the gain over random, its standard error, its price."""
    designs = dict.fromkeys(design for bed in beds.values() for design in bed["accuracy"])
    rows = []
    for design in designs:
        found = [gains(bed, design, keep) for bed in beds.values()]
        price = next(bed["price"][design] for bed in beds.values() if design in bed["price"])
        rows.append([design, f"{price:.2g}", *(_with_error(gain) for gain in found)])
    rows = [row for row in rows if row[0] != "random"]
    return table(["design", "price", *beds], rows)


def _with_error(gain: np.ndarray) -> str:
    if not len(gain):
        return ""
    error = f" ({gain.std(ddof=1) / len(gain) ** 0.5:.1f})" if len(gain) > 1 else ""
    return f"{gain.mean():+.1f}{error}"


def cost(result: dict[str, Any]) -> list[str]:
    found = result["cost"]
    hours = found["gpu_hours"]
    names = {"train_on_full": "train on everything", "train_on_coreset": "train on the coreset",
             "choose_one_coreset": "choose one coreset"}  # fmt: skip
    lines = table(["GPU hours", ""], [[text, f"{hours[name]:.1f}"] for name, text in names.items()])
    lines += table(
        ["GPUs", "hours until all three trainings are done, choosing included"],
        [[gpus, f"{took:.1f}"] for gpus, took in found["hours"].items()],
    )
    return [*lines, f"It pays after {found['trainings_until_it_pays']:.1f} trainings on the coreset.", ""]


def verdicts(sets: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Every coreset that was evaluated, against everything and against a random part of its size."""
    rows = []
    for name, commands in sets.items():
        for entry in commands:
            for arm, found in entry.get("arms", {}).items():
                if found["kind"] == "coreset":
                    told = [found["against"][other]["text"] for other in ("full", "random")]
                    rows.append([name, arm.removeprefix(f"{name}-"), f"{100 * found['accuracy']['mean']:.1f}", *told])
    return table(["data set", "learner", "accuracy", "against full", "against random"], rows)


def transcript(commands: list[dict[str, Any]]) -> list[str]:
    """Commands and what they printed."""
    lines = []
    for entry in commands:
        lines += [f"    $ {entry['command']}", *(f"    {line}".rstrip() for line in entry["shown"]), ""]
    return lines[:-1]


def page(words: str, made: dict[str, list[str]]) -> str:
    """The text with the tables in their places; a place without a result is an error."""
    lines = []
    for line in words.splitlines():
        if line.startswith("<!-- ") and line.endswith(" -->"):
            lines += made[line[5:-4]]
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check, made = parser.parse_args().check, blocks()
    for name in PAGES:
        text, place = page(Path(__file__).with_name(name).read_text(), made), ROOT / "docs" / name
        if not check:
            place.write_text(text)
        elif place.read_text() != text:
            sys.exit(f"docs/{name} is not what the results say: run python benchmarks/quality/tables.py")


if __name__ == "__main__":
    main()
