"""docs/benchmarks.md from the files in benchmarks/results: no figure is typed by hand.

python benchmarks/tables.py           # writes the page
python benchmarks/tables.py --check   # exits 1 if the page is not what the results say
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
Row = dict[str, Any]


def end_to_end(result: Row) -> list[str]:
    """A whole run as a user sees it."""
    s = result["summary"]
    return [
        "## A whole data set, end to end",
        "",
        f"`{result['command']}`",
        "",
        f"CIFAR-10's {s['n']:,} training images. Goal: held-out accuracy of the scoring models at least 70 %, under",
        "30 minutes on 2 cores, peak memory under 4 GiB. The test set is not touched.",
        "",
        *table(
            ["held-out accuracy", "wall", "training", "observing", "peak memory", "label errors kept (random)"],
            [
                [
                    percent(s["accuracy"]),
                    minutes(result["wall_seconds"]),
                    minutes(result["training_seconds"]),
                    minutes(result["observing_seconds"]),
                    f"{result['peak_mib'] / 1024:.2f} GiB",
                    f"{percent(s['label_errors_kept'])} ({percent(s['label_errors_random'])})",
                ]
            ],
        ),
    ]


def overhead(result: Row) -> list[str]:
    """Framework beyond training and forward passes."""
    return [
        "## What the framework costs",
        "",
        f"{result['samples']:,} CIFAR-10 images, convnet, {result['epochs']} epochs, 2 folds, median of "
        f"{result['repeats']} runs in turn. Overhead is what",
        "comes on top of training and one forward pass of the watch set per observed epoch. Goal: under 5 %.",
        "",
        *table(
            ["score", "epochs observed", "training and passes", "passes alone", "overhead in memory", "in a directory"],
            [
                [
                    r["score"],
                    r["observed_epochs"],
                    f"{r['alone_seconds']:.1f} s",
                    f"{r['observing_seconds']:.2f} s",
                    signed(r["overhead_memory"]),
                    signed(r["overhead_directory"]),
                ]
                for r in result["rows"]
            ],
        ),
    ]


# Tried and left out; each one trial beside other work, by a script that was not kept.
LEFT_OUT = (
    ("5 folds x 5 seeds of a small `mlp` in one batched product", "1.43 and 0.42 times as fast in two trials"),
    ("fused SGD for weights in bfloat16", "another momentum each time, in torch 2.13"),
    ("several threads of BLAS for estimators of scikit-learn", "ten times slower beside busy processes"),
)


def loop_parts(result: Row) -> list[str]:
    """What an epoch of the convnet is spent on, and what was tried."""
    seconds = result["processor_seconds"]
    usual = seconds["float32"]
    return [
        "## The loop on the CPU, part by part",
        "",
        f"An epoch of the convnet over {result['images']:,} images of 32 pixels, on one thread, by processor time.",
        f"That is {100 * result['share_of_peak']:.0f} % of the float32 peak (a matrix product's "
        f"{result['peaks']['float32']:.0f} GFLOP/s), in bfloat16",
        f"{100 * result['share_of_peak_bfloat16']:.0f} % of {result['peaks']['bfloat16']:.0f} GFLOP/s: convolutions of "
        "24 to 128 channels fill no more. Of the time",
        ", ".join(f"{100 * share:.0f} % are {name}" for name, share in result["parts"].items()) + ";",
        "the rest is augmentation, activations and the calls themselves.",
        "",
        *table(
            ["change", "seconds an epoch", "times"],
            [[name, f"{value:.2f}", f"{usual / value:.2f}"] for name, value in seconds.items()],
        ),
        "",
        "Tried and left out, one trial each beside other work:",
        "",
        *table(["what", "found"], [list(one) for one in LEFT_OUT]),
    ]


def busy(result: Row) -> list[str]:
    """Estimators beside busy processes: the default number of threads against one."""
    rows = []
    for name, case in result["cases"].items():
        default, one = (f"{median(case['seconds'][way]):.1f} s" for way in ("default", "threads=1"))
        rows.append([name, f"{case['n']:,} x {case['d']:,}", default, one, f"{case['times']:.2f}"])
    return [
        "## Estimators beside busy processes",
        "",
        f"`unseen.evaluate` beside {result['busy']} busy processes, medians of three rounds. Goal: the default within "
        f"{result['goal']} times of `threads=1`.",
        "A fit of fewer than a million values has one thread by default. On two threads, which was the default before,",
        "gradient boosting took 3.98 times as long (busy.json at commit 426eab1).",
        "",
        *table(["learner", "data", "default", "threads=1", "times"], rows),
    ]


def sweep(result: Row) -> list[str]:
    """A sweep beside its bare trainings."""
    return [
        "## A sweep beside its bare trainings",
        "",
        f"{result['methods']} methods x {len(result['budgets'])} budgets x {result['seeds']} seeds, {result['fits']} "
        f"trainings of `mlp` on {result['samples']:,} x {result['features']:,} vectors, two",
        "worker processes, against the same trainings in a plain loop on two processes. Start and imports count on",
        "both sides. Goal: at most 1.15 times the loop.",
        "",
        *table(
            ["sweep", "loop", "times", "by processor time", "training", "observing", "in fits"],
            [
                [
                    f"{result['sweep_seconds']:.0f} s",
                    f"{result['loop_seconds']:.0f} s",
                    f"{result['sweep / loop']:.2f}",
                    f"{result['sweep / loop by processor']:.2f}",
                    f"{result['training_seconds']:.0f} s",
                    f"{result['observing_seconds']:.0f} s",
                    f"{result['fit_seconds']:.0f} s",
                ]
            ],
        ),
    ]


def large_images(result: Row) -> list[str]:
    """A folder of large JPEG files, decoded once or in each epoch."""
    o = result["ours"]
    return [
        "## Large images",
        "",
        f"{result['images']:,} JPEG files of 12 megapixels, {result['different_images']} of them different, brought to",
        f"{result['size']} pixels; convnet, {result['folds']} folds x {result['epochs']} epochs. Against the loop of",
        f"the field's public code, which decodes in each epoch ({result['public_folds']} of its folds timed).",
        "Goal: decoded once, at least 3 times as fast.",
        "",
        *table(
            ["public loop", "ours", "ours, decoding", "ours, training", "times"],
            [
                [
                    minutes(result["public_seconds"]),
                    minutes(o["seconds"]),
                    minutes(o["opening"]),
                    minutes(o["training"]),
                    f"{result['public / ours']:.1f}",
                ]
            ],
        ),
    ]


def scores(result: Row) -> list[str]:
    """Pure functions and states."""
    state = {r["score"]: r for r in result["state"]}
    rows = []
    for r in result["one_observation"]:
        peer = r.get("scipy_float32_samples_per_second")
        rows.append(
            [
                r["score"],
                millions(r["samples_per_second"]),
                millions(peer) if peer else "",
                f"{r['samples_per_second'] / peer:.1f}" if peer else "",
                f"{state[r['score']]['bytes_per_sample_C10']:.0f}",
            ]
        )
    others = [r for r in result["state"] if r["score"] not in {row[0] for row in rows}]
    speed = {r["score"]: r["observations_per_second"] for r in result["course"]}
    return [
        "## Scores",
        "",
        f"{result['samples']:,} samples, C = {result['classes']}, computed in float64. The peer is SciPy's softmax as "
        "most code would write it, in float32.",
        "Goal: 1 M samples a second; state under 200 bytes a sample for the O(1) scores.",
        "",
        *table(["score", "M samples/s", "SciPy M/s", "ratio", "state, bytes a sample"], rows),
        "",
        *table(
            ["score from several observations", "M observations/s", "state", "bytes a sample (C = 10)"],
            [
                [
                    r["score"],
                    millions(speed[r["score"]]) if r["score"] in speed else "",
                    r["state"],
                    f"{r['bytes_per_sample_C10']:.0f}",
                ]
                for r in others
            ],
        ),
    ]


def rules(result: Row) -> list[str]:
    """Rules on scores and on features."""
    return [
        "## Rules",
        "",
        f"Goal for rules on scores: {result['goal_s']:.0f} s at 1e7. Rules on features have no goal for time; their",
        "memory must be linear in n: all distances of 50,000 samples would take 9,537 MiB.",
        "",
        *table(
            ["rule", "input", "budget", "seconds", "peak MiB", "inputs, MiB"],
            [
                [
                    r["rule"],
                    r["input"],
                    f"{r['budget']:,}",
                    f"{r['seconds']:.2f}",
                    f"{r['peak_mib']:,.0f}",
                    f"{r['inputs_mib']:,.0f}",
                ]
                for r in result["rows"]
            ],
        ),
    ]


def training_loop(result: Row) -> list[str]:
    """Our loop against the field's, and the floor of both."""
    rows = []
    for r in result["rows"]:
        for loop in ("ours", "ours bf16", "public", "floor"):
            if loop not in r:
                continue
            ratio = r.get(f"public / {loop}")
            rows.append(
                [
                    f"{r['row']}, {r['train']:,} images an epoch",
                    loop,
                    f"{r[loop]['seconds_per_epoch']:.1f}",
                    f"{r[loop]['images_per_second']:,.0f}",
                    f"{ratio:.2f}" if ratio else "1",
                    ", ".join(f"{100 * a:.1f}" for a in r[loop]["accuracies"]),
                ]
            )
    return [
        "## The training loop",
        "",
        "Against the loop of the field's public code (DataLoader with 2 persistent workers, Pillow and NumPy",
        "transforms image by image; same network, epochs, batches and optimiser; in float32), and its floor: the same",
        "loop on a tensor without transforms. `ours bf16` is how the presets run on this processor (`precision=auto`).",
        "Goal: the convnet at least twice as fast on the CPU;",
        "ResNet-18 there is bound by its arithmetic. On a CUDA device: not measured yet. Accuracies differ by more",
        "than seeds explain: our crops have a reflected border, the public loop's a black one, the floor has none.",
        "",
        *table(
            ["row", "loop", "s an epoch", "images/s", "times the public loop", "held-out accuracy by seed, %"], rows
        ),
    ]


def closed_form(result: Row) -> list[str]:
    """Ours against scikit-learn's, in pairs."""
    rows: list[list[str]] = []
    peers = {"folds": "`cross_val_predict`", "leave_one_out": "`RidgeClassifierCV`"}
    for before, r in zip(result["rows"], result["rows"][1:], strict=False):
        if r["work"] not in peers:
            continue
        what = "leave one out" if r["work"] == "leave_one_out" else f"{r['folds']} folds"
        bound = r.get("ratio_by_operations")
        rows.append(
            [
                f"{r['n']:,} x {r['d']:,}, {what}",
                f"{r['seconds']:.1f} s",
                f"{before['seconds']:.1f} s ({peers[r['work']]})",
                f"{r['ratio']:.1f}",
                f"{bound:.1f}" if bound else f"{r['in_fits']:.1f} fits",
                f"{r['peak_mib'] - r['inputs_mib']:,.0f} / {before['peak_mib'] - before['inputs_mib']:,.0f}",
                f"{r['largest_difference']:.0e}",
            ]
        )
    return [
        "## The closed form, beside scikit-learn",
        "",
        "`ridge` at one penalty and the same folds. scikit-learn gets float64 arrays; ours converts from float32",
        "itself. By operations: the operations of scikit-learn over ours, or for leave one out the time of ours in",
        "single fits and predictions of `Ridge`. Memory is what comes on top of the inputs.",
        "Goals: 5 times as fast at 5 folds and 40 times at 50 with 512 columns, leave one out for two fits, the same",
        "numbers to 1e-6.",
        "",
        *table(
            [
                "what",
                "ours",
                "scikit-learn",
                "ratio",
                "by operations",
                "MiB, ours / theirs",
                "largest relative difference",
            ],
            rows,
        ),
    ]


def closed_form_size(result: Row) -> list[str]:
    """Time, memory and share of the peak, as n grows."""
    return [
        "## The closed form on data of ImageNet's size",
        "",
        "Float16 vectors in a memory map, 1,000 classes, `el2n` through `unseen.score` from the opening of the files",
        "to the table; memory is anonymous memory at its peak. Operations are n d^2 for the Gram matrix, n d^2 for",
        "leverages and 2 n d C for outputs; the peak is that of a 4,096-square matrix product of the same type. The",
        "fit excludes opening, hashing for copies and the table. Goals: under 5 minutes and 3 GiB, at least half of",
        "the peak.",
        "",
        *table(
            ["n", "plan", "products", "wall", "the fit", "memory", "share of the peak", "of the fit"],
            [
                [
                    f"{r['n']:,}",
                    r["plan"],
                    "float32" if "float32" in r["learner"] else "float64",
                    f"{r['seconds']:.0f} s",
                    f"{r['fit_seconds']:.0f} s",
                    f"{r['anonymous_mib'] / 1024:.2f} GiB",
                    f"{100 * r['share']:.0f} % of {r['peak_gflops']:.0f} GFLOP/s",
                    f"{100 * r['share_of_fit']:.0f} %",
                ]
                for r in result["rows"]
            ],
        ),
    ]


def scale(result: Row) -> list[str]:
    """On paper: a billion embeddings, and ImageNet."""
    found, images = result["embeddings"], result["imagenet"]
    rows = []
    for plan, r in found["plans"].items():
        for workers, took in r["hours"].items():
            rows.append([plan, f"{r['operations']:.2g}", workers, hours(took["cores"]), hours(took["gpus"])])
    return [
        "## At scale, on paper",
        "",
        "Calculated by `benchmarks/quality/scale.py`, not run. "
        f"{found['n']:,} x {found['d']} float16 vectors of {found['classes']:,} classes by `ridge` with float32 "
        f"products, at the {found['gigaoperations_a_second_of_2_cores']:.0f} GFLOP/s",
        f"that 2 cores reached for leave one out in the table above, {100 * found['share_of_peak']:.0f} % of their "
        "peak; a GPU is assumed to reach the same share of its peak, or to wait for its input.",
        f"Both passes read {found['bytes_read'] / 1e12:.1f} TB. Outside the fit, opening, hashing for "
        f"copies and the table take one process {found['hours_beside_the_fit']:.1f} h.",
        "",
        *table(["plan", "operations", "workers", "each 2 cores", "each a GPU"], rows),
        "",
        f"ImageNet-1K, ResNet-50, {images['epochs']} epochs, {images['folds']} folds, at the published "
        f"{images['images_per_second']:,.0f} images a second and A100: {images['gpu_hours']:.1f} GPU hours.",
        "",
        *table(
            ["GPUs", "a GPU trains a fold", "GPUs train a fold together"],
            [[gpus, hours(took["alone"]), hours(took["together"])] for gpus, took in images["hours"].items()],
        ),
        "",
        "Assumed, not measured:",
        "",
        *(
            f"- {entry['words']}" + ("" if entry["value"] is None else f": {entry['value']:.3g}")
            for entry in result["assumptions"].values()
        ),
    ]


def hours(h: float) -> str:
    return f"{h:.1f} h" if h >= 1.5 else minutes(3600 * h)


def on_ray(result: Row) -> list[str]:
    """Ray beside local processes, a second worker, and empty tasks."""
    over, second, many = result["overhead"], result["second_worker"], result["scheduling"]
    return [
        "## Ray",
        "",
        f"{result['samples']:,} samples, {result['network']}, {result['epochs']} epochs, one thread per fit, median of "
        f"{result['repeats']} runs in turn. 5 folds, two at a",
        "time, against two local worker processes, without Ray's own start (goal: under 10 %); 4 folds by two workers",
        "against one (goal: 1.8 times as fast). Scores are bit-equal.",
        "",
        *table(
            ["local", "by Ray", "overhead", "Ray's start", "one worker", "two workers", "times"],
            [
                [
                    f"{over['local_seconds']:.1f} s",
                    f"{over['ray_seconds']:.1f} s",
                    signed(over["overhead"]),
                    f"{over['start_seconds']:.1f} s",
                    f"{second['one_seconds']:.1f} s",
                    f"{second['two_seconds']:.1f} s",
                    f"{second['times']:.2f}",
                ]
            ],
        ),
        "",
        f"Scheduling alone: {many['shards']:,} stub tasks over {many['workers']} workers on the same cores, each with "
        f"{many['result_bytes'] / 1000:.0f} kB to yield.",
        "",
        *table(
            ["wall", "tasks/s", "driver's own time", "driver's memory", "grown by"],
            [
                [
                    f"{many['seconds']:.1f} s",
                    f"{many['tasks_per_second']:.0f}",
                    f"{many['driver_cpu_seconds']:.1f} s",
                    f"{many['driver_mib']:.0f} MiB",
                    f"{many['driver_more_mib']:.0f} MiB",
                ]
            ],
        ),
    ]


def parts_on_ray(result: Row) -> list[str]:
    """The closed form part by part."""
    shapes, many = result["beside_local"], result["scheduled"]
    return [
        "## The closed form on Ray",
        "",
        f"Leave one out by `ridge`, float16 vectors in {result['shards']} shards, from the files to the table: in one",
        f"process of {result['processors']} threads, and by as many tasks of Ray with one thread each, without",
        f"Ray's own start. Median of {len(shapes[0]['ratios'])} runs in turn. Goal: within 10 % at ImageNet's shape.",
        f"Then one fit of {many['parts']:,} empty parts, over {many['workers']} workers on the same",
        "cores: scheduling and the tree of sums alone.",
        "",
        *table(
            ["vectors", "local", "by Ray", "difference", "Ray's start", "largest difference of scores"],
            [
                [
                    f"{beside['n']:,} x {beside['d']}, {beside['classes']:,} classes",
                    f"{beside['local_seconds']:.1f} s",
                    f"{beside['ray_seconds']:.1f} s",
                    signed(beside["ratio"] - 1),
                    f"{beside['start_seconds']:.1f} s",
                    f"{beside['largest_difference']:.0e}",
                ]
                for beside in shapes
            ],
        ),
        "",
        *table(
            ["empty parts", "wall", "driver's own time", "driver grows by", "the task that leads"],
            [
                [
                    f"{many['parts']:,}",
                    f"{many['seconds']:.1f} s",
                    f"{many['driver_cpu_seconds']:.1f} s",
                    f"{many['driver_mib_more']:.0f} MiB",
                    f"{many['lead_mib']:.0f} MiB",
                ]
            ],
        ),
    ]


def report_size(result: Row) -> list[str]:
    """The page of a large data set."""
    return [
        "## The report of a large data set",
        "",
        f"`unseen report` on {result['n']:,} images of {result['classes']:,} classes, a tree of JPEG files of",
        "500 x 375 pixels beside the runs of their vectors, held out and in-sample; up to",
        f"{result['images']} samples a gallery. Goals: under a minute, under 15 MB.",
        "",
        *table(
            ["wall", "size", "samples shown", "with a picture", "peak memory"],
            [
                [
                    f"{result['seconds']:.1f} s",
                    f"{result['bytes'] / 1e6:.1f} MB",
                    f"{result['cards']:,}",
                    f"{result['pictures']:,}",
                    f"{result['peak_mib'] / 1024:.1f} GiB",
                ]
            ],
        ),
    ]


def setting(result: Row) -> str:
    """Where and when a figure comes from."""
    about = result["about"]
    packages = ", ".join(f"{name} {v}" for name, v in about["versions"].items())
    where = about["gpu"] or f"{about['processor']}, {about['processors_usable']} cores"
    return (
        f"*{where}; load {about['load_1_minute']} at the end; Python {about['python']}, {packages}; "
        f"commit {about['commit'][:8]}.*"
    )


def table(head: list[str], rows: list[list[Any]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def percent(x: float) -> str:
    return f"{100 * x:.1f} %"


def signed(x: float) -> str:
    return f"{100 * x:+.1f} %"


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.1f} s"


def millions(x: float) -> str:
    return f"{x / 1e6:.1f}"


SECTIONS = {
    "end_to_end": end_to_end,
    "training_loop": training_loop,
    "loop_parts": loop_parts,
    "large_images": large_images,
    "busy": busy,
    "sweep": sweep,
    "overhead": overhead,
    "scores": scores,
    "rules": rules,
    "closed_form": closed_form,
    "closed_form_size": closed_form_size,
    "scale": scale,
    "ray": on_ray,
    "parts_on_ray": parts_on_ray,
    "report_size": report_size,
}


def page() -> str:
    """The whole page."""
    parts = [
        "# Benchmarks",
        "",
        "Made by `python benchmarks/tables.py` from `benchmarks/results/*.json`; each script in `benchmarks/speed`",
        "says how to run it again. Machines are shared and noisy: ratios within a run mean more than seconds.",
    ]
    for name, section in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts += ["", *section(result), "", setting(result)]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.check:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/benchmarks.md is not what benchmarks/results says; run python benchmarks/tables.py")


if __name__ == "__main__":
    main()
