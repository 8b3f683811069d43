"""Fill the tables of README, docs and the pages beside this file from `benchmarks/results`: no figure is typed by hand.

python benchmarks/quality/tables.py           # writes the tables into the pages
python benchmarks/quality/tables.py --check   # exits 1 if a table is not what the results say

A table stands in its page between `<!-- table: NAME -->` and `<!-- end -->`; the words around it are written by hand.
Differences are paired by replicate; an interval is the 95 % t-interval over replicates that redraw scoring, selection
and training; a star says that it excludes 0.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from unseen.evaluating.statistics import Interval, interval, paired

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    "README.md",
    "docs/results.md",
    "docs/embeddings.md",
    "docs/is_it_worth_it.md",
    "docs/text_and_tables.md",
    "benchmarks/quality/results.md",
    "benchmarks/quality/text_and_tables.md",
)
PLACE = re.compile(r"<!-- table: (.+?) -->\n.*?<!-- end -->", flags=re.S)
KEEPS = ("0.7", "0.5", "0.3", "0.1")
STEPS = "steps (strata less min(e, p^3))"  # of the tuning beds, before the study of several steps
BASELINES = ("random", "random, by class", "default", "everything")  # the other designs of the report are peers
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
    return [("| " + " | ".join(line) + " |").replace("  ", " ") for line in lines] + [""]


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


def width(result: dict[str, Any], scores: Sequence[str] = ()) -> list[str]:
    rows = []
    for score in scores or result["scores"]:
        a, b = (result["width"][plan][score] for plan in ("seen", "folds"))
        rows.append([f"`{score}`", *(f"{a[k]:.2f} → {b[k]:.2f}" for k in ("entropy", "distinct", "agreement"))])
    return table(["in-sample → held out", "entropy", "distinct ranks", "agreement of two scorings"], rows)


def noise(result: dict[str, Any], kind: str, scores: Sequence[str] = ()) -> list[str]:
    rows = []
    for score in scores or result["scores"]:
        a, b = (result[kind][plan][score] for plan in ("seen", "folds"))
        shares = [f"{100 * a[k]:.0f} → {100 * b[k]:.0f} %" for k in ("hardest_0.1", "hardest_0.3", "hardest_0.5")]
        rows.append([f"`{score}`", f"{a['auroc']:.3f} → {b['auroc']:.3f}", *shares])
    return table(["in-sample → held out", "AUROC", "in the hardest 10 %", "30 %", "50 %"], rows)


def setting(result: dict[str, Any]) -> list[str]:
    a = result["about"]
    packages = ", ".join(f"{name} {number}" for name, number in a["versions"].items())
    return [f"*{a['processor']}, Python {a['python']}, {packages}; commit {a['commit'][:8]}.*", ""]


def blocks() -> dict[str, list[str]]:
    """Give the lines of every table by its name."""
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
    report, tuning = _result("designs_report"), _result("designs_tuning")
    made["designs report"] = across_beds(report) + setting(report)
    before = _result("designs_report_over_all")  # by the default that chose over all classes
    made["designs report over all"] = by_bed(before["beds"], "0.5", ("default",)) + setting(before)
    made["epochs over all"] = fixed_epochs(_result("designs_epochs_over_all")["beds"])
    for study, beds in tuning["studies"].items():
        for keep in ("0.7", "0.5", "0.3"):
            made[f"designs {study.split(' ')[0]} {keep}"] = by_bed(beds, keep)
    quotas = _result("designs_quotas")
    made |= {f"quotas {keep}": by_bed(quotas["beds"], keep) for keep in KEEPS}
    made["quotas setting"] = setting(quotas)
    made["rare classes"] = rare_classes(_result("rare_classes"))
    for name in ("recall_tuning", "recall_large_tuning", "recall_report"):
        result = _result(name)
        made[name.replace("_", " ")] = recall(result["cells"]) + setting(result)
    made["recall by bed"] = recall_by_bed(_result("recall_report")["cells"])
    tried = _result("rare_positives_tuning")
    made["rare positives tuning"] = rare_quotas(tried["cells"]) + setting(tried)
    positives = _result("rare_positives_report")
    made["rare positives"] = rare_positives(positives["cells"]) + setting(positives)
    for side in ("tuning", "report"):
        small = _result(f"small_data_{side}")
        made[f"small data {side}"] = small_data(small["cells"]) + setting(small)
    few = _result("few_images")
    made["few images"] = few_images(few["cells"]) + setting(few)
    before, now = "equal width", "random where unsure by a tenth"
    unsure = {side: _result(f"unsure_{side}") for side in ("tuning", "learners", "report")}
    made["unsure tuning"] = recall(unsure["tuning"]["cells"]) + setting(unsure["tuning"])
    made["unsure learners"] = unsure_by_strength(unsure["learners"]["cells"]) + setting(unsure["learners"])
    made["unsure report"] = unsure_by_text(unsure["report"]["cells"], before, now) + setting(unsure["report"])
    for side in ("tuning", "report"):
        equal = _result(f"equal_rows_{side}")
        made[f"equal rows {side}"] = equal_rows(equal["cells"]) + setting(equal)
    sides = ("tuning", "report", "second tuning", "second report", "third tuning", "third report", "fourth tuning")
    for side in (*sides, "fifth tuning", "sixth tuning", "sixth networks", "sixth report"):
        result = _result(f"cut_off_{side.replace(' ', '_')}")
        made[f"cut off {side}"] = cut_off(_as_recall(result)) + setting(result)
    for side, arm in (("third", "rate 2.0"), ("sixth", "cap p^4")):
        beds = _result(f"cut_off_{side}_report_beds")
        made[f"cut off {side} report, beds"] = cut_off_beds(beds["beds"], arm) + setting(beds)
    real = _result("cut_off_real_cifar10")
    rows = [[arm, *(f"{100 * one:.1f}" for one in [*got, np.mean(got)])] for arm, got in real["accuracy"].items()]
    made["cut off real network"] = table(["kept by", "seed 0", "1", "2", "mean"], rows) + setting(real)
    made["cut off by table"] = cut_off_by_table(_as_recall(_result("cut_off_second_report")))
    low = _result("low_fit")
    made["low fit"] = low_fit(low["cells"])
    made["low fit, beds"] = low_fit_beds(low["beds"]) + setting(low)
    ordinary = _result("ordinary_data")
    made["ordinary data"] = ordinary_data(ordinary) + setting(ordinary)
    made["answer ordinary data"] = ordinary_in_short(ordinary)
    regression = _result("targets")
    made["targets tuning"] = targets(regression["tuning"])
    made["targets first"] = targets({"kdd, log bytes": _result("targets_first")["report"]["kdd, log bytes"]})
    made["targets report"] = targets(regression["report"]) + setting(regression)
    tails = _result("targets_tails")
    made["tails tuning"] = targets(tails["tuning"])
    loss = "adult, capital loss"
    made["tails first"] = targets({loss: _result("targets_tails_first")["report"][loss]})
    made["tails report"] = targets(tails["report"]) + setting(tails)
    mixed = _result("targets_mixed")
    made["targets mixed"] = targets(mixed["report"]) + setting(mixed)
    steps = _result("designs_steps") if (RESULTS / "designs_steps.json").exists() else None
    beds = steps["beds"] if steps else tuning["studies"][STEPS]
    made |= {f"designs steps {keep}": by_bed(beds, keep) for keep in KEEPS}
    made["designs steps setting"] = setting(steps or tuning)
    distribution = _result("quality_distribution")
    made |= {
        "width": width(distribution) + setting(distribution),
        "flipped": noise(distribution, "flipped"),
        "human": noise(distribution, "human"),
    }
    made["imagenet cost"] = cost(_result("imagenet_cost"))
    made["agreement"] = agreement(_result("quality_agreement"))
    made["pretrained"] = pretrained()
    errors = _result("label_errors")
    made["label errors"] = label_errors(errors["rows"]) + setting(errors)
    made["label errors in short"] = label_errors([row for row in errors["rows"] if row["flips"] == 0.1])
    made |= {
        "answer random": default_by_bed(report, _result("designs_damped")),
        "answer peers": across_beds(report),
        "answer exposure": exposure_in_short(),
        "answer width": width(distribution, ("el2n", "entropy", "label_margin", "forgetting")),
        "answer cutoffs": cutoffs_in_short(tuning["studies"]),
        "answer noise": noise(distribution, "flipped", ("el2n", "loss", "aum", "entropy")),
        "answer classes": lost_by_a_class(report),
        "answer steps": steps_across_beds(beds, IN_SHORT),
        "steps": steps_across_beds(beds),
        "answer grown": grown_on_report_beds(_result("designs_grown")["beds"]),
        "answer epochs": fixed_epochs(_result("designs_epochs")["beds"]),
        "answer prices": shorter_scorings(_result("designs_prices")["beds"]),
    }
    examples = _result("worked_examples")
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


def gains(bed: dict[str, Any], design: str, keep: str, over: str = "random") -> np.ndarray:
    """What a design gains over another, in points, replicate by replicate; empty where it was not tried."""
    cells, others = (by_seed(bed["accuracy"].get(name, {}).get(keep, {})) for name in (design, over))
    return 100 * np.array([cells[seed] - others[seed] for seed in cells if seed in others])


def by_seed(cells: list[float] | dict[str, float]) -> dict[str, float]:
    """Accuracies by seed; a list has one a seed from 0 on."""
    return {str(seed): of for seed, of in enumerate(cells)} if isinstance(cells, list) else cells


def default_by_bed(result: dict[str, Any], damped: dict[str, Any]) -> list[str]:
    """The default on each report bed: accuracy of everything, gain over random, and the best peer there, by hindsight.

    Below the mean, which leaves it out, stands the bed whose model diverges; above it, the same data with a penalty.
    """
    rows, means = [], []
    beds = {**result["beds"], "kdd": damped["beds"]["kdd_damped"], "kdd, diverging": result["beds"]["kdd"]}
    for name, bed in beds.items():
        found = [gains(bed, "default", keep) for keep in KEEPS]
        peers = {d: gains(bed, d, "0.5").mean() for d in bed["accuracy"] if d not in BASELINES}
        best = max(peers, key=lambda peer: peers[peer])
        at = [100 * np.mean(bed["accuracy"][name][keep]) for name, keep in (("everything", "1.0"), ("random", "0.5"))]
        rows.append([name, *(f"{mean:.1f}" for mean in at), *(starred(interval(gain / 100)) for gain in found)])
        rows[-1].append(f"{peers[best]:+.1f} {best.removeprefix('in-sample ').split(',')[0]}")
        if name != "kdd, diverging":
            means.append([*(gain.mean() for gain in found), peers[best]])
    rows.insert(-1, ["mean", "", "", *(f"{mean:+.1f}" for mean in np.mean(means, axis=0))])
    heads = ["data", "everything", "random, 50 %", "30 % pruned", *(f"{percent_pruned(keep)}" for keep in KEEPS[1:])]
    return table([*heads, "best peer, 50 %"], rows)


def percent_pruned(keep: str) -> str:
    return f"{100 * (1 - float(keep)):.0f} %"


def across_beds(result: dict[str, Any]) -> list[str]:
    """Every design on the report beds: the mean gain over random at each budget, and the mean of its ranks."""
    beds = result["beds"]
    ranks: dict[str, list[float]] = {}
    for bed in beds.values():
        for keep in KEEPS:
            means = {name: np.mean(cells[keep]) for name, cells in bed["accuracy"].items() if keep in cells}
            for place, name in enumerate(sorted(means, key=lambda name: -means[name]), start=1):
                ranks.setdefault(name, []).append(place)
    rows = []
    for design, found in sorted(ranks.items(), key=lambda item: np.mean(item[1])):
        tried = [bed for bed in beds.values() if design in bed["accuracy"]]
        means = [f"{np.mean([gains(bed, design, keep).mean() for bed in tried]):+.1f}" for keep in KEEPS]
        rows.append([design, f"{np.mean(found):.1f}", str(len(tried)), *means])
    return table(["design", "mean rank", "beds", *map(percent_pruned, KEEPS)], rows)


def small_data(
    cells: list[dict[str, Any]], sizes: Sequence[int] = (300, 1000, 3000), arms: Sequence[str] = ("over all", "default")
) -> list[str]:
    """By estimator and size: points over random, mean over beds and replicates, and the lowest mean of a bed."""
    rows = []
    estimators = dict.fromkeys(cell["estimator"] for cell in cells)
    for estimator, n, arm in product(estimators, sizes, arms):
        entries = []
        for keep in KEEPS:
            by_bed: dict[str, list[float]] = {}
            for cell in cells:
                if (cell["estimator"], cell["n"]) == (estimator, n) and keep in cell["arms"].get(arm, {}):
                    gain = cell["arms"][arm][keep] - cell["arms"]["random"][keep]
                    by_bed.setdefault(cell["bed"], []).append(100 * gain)
            means = [float(np.mean(gain)) for gain in by_bed.values()]
            entries.append(f"{np.mean(means):+.1f} ({min(means):+.1f})" if means else "")
        rows.append([f"{estimator}, {n:,} rows" + (f", {arm}" if len(arms) > 1 else ""), *entries])
    return table(["over random (lowest bed)", *map(percent_pruned, KEEPS)], rows)


def ordinary_data(result: dict[str, Any], over: str = "random, by class") -> list[str]:
    """By data and model: points of accuracy over random at each budget."""
    data, keeps = result["data"], ("0.7", "0.5", "0.3")
    rows = []
    for name, models in data.items():
        for model, cells in models.items():
            gains = [_gain(cells[keep], "accuracy", over) for keep in keeps]
            rows.append([name, model, f"{100 * np.mean(cells['0.5'][over]['accuracy']):.1f}", *map(starred, gains)])
    return table(["data", "model", "random is at, 50 %", *map(percent_pruned, keeps)], rows)


def ordinary_in_short(result: dict[str, Any]) -> list[str]:
    """By model, over data and budgets: mean points over random, and how many cells are certainly better and worse."""
    rows = []
    for model in next(iter(result["data"].values())):
        entries = [model]
        for quality in ("accuracy", "mean_recall"):
            gains = [
                _gain(cell, quality, "random, by class")
                for models in result["data"].values()
                for cell in models[model].values()
            ]
            better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
            entries += [f"{100 * np.mean([gain.mean for gain in gains]):+.1f}", f"{better}, {worse} of {len(gains)}"]
        rows.append(entries)
    return table(["model", "accuracy", "better, worse", "mean recall", "better, worse"], rows)


def targets(data: dict[str, Any]) -> list[str]:
    """By data and design: points of R2 over random, mean over the models, and the cells certainly better and worse."""
    keeps, rows = ("0.7", "0.5", "0.3"), []
    for name, found in data.items():
        for design, models in found["gains"].items():
            cells = [interval(np.array(models[model][keep]) / 100) for model in models for keep in keeps]
            means = [f"{np.mean([np.mean(models[model][keep]) for model in models]):+.1f}" for keep in keeps]
            better, worse = sum(cell.low > 0 for cell in cells), sum(cell.high < 0 for cell in cells)
            rows.append([name, design, *means, f"{better}, {worse} of {len(cells)}"])
    return table(["data", "design", *map(percent_pruned, keeps), "better, worse"], rows)


def low_fit(cells: list[dict[str, Any]]) -> list[str]:
    """By data and arm: points over random, mean over four models and all replicates, and the lowest mean of a model."""
    rows = []
    for name in dict.fromkeys(cell["data"] for cell in cells):
        own = [cell for cell in cells if cell["data"] == name]
        fit = np.mean([cell["fit"] for cell in own])
        for arm in (arm for arm in own[0]["accuracy"] if arm != "random"):
            entries = []
            for keep in (0.7, 0.5, 0.3):
                gains: dict[str, list[float]] = {}
                for cell in (cell for cell in own if cell["keep"] == keep):
                    gain = 100 * (cell["accuracy"][arm] - cell["accuracy"]["random"])
                    gains.setdefault(cell["model"], []).append(gain)
                means = [float(np.mean(gain)) for gain in gains.values()]
                entries.append(f"{np.mean(means):+.1f} ({min(means):+.1f})")
            rows.append([name, f"{max(0.0, fit):.2f}", arm, *entries])
    heads = ["data", "fit", "strata share", *(f"{percent_pruned(keep)} (lowest)" for keep in ("0.7", "0.5", "0.3"))]
    return table(heads, rows)


def low_fit_beds(cells: list[dict[str, Any]]) -> list[str]:
    """By bed: the share of samples chosen otherwise than by strata alone; points over random where it was tested."""
    rows = []
    for name in dict.fromkeys(cell["bed"] for cell in cells):
        own = [cell for cell in cells if cell["bed"] == name]
        fit = np.mean([cell["fit"] for cell in own])
        for arm in own[0]["chosen_otherwise"]:
            entries = []
            for keep in (0.7, 0.5, 0.3):
                of_keep = [cell for cell in own if cell["keep"] == keep]
                share = np.mean([cell["chosen_otherwise"][arm] / cell["kept"] for cell in of_keep])
                gains = [
                    100 * (cell["accuracy"][arm] - cell["accuracy"]["random"]) for cell in of_keep if "accuracy" in cell
                ]
                entries.append(f"{100 * share:.0f} %" + (f", {np.mean(gains):+.1f}" if gains else ""))
            if arm != "strata alone" or "accuracy" in own[0]:
                rows.append([name, f"{fit:.2f}", arm, *entries])
    return table(["bed", "fit", "strata share", *map(percent_pruned, ("0.7", "0.5", "0.3"))], rows)


def few_images(cells: list[dict[str, Any]]) -> list[str]:
    """By data and steps: held-out accuracy, price, and what training on half of the images comes to."""
    rows = []
    for cell in cells:
        row = [f"{cell['data']}, {cell['n']:,}", "preset" if cell["steps"] is None else f"{cell['steps']:,}"]
        row += [str(cell["epochs"]), f"{100 * np.mean(cell['held_out']):.1f}", f"{min(cell['seconds']):.0f}"]
        if "full" in cell:
            gain = interval(cell["default_over_random"])
            half = f"{100 * cell['random']:.1f}, {starred(gain)}"
            row += [f"{100 * cell['full']:.1f}", half, f"{cell['fell_back']} of {len(cell['held_out'])}"]
        rows.append([*row, "", "", ""][:8])
    heads = ["data", "steps", "epochs", "held out", "seconds", "all", "half: random, default over it", "fell back"]
    return table(heads, rows)


def _gain(cell: dict[str, Any], quality: str, over: str) -> Interval:
    """Points of the default over another arm, paired by replicate."""
    return interval(np.subtract(cell["default"][quality], cell[over][quality]))


def rare_classes(result: dict[str, Any]) -> list[str]:
    """By design and budget: accuracy, and in brackets the mean recall of classes."""
    rows = []
    for design in dict.fromkeys(cell["design"] for cell in result["cells"]):
        entries = []
        for keep in KEEPS:
            own = [cell for cell in result["cells"] if (cell["design"], cell["keep"]) == (design, float(keep))]
            accuracy, recall = (100 * np.mean([cell[what] for cell in own]) for what in ("accuracy", "mean_recall"))
            entries.append(f"{accuracy:.1f} ({recall:.1f})")
        rows.append([design, *entries])
    return table(["accuracy (mean recall)", *map(percent_pruned, KEEPS)], rows) + setting(result)


def rare_positives(cells: list[dict[str, Any]]) -> list[str]:
    """By share kept and arm: means, and in how many cells AUC and accuracy are certainly above and below random."""
    rows = []
    keeps = list(cells[0]["arms"]["random"])
    for keep, arm in [("1.0", "everything"), *product(keeps, [arm for arm in cells[0]["arms"] if arm != "everything"])]:
        by: dict[tuple[Any, ...], list[list[float]]] = {}
        gains: dict[tuple[Any, ...], list[Any]] = {}
        for cell in cells:
            key, arms = (cell["bed"], cell["share"], cell["estimator"]), cell["arms"]
            by.setdefault(key, []).append(arms[arm][keep])
            if arm not in ("everything", "random"):
                gains.setdefault(key, []).append(np.subtract(arms[arm][keep], arms["random"][keep]))
        *shares, loss = np.mean([np.mean(own, axis=0) for own in by.values()], axis=0)
        sure = []
        for at in (0, 3) if gains else ():
            spread = [interval(np.array(own)[:, at]) for own in gains.values()]
            sure.append(f"{sum(i.low > 0 for i in spread)}, {sum(i.high < 0 for i in spread)} of {len(spread)}")
        numbers = [*(f"{100 * share:.1f}" for share in shares), f"{loss:.3f}"]
        rows.append([percent_pruned(keep), arm, *numbers, *(sure or ["", ""])])
    measures = ["AUC", "average precision", "mean recall", "accuracy", "log loss"]
    return table(["pruned", "arm", *measures, "AUC above, below random", "accuracy"], rows)


def rare_quotas(cells: list[dict[str, Any]]) -> list[str]:
    """By quota and way inside a class: points over random in proportion, and cells with accuracy certainly below it."""
    first, *arms = [arm for arm in cells[0]["arms"] if arm != "everything"]
    keeps, rows = list(cells[0]["arms"][first]), []
    for arm in arms:
        entries, below, asked = [], 0, 0
        for keep in keeps:
            gains: dict[tuple[Any, ...], list[Any]] = {}
            for cell in cells:
                gain = np.subtract(cell["arms"][arm][keep], cell["arms"][first][keep])
                gains.setdefault((cell["bed"], cell["share"], cell["estimator"]), []).append(gain)
            *points, loss = np.mean([np.mean(own, axis=0) for own in gains.values()], axis=0)
            entries += [", ".join(f"{100 * point:+.1f}" for point in points), f"{loss:+.3f}"]
            below += sum(interval(np.array(own)[:, 3]).high < 0 for own in gains.values())
            asked += len(gains)
        rows.append([arm, *entries, f"{below} of {asked}"])
    head = [name for keep in keeps for name in (percent_pruned(keep), "log loss")]
    return table(["quota, inside a class", *head, "accuracy below"], rows)


def _recall_gains(cells: list[dict[str, Any]], arm: str, keep: str) -> dict[tuple[str, bool, str], np.ndarray]:
    """By bed, tail and estimator, points of accuracy and of mean recall over random: (replicates, 2)."""
    found: dict[tuple[str, bool, str], list[Any]] = {}
    for cell in cells:
        arms = cell["arms"]
        gain = np.subtract(arms[arm][keep], arms["random"][keep])
        found.setdefault((cell["bed"], cell.get("tail", False), cell["estimator"]), []).append(gain)
    return {key: np.array(gains) for key, gains in found.items()}


def recall(cells: list[dict[str, Any]]) -> list[str]:
    """By design: points of accuracy (of mean recall) over random, and the cells that are certainly below it."""
    return table(_recall_heads(cells), _recall_rows(cells))


def _recall_heads(cells: list[dict[str, Any]]) -> list[str]:
    keeps = map(percent_pruned, cells[0]["arms"]["random"])
    return ["accuracy (mean recall) over random", *keeps, "certainly below"]


def _recall_rows(cells: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for arm in (arm for arm in cells[0]["arms"] if arm not in ("random", "everything")):
        gains = [_recall_gains(cells, arm, keep) for keep in cells[0]["arms"]["random"]]
        means = [np.mean([g.mean(axis=0) for g in by.values()], axis=0) for by in gains]
        below = [[interval(g[:, what]).high < 0 for by in gains for g in by.values()] for what in (0, 1)]
        entries = [f"{100 * a:+.1f} ({100 * r:+.1f})" for a, r in means]
        rows.append([arm, *entries, f"{sum(below[0])} ({sum(below[1])}) of {len(below[0])}"])
    return rows


def unsure_by_strength(cells: list[dict[str, Any]]) -> list[str]:
    """By C of the model that scores, on clean and on flipped labels: as `recall`."""
    rows = []
    for strength in dict.fromkeys(cell["bed"].partition("@")[2] for cell in cells):
        for kind, labels in ((False, "clean"), (True, "20 % flipped")):
            own = [c for c in cells if c["bed"].endswith(f"@{strength}") and c["bed"].startswith("flipped") == kind]
            rows += [[f"C = {strength}, {labels}", *row] for row in _recall_rows(own)]
    return table(["learner, labels", *_recall_heads(cells)], rows)


def unsure_by_text(cells: list[dict[str, Any]], before: str, now: str) -> list[str]:
    """By text and model: points of accuracy over random by the default of before (C = 1), and by that of now (10)."""
    keeps, rows = list(cells[0]["arms"]["random"]), []
    gains = {arm: [_recall_gains(cells, arm, keep) for keep in keeps] for arm in (before, now)}
    for bed, estimator in dict.fromkeys((c["bed"].partition("@")[0], c["estimator"]) for c in cells):
        for label, arm, strength in (("before", before, 1), ("now", now, 10)):
            found = [by[f"{bed}@{strength}", False, estimator][:, 0] for by in gains[arm]]
            rows.append([bed, estimator, label, *(starred(interval(gain)) for gain in found)])
    return table(["text", "model", "default", *map(percent_pruned, keeps)], rows)


def equal_rows(cells: list[dict[str, Any]]) -> list[str]:
    """By table: how many rows equal others, held-out accuracy, and accuracy (mean recall) over random of both arms."""
    rows = []
    for name in dict.fromkeys(cell["data"] for cell in cells):
        own = [cell for cell in cells if cell["data"] == name]
        equal, mixed = (f"{100 * np.mean([cell[what] for cell in own]):.0f} %" for what in ("equal", "mixed"))
        row = [name, equal, mixed]
        for arm in ("together", "apart"):
            held_out = np.mean([cell["held_out"][arm] for cell in own])
            gains: dict[tuple[float, str], list[Any]] = {}
            for cell in own:
                gain = np.subtract(cell["arms"][arm], cell["arms"]["random"])
                gains.setdefault((cell["keep"], cell["model"]), []).append(gain)
            accuracy, recalled = np.mean([np.mean(gain, axis=0) for gain in gains.values()], axis=0)
            below = sum(interval(np.array(gain)[:, 0]).high < 0 for gain in gains.values())
            row += [
                f"{100 * held_out:.1f}",
                f"{100 * accuracy:+.1f} ({100 * recalled:+.1f})",
                f"{below} of {len(gains)}",
            ]
        rows.append(row)
    head = [f"{arm}: {what}" for arm in ("together", "apart") for what in ("held out", "over random", "below")]
    return table(["table", "equal", "to another class", *head], rows)


def _as_recall(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of `cut_off.py` in the form of those of `recall.py`."""

    def unpack(line: str) -> dict[str, list[float]]:
        values = [[float(value) / 100 for value in pair.split("/")] for pair in line.split()]
        return dict(zip(result["keeps"], values, strict=True))

    return [
        {
            "bed": cell["data"],
            "estimator": f"{cell['model']}, scored by {cell['scorer']}",
            "arms": {arm: unpack(line) for arm, line in cell["arms"].items()},
        }
        for cell in result["cells"]
    ]


def cut_off(cells: list[dict[str, Any]]) -> list[str]:
    """On tables as they are, tables with flipped labels, beds, and by a real network: as `recall`."""
    prefixes = {"flipped ": "a tenth flipped", "bed:": "beds", "network:": "a network"}
    kinds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("as they are", *prefixes.values())}
    for cell in cells:
        found = [kind for prefix, kind in prefixes.items() if cell["bed"].startswith(prefix)]
        kinds[found[0] if found else "as they are"].append(cell)
    rows = [[kind, *row] for kind, own in kinds.items() if own for row in _recall_rows(own)]
    return table(["labels", *_recall_heads(cells)], rows)


def cut_off_beds(beds: dict[str, Any], design: str) -> list[str]:
    """By report bed: points over random of the default of before and of the design, and their difference."""
    rows = []
    for name, keeps in beds.items():
        row = [name]
        for arms in keeps.values():
            drawn, default, limited = (np.array(arms[arm]) for arm in ("random", "default", design))
            row += [f"{100 * np.mean(gain):+.1f}" for gain in (default - drawn, limited - drawn)]
            row.append(starred(interval(limited - default)))
        rows.append(row)
    kinds = product(map(percent_pruned, next(iter(beds.values()))), ("before", design, "difference"))
    return table(["points over random", *(": ".join(kind) for kind in kinds)], rows)


def cut_off_by_table(cells: list[dict[str, Any]]) -> list[str]:
    """By table, at 50 % pruned: points of accuracy (of mean recall) over random, by the default and by the design."""
    rows = []
    for name in dict.fromkeys(cell["bed"].removeprefix("flipped ") for cell in cells):
        entries = []
        for bed in (name, f"flipped {name}"):
            own = [cell for cell in cells if cell["bed"] == bed]
            entries += [row[2] for row in _recall_rows(own)]  # after the name and 30 % pruned
        rows.append([name, *entries])
    kinds = product(("as they are", "a tenth flipped"), ("default", "design"))
    return table(["50 % pruned", *(": ".join(kind) for kind in kinds)], rows)


def recall_by_bed(cells: list[dict[str, Any]]) -> list[str]:
    """By bed: mean recall over random, mean over estimators, of the default and of the default before."""
    keeps, rows = list(cells[0]["arms"]["random"]), []
    for bed, tail in dict.fromkeys((cell["bed"], cell["tail"]) for cell in cells):
        own = [cell for cell in cells if (cell["bed"], cell["tail"]) == (bed, tail)]
        entries = []
        for keep in keeps:
            now, before = (
                np.mean([g[:, 1].mean() for g in _recall_gains(own, arm, keep).values()])
                for arm in ("default", "width (was the default)")
            )
            entries.append(f"{100 * now:+.1f} ({100 * before:+.1f})")
        rows.append([f"{bed}{', long tail' if tail else ''}", *entries])
    return table(["mean recall over random (before)", *map(percent_pruned, keeps)], rows)


def lost_by_a_class(result: dict[str, Any]) -> list[str]:
    """The points of recall that one class loses beyond what it loses at random, on beds of up to 25 classes."""
    beds = {name: bed["most_lost_by_a_class"] for name, bed in result["beds"].items() if bed["most_lost_by_a_class"]}
    asked = [("default", keep) for keep in KEEPS] + [(peer, "0.5") for peer in ("CCS", "D2", "random, by class")]
    rows = [
        [f"{design}, {percent_pruned(keep)}", *(f"{bed[design][keep]:.1f}" for bed in beds.values())]
        for design, keep in asked
    ]
    return table(["most lost by a class", *beds], rows)


def exposure_in_short() -> list[str]:
    """Held out less in-sample under the same rule, a few pairs on every data set."""
    pairs = ("el2n/top", "el2n/stratified", "el2n/stratified:cutoff=0.3", "entropy/top", "variability/top")
    columns = (("cifar10", 0.5), ("cifar10", 0.2), ("adult", 0.2), ("sst2", 0.2), ("digits", 0.2))
    studies = {name: Study(_result(f"quality_{name}_report")) for name, _ in columns}
    rows = []
    for pair in (*pairs, "loss/stratified", "aum/stratified"):
        row = [f"`{pair}`"]
        for name, keep in columns:
            study = studies[name]
            budget = min(study.budgets, key=lambda b, s=study, k=keep: abs(b / s.n - k))
            row.append(study.change(f"{FOLDS}/{pair}", f"{SEEN}/{pair}", budget))
        rows.append(row)
    return table(["held out less in-sample", *(f"{name}, {percent_pruned(str(keep))}" for name, keep in columns)], rows)


def cutoffs_in_short(studies: dict[str, Any]) -> list[str]:
    """The most telling cutoffs on the tuning beds, at 30 and 50 % pruned."""
    named = {"cutoffs": ("hardest first", "e")}
    named["cutoffs_by_label_issues"] = ("fit max(min(e, p^2/2), l^2/e) (the default)",)
    rows = []
    for keep in ("0.7", "0.5"):
        for study, designs in named.items():
            beds = studies[study]
            for design in designs:
                cells = [_with_error(gains(bed, design, keep)) for bed in beds.values()]
                rows.append([f"{percent_pruned(keep)}: {design}", *cells])
    return table(["pruned: cutoff", *studies["cutoffs"]], rows)


IN_SHORT = (
    "one step", "one step, 2 repeats", "half, refilled by entropy", "half, then three quarters, refilled by entropy",
)  # fmt: skip


def steps_across_beds(beds: dict[str, Any], of: Sequence[str] | None = None) -> list[str]:
    """Designs of several steps: their price, their mean gain over random and, in brackets, over one step."""
    designs = of or dict.fromkeys(design for bed in beds.values() for design in bed["accuracy"])
    keeps = [k for k in KEEPS if any(k in bed["accuracy"].get("one step", {}) for bed in beds.values())]
    rows = []
    for design in designs:
        if design in BASELINES:
            continue
        cells = []
        for keep in keeps:
            against_random, further = (_mean_gain(beds, design, keep, over) for over in ("random", "one step"))
            told = "" if design == "one step" else f" ({further:+.1f})"
            cells.append("" if np.isnan(against_random) else f"{against_random:+.1f}{told}")
        rows.append([design, _price(beds, design), *cells])
    return table(["over random (over one step)", "price", *map(percent_pruned, keeps)], rows)


def grown_on_report_beds(beds: dict[str, Any]) -> list[str]:
    """Several steps against one: points over one step on each report bed with three replicates, and the price."""
    beds = {name: bed for name, bed in beds.items() if len(gains(bed, "one step, 2 repeats", "0.1")) >= 3}
    design, rows = "several steps, two refills", []
    for keep in KEEPS:
        found = [gains(bed, design, keep, "one step") for bed in beds.values()]
        cells = ["" if len(gain) < 2 else starred(interval(gain / 100)) for gain in found]
        mean = np.mean([gain.mean() for gain in found if len(gain)])
        price = next(bed["price"][design][keep] for bed in beds.values() if design in bed["price"])
        rows.append([f"{percent_pruned(keep)} pruned", f"{price:.2g}", *cells, f"{mean:+.1f}"])
    return table(["two refills, over one step", "price", *beds, "mean"], rows)


def fixed_epochs(beds: dict[str, Any]) -> list[str]:
    """Points of the default, and of CCS, over random where a coreset gets as many epochs as everything."""
    rows = []
    for name, bed in beds.items():
        found = [gains(bed, "default", keep) for keep in KEEPS]
        if len(found[0]):  # the other beds are of models that train to their end
            peers = f"{gains(bed, 'CCS', '0.5').mean():+.1f}"
            rows.append([name, *(starred(interval(gain / 100)) for gain in found), peers])
    return table(["as many epochs", *map(percent_pruned, KEEPS), "CCS, 50 %"], rows)


def shorter_scorings(beds: dict[str, Any]) -> list[str]:
    """The default rule on scorings of several prices: the mean gain over random at each budget."""
    designs = dict.fromkeys(d for bed in beds.values() for d in bed["accuracy"] if d not in BASELINES)
    rows = [
        [
            design,
            price := _price(beds, design),
            str(ceil(2 * float(price) - 1e-9)),
            *(f"{_mean_gain(beds, design, keep):+.1f}" for keep in KEEPS),
        ]
        for design in sorted(designs, key=lambda d: float(_price(beds, d)))
    ]
    return table(["scored by", "price", "paid after, 50 % pruned", *map(percent_pruned, KEEPS)], rows)


def _mean_gain(beds: dict[str, Any], design: str, keep: str, over: str = "random") -> float:
    """The mean over beds of what a design gains, where both were tried."""
    found = [gain.mean() for bed in beds.values() if len(gain := gains(bed, design, keep, over))]
    return float(np.mean(found)) if found else float("nan")


def _price(beds: dict[str, Any], design: str) -> str:
    """The price in trainings of everything; from the smallest to the largest where it depends on the budget."""
    price = next(bed["price"][design] for bed in beds.values() if design in bed["price"])
    ends = sorted(price.values()) if isinstance(price, dict) else [price]
    return " to ".join(dict.fromkeys(f"{end:.2g}" for end in (ends[0], ends[-1])))


def pretrained() -> list[str]:
    """Accuracy of ridge on vectors: in-sample, left out, and on the test set after training on all, kept, random."""
    patches, images, text = (_result(name) for name in ("patches_cifar10", "pretrained_cifar10", "pretrained_sst2"))
    test = {name: arm["accuracy"]["mean"] for name, arm in patches["arms"].items()}
    found = [("CIFAR-10", "patches", {**patches, "test": test}, ", by `cutoff=error`")]
    found += [("CIFAR-10", "efficientnet_lite0", images["efficientnet_lite0"], "")]
    found += [("SST-2", by, text[by], "") for by in ("tfidf", "wordllama")]
    rows = []
    for data, by, one, note in found:
        shares = [one["in_sample"], one["left_out"], *(one["test"][arm] for arm in ("full", "kept", "random"))]
        rows.append([data, f"`{by}`{note}", f"{one['columns']:,}", *(f"{100 * share:.1f}" for share in shares)])
    heads = ["data", "backbone", "columns", "in-sample", "left out", "test, all", "test, kept", "test, random"]
    return table(heads, rows)


def label_errors(found: list[dict[str, Any]]) -> list[str]:
    """The held-out disagreement beside the share of labels that were flipped."""
    rows = []
    for row in found:
        learner = "ridge" if row["learner"] == "ridge" else "naive Bayes"
        interval_of = f" ({100 * row['low']:+.1f} .. {100 * row['high']:+.1f})" if row["low"] is not None else ""
        shares = [f"{100 * row['flips']:.0f} %", f"{100 * row['disagreement']:.1f} %"]
        bias = f"{100 * row['bias']:+.1f}{interval_of}"
        rows.append([f"{row['data']}, {row['n']:,}", learner, *shares, bias, f"{100 * row['accuracy']:.1f} %"])
    heads = ["data", "learner", "flips", "held-out disagreement", "bias, points", "held-out accuracy"]
    return table(heads, rows)


def _result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def by_bed(beds: dict[str, Any], keep: str, of: Sequence[str] = ()) -> list[str]:
    """Every design on each bed at one budget: the gain over random, its standard error, its price."""
    designs = of or dict.fromkeys(design for bed in beds.values() for design in bed["accuracy"])
    rows = []
    for design in designs:
        found = [gains(bed, design, keep) for bed in beds.values()]
        rows.append([design, _price(beds, design), *(_with_error(gain) for gain in found)])
    rows = [row for row in rows if row[0] not in ("random", "everything")]
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
    return lines


def filled(page: str, made: dict[str, list[str]]) -> str:
    """Put the tables in their places; a place without a result is an error."""
    return PLACE.sub(
        lambda found: "\n".join([f"<!-- table: {found[1]} -->", "", *made[found[1]], "<!-- end -->"]), page
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check, made = parser.parse_args().check, blocks()
    for name in PAGES:
        place = ROOT / name
        page = place.read_text()
        text = filled(page, made)
        if not check:
            place.write_text(text)
        elif page != text:
            sys.exit(f"{name} is not what the results say: run python benchmarks/quality/tables.py")


if __name__ == "__main__":
    main()
